"""Which content a file has, remembered by path, size and time so that nothing is hashed twice.

The same file remembers what a content looks like (``data.near_duplicates``).
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import sqlite3
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from headstart.data.store_index import ASKED_AT_ONCE
from headstart.errors import RunError
from headstart.types import Frame

# Raised when reading changes in a way that makes remembered verdicts wrong.
VERSION = 4

NO_FRAME = Frame((0, 0))


@dataclasses.dataclass(frozen=True, slots=True)
class Scanned:
    """What is known of one file.

    Attributes:
        fingerprint: hash of the content, 32 hex digits; empty when the file cannot be opened, or
            not yet: such a verdict is not remembered.
        error: why it is no usable picture, or None.
        white: its largest value when it has more than 8 bits a channel, else None.
        frame: how the picture lies in the file.
    """

    fingerprint: str
    error: str | None = None
    white: int | None = None
    frame: Frame = NO_FRAME


def fingerprint(content: bytes) -> str:
    """BLAKE2b of the content, 128 bits, as 32 hex digits."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


class FingerprintIndex:
    """Remembers ``Scanned`` for files that did not change.

    Args:
        folder: where the index lies; made when missing.

    Raises:
        RunError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(folder / f"fingerprints-{VERSION}.sqlite", timeout=60)
            self._database.execute(
                "create table if not exists files (path text primary key, size integer, "
                "mtime_ns integer, fingerprint text, error text, white integer, "
                "height integer, width integer, orientation integer)"
            )
            self._database.execute(
                "create table if not exists hashes (fingerprint text primary key, hash blob)"
            )
        except (OSError, sqlite3.Error) as error:
            raise RunError(
                f"cannot write the cache in {folder}: {error}; "
                "set HEADSTART_CACHE to a folder that can be written"
            ) from error

    def get(self, path: Path) -> Scanned | None:
        """What is known of the file as it is now."""
        stat = _stat(path)
        row = self._database.execute(
            "select fingerprint, error, white, height, width, orientation from files "
            "where path=? and size=? and mtime_ns=?",
            (str(path.absolute()), *stat),
        ).fetchone()
        if row is None:
            return None
        key, error, white, height, width, orientation = row
        return Scanned(key, error, white, Frame((height, width), orientation))

    def put(self, found: Iterable[tuple[Path, Scanned]]) -> None:
        """Remembers files in one transaction.

        Raises:
            RunError: the disk is full, or another process holds the index for a minute.
        """
        rows = [
            (
                *(str(path.absolute()), *_stat(path)),
                *(s.fingerprint, s.error, s.white, *s.frame.size, s.frame.orientation),
            )
            for path, s in found
        ]
        self._insert("insert or replace into files values (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def hashes(self, fingerprints: Iterable[str]) -> dict[str, bytes]:
        """The perceptual hash of each content whose hash is known."""
        found: dict[str, bytes] = {}
        rest = iter(fingerprints)
        while some := list(itertools.islice(rest, ASKED_AT_ONCE)):
            places = ",".join("?" * len(some))
            question = f"select * from hashes where fingerprint in ({places})"  # noqa: S608
            found.update(self._database.execute(question, some))
        return found

    def put_hashes(self, hashes: Mapping[str, bytes]) -> None:
        """Remembers perceptual hashes by the fingerprint of the content, in one transaction.

        Raises:
            RunError: the disk is full, or another process holds the index for a minute.
        """
        self._insert("insert or replace into hashes values (?, ?)", hashes.items())

    def _insert(self, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
        try:
            with self._database:
                self._database.executemany(statement, rows)
        except sqlite3.Error as error:
            raise RunError(f"cannot write the cache of fingerprints: {error}") from error

    def close(self) -> None:
        """Closes the file."""
        self._database.close()


def _stat(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return (-1, -1)
    return stat.st_size, stat.st_mtime_ns
