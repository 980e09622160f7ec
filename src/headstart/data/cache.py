"""The cache as a whole: which stores there are, and removing those that were used longest ago.

A store is removed whole or not at all, and never while a process has it open. What is removed can
be computed again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.data.store_index import DESCRIPTION, count_arrays
from headstart.errors import RunError
from headstart.progress import Progress
from headstart.storage import (
    REMOVED,
    exclusive_lock,
    hide_folder,
    is_locked,
    lock_path,
    read_json,
)

KINDS = {
    "images-": "pictures",
    "views-": "views",
    "vectors-": "vectors",
    "originals-": "originals",
}
"""What a store holds, by the beginning of its folder's name."""


@dataclasses.dataclass(frozen=True)
class CachedStore:
    """One store of the cache.

    Attributes:
        path: its folder.
        kind: ``pictures`` (decoded), ``views`` (maps of the frozen part), ``vectors`` (what a head
            that pools takes of these views) or ``originals`` (files that lay inside others).
        description: of its content: side, or backbone, stage, size and engine; empty for a store
            that an early version wrote.
        arrays: number of them, None when it has no index.
        bytes: of all its files.
        last_used: when it was last opened or written, seconds since 1970.
        in_use: whether a process has it open.
    """

    path: Path
    kind: str
    description: Mapping[str, Any]
    arrays: int | None
    bytes: int
    last_used: float
    in_use: bool

    def to_json(self) -> dict[str, Any]:
        """One entry of ``cache --json``."""
        used = dt.datetime.fromtimestamp(self.last_used, dt.UTC)
        return {
            "store": self.path.name,
            "kind": self.kind,
            **{name: value for name, value in self.description.items() if name != "kind"},
            "arrays": self.arrays,
            "bytes": self.bytes,
            "last_used": used.isoformat(timespec="seconds"),
            "in_use": self.in_use,
        }


@dataclasses.dataclass(frozen=True)
class Eviction:
    """What was removed, and what is left.

    Attributes:
        removed: stores, the oldest first.
        bytes: of the stores that are left.
    """

    removed: tuple[CachedStore, ...]
    bytes: int


def list_stores(folder: Path) -> list[CachedStore]:
    """The stores of a cache, the one that was used longest ago first.

    Args:
        folder: of the whole cache; need not exist.
    """
    stores = []
    for path in sorted(folder.glob("*")) if folder.is_dir() else []:
        kind = next((kind for start, kind in KINDS.items() if path.name.startswith(start)), None)
        if kind is not None and path.is_dir():
            stores.append(_described(path, kind))
    return sorted(stores, key=lambda store: (store.last_used, store.path.name))


def evict(folder: Path, limit: int, to_come: int = 0) -> Eviction:
    """Removes stores, the oldest first, until the rest and what is to come fit into the limit.

    Stores that are in use stay, also where the limit is not reached without them.

    Args:
        folder: of the whole cache.
        limit: bytes that the cache may take; 0 removes all that is not in use.
        to_come: bytes that will be written.

    Raises:
        RunError: a store cannot be removed.
    """
    for left in folder.glob(f".*{REMOVED}"):
        shutil.rmtree(left, ignore_errors=True)
    stores = list_stores(folder)
    total = sum(store.bytes for store in stores)
    removed = []
    for store in stores:
        if total and total + to_come > limit and not store.in_use and _remove(store.path):
            removed.append(store)
            total -= store.bytes
    return Eviction(tuple(removed), total)


def make_room(folder: Path, limit: int, progress: Progress, to_come: int | None = None) -> None:
    """``evict``, and one line that says what was removed.

    Before writing, when it is known what is to come, another line says if the limit cannot be kept.
    """
    found = evict(folder, limit, to_come or 0)
    if found.removed:
        progress.say(f"Cache over {size_text(limit)}: removed {removed_text(found.removed)}.")
    if to_come is not None and found.bytes + to_come > limit:
        progress.say(
            f"This run and what else is in use need {size_text(found.bytes + to_come)} of cache, "
            f"more than the allowed {size_text(limit)} (--cache-size): going on."
        )


def removed_text(removed: Sequence[CachedStore]) -> str:
    """How many stores, of how many bytes and of which kinds."""
    kinds = ", ".join(dict.fromkeys(store.kind for store in removed))
    count = f"{len(removed)} store{'s' * (len(removed) != 1)}"
    return f"{count} of {size_text(sum(store.bytes for store in removed))} ({kinds})"


def size_text(count: int) -> str:
    """Bytes as a person reads them, in powers of 1,000."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if value >= 9.95 or unit == "B" else f"{value:.1f} {unit}"


def _described(path: Path, kind: str) -> CachedStore:
    lock = lock_path(path)
    description: Any = {}
    with contextlib.suppress(OSError, ValueError):
        description = read_json(path / DESCRIPTION)
    used = 0.0
    for place in (lock, path):
        with contextlib.suppress(OSError):
            used = place.stat().st_mtime
            break
    return CachedStore(
        path=path,
        kind=kind,
        description=description if isinstance(description, dict) else {},
        arrays=count_arrays(path),
        bytes=_bytes(path),
        last_used=used,
        in_use=is_locked(lock),
    )


def _bytes(path: Path) -> int:
    total = 0
    with contextlib.suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            # A process that is writing renames and removes files meanwhile.
            with contextlib.suppress(OSError):
                total += entry.stat(follow_symlinks=False).st_size
    return total


def _remove(path: Path) -> bool:
    """Removes a store, unless a process opened it since it was listed."""
    try:
        with exclusive_lock(lock_path(path), f"{path} is in use"):
            hidden = hide_folder(path)
    except FileNotFoundError:
        # Another process removed it.
        return False
    except OSError as error:
        raise RunError(f"cannot remove {path}: {error.strerror or error}") from error
    except RunError:
        return False
    shutil.rmtree(hidden, ignore_errors=True)
    return True
