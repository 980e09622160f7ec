"""Looks into the cache, and removes what was used longest ago."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from headstart.config import CACHE_SIZE, parse_bytes
from headstart.data.cache import CachedStore, evict, list_stores
from headstart.errors import ConfigError
from headstart.storage import cache_dir


@dataclasses.dataclass(frozen=True)
class CacheResult:
    """What is in the cache, and what was removed.

    Attributes:
        folder: of the cache.
        limit: bytes that it may take: what was given, else what ``train`` keeps by default.
        stores: that are there now, the one that was used longest ago first.
        removed: stores that were removed.
    """

    folder: Path
    limit: int
    stores: tuple[CachedStore, ...]
    removed: tuple[CachedStore, ...]

    @property
    def bytes(self) -> int:
        """Of all stores that are there."""
        return sum(store.bytes for store in self.stores)

    def to_json(self) -> dict[str, Any]:
        """What ``cache --json`` prints."""
        return {
            "folder": str(self.folder),
            "bytes": self.bytes,
            "limit": self.limit,
            "stores": [store.to_json() for store in self.stores],
            "removed": [store.to_json() for store in self.removed],
        }


def cache(*, clear: bool = False, cache_size: int | str | None = None) -> CacheResult:
    """Lists the stores of the cache; on request removes those that are not in use.

    Args:
        clear: remove all of them.
        cache_size: remove the oldest ones until the rest fits: bytes, or a text such as ``"20GB"``.

    Raises:
        ConfigError: ``cache_size`` is no size, or both are given.
        RunError: a store cannot be removed.
    """
    problems = []
    limit = CACHE_SIZE
    if cache_size is not None:
        try:
            limit = parse_bytes(cache_size)
        except ValueError as error:
            problems.append(f"--cache-size {error}, got {cache_size!r}")
        if clear:
            problems.append("--clear and --cache-size exclude each other: give one of them")
    if problems:
        raise ConfigError(problems)
    folder = cache_dir()
    removed: tuple[CachedStore, ...] = ()
    if clear or cache_size is not None:
        removed = evict(folder, 0 if clear else limit).removed
    return CacheResult(folder, limit, tuple(list_stores(folder)), removed)
