"""Which chunk holds which array: one sqlite file in each store, made again whenever it is wrong.

The chunks are the truth. The index remembers their names and sizes, so that opening a store means
comparing it with a listing of the folder, and reading the headers of new or changed chunks only.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from headstart.errors import RunError
from headstart.storage import room_hint

NAME = "index.sqlite"
DESCRIPTION = "store.json"
ENDING = ".safetensors"

# Keys in one question; sqlite allows 999 in its oldest builds.
ASKED_AT_ONCE = 500

# Chunks listed in one transaction, which costs the disk more than the chunks do.
COMPARED_AT_ONCE = 64

# Seconds that a process waits for another one to finish writing.
TIMEOUT = 60.0

SCHEMA = """
create table if not exists chunks (id integer primary key, name text unique, bytes integer);
create table if not exists arrays (key text primary key, chunk integer) without rowid;
"""

ListKeys = Callable[[Path], Iterable[str] | None]
"""Reads the keys of a chunk; None when it is not to be had."""


class StoreIndex:
    """The keys of a store.

    The file uses sqlite's rollback journal: write-ahead logging needs memory that all processes
    share, which network file systems do not give. Where the file cannot be written or locked, the
    index is kept in memory.

    Args:
        folder: of the store; must exist.
        list_keys: reads the header of a chunk.
    """

    def __init__(self, folder: Path, list_keys: ListKeys) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._database = self._opened(list_keys)
        weakref.finalize(self, self._database.close)

    def close(self) -> None:
        """Closes the file; the index cannot be used any more."""
        self._database.close()

    def chunk_of(self, key: str) -> str | None:
        """File name of the chunk that holds an array, or None."""
        question = "select name from arrays join chunks on chunks.id = chunk where key = ?"
        rows = self._ask(question, (key,))
        return str(rows[0][0]) if rows else None

    def known(self, keys: Iterable[str]) -> set[str]:
        """Those of the keys that are stored."""
        found: set[str] = set()
        rest = iter(keys)
        while some := tuple(itertools.islice(rest, ASKED_AT_ONCE)):
            places = ",".join("?" * len(some))
            rows = self._ask(f"select key from arrays where key in ({places})", some)  # noqa: S608
            found.update(key for (key,) in rows)
        return found

    def __iter__(self) -> Iterator[str]:
        last = ""
        # In pieces: a question that stays open would keep other processes from writing.
        while rows := self._ask(
            "select key from arrays where key > ? order by key limit ?", (last, ASKED_AT_ONCE)
        ):
            yield from (key for (key,) in rows)
            last = rows[-1][0]

    def add(self, path: Path, keys: Iterable[str]) -> None:
        """Lists a chunk that is complete.

        Raises:
            RunError: the disk is full, or another process holds the index for a minute.
        """
        with self._writing():
            _add(self._database, path.name, path.stat().st_size, keys)

    def forget(self, name: str) -> None:
        """Takes out a chunk that is gone."""
        with self._writing():
            _forget(self._database, name)

    def _ask(self, question: str, values: tuple[object, ...] = ()) -> list[tuple[str]]:
        try:
            with self._lock:
                return self._database.execute(question, values).fetchall()
        except sqlite3.Error as error:
            raise RunError(self._complaint("read", error)) from error

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._lock, self._database:
                yield
        except (sqlite3.Error, OSError) as error:
            raise RunError(self._complaint("write", error)) from error

    def _complaint(self, verb: str, error: BaseException) -> str:
        return f"cannot {verb} {self.folder / NAME}: {error}{room_hint(error)}"

    def _opened(self, list_keys: ListKeys) -> sqlite3.Connection:
        path = self.folder / NAME
        with contextlib.suppress(OSError, sqlite3.OperationalError):
            try:
                return _connect(str(path), self.folder, list_keys)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                # It is damaged: what it knew is in the chunks, too.
                path.unlink()
                return _connect(str(path), self.folder, list_keys)
        return _connect(":memory:", self.folder, list_keys)


def count_arrays(folder: Path) -> int | None:
    """Number of arrays in a store, looked up without opening it; None when it has no index."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)
        ) as database:
            return int(database.execute("select count(*) from arrays").fetchone()[0])
    except sqlite3.Error:
        return None


def _connect(where: str, folder: Path, list_keys: ListKeys) -> sqlite3.Connection:
    # Pictures are read by the thread that prepares batches; the lock lets in one at a time.
    database = sqlite3.connect(where, timeout=TIMEOUT, check_same_thread=False)
    try:
        database.execute("pragma synchronous = normal")
        database.executescript(SCHEMA)
        _compare(database, folder, list_keys)
    except BaseException:
        database.close()
        raise
    return database


def _compare(database: sqlite3.Connection, folder: Path, list_keys: ListKeys) -> None:
    """Makes the index say what the folder holds."""
    # In this order: another process puts a chunk into the folder first, and then into the index.
    listed = dict(database.execute("select name, bytes from chunks").fetchall())
    with os.scandir(folder) as entries:
        present = {
            entry.name: entry.stat().st_size
            for entry in entries
            if not entry.name.startswith(".") and entry.name.endswith(ENDING)
        }
    differing = sorted(
        name for name in listed.keys() | present.keys() if listed.get(name) != present.get(name)
    )
    for start in range(0, len(differing), COMPARED_AT_ONCE):
        # Read before the transaction begins, so that others can write meanwhile.
        some = differing[start : start + COMPARED_AT_ONCE]
        found = {name: list_keys(folder / name) if name in present else None for name in some}
        with database:
            for name, keys in found.items():
                if keys is None:
                    _forget(database, name)
                else:
                    _add(database, name, present[name], keys)


def _add(database: sqlite3.Connection, name: str, size: int, keys: Iterable[str]) -> None:
    _forget(database, name)
    number = database.execute(
        "insert into chunks (name, bytes) values (?, ?)", (name, size)
    ).lastrowid
    database.executemany(
        "insert or replace into arrays values (?, ?)", ((key, number) for key in keys)
    )


def _forget(database: sqlite3.Connection, name: str) -> None:
    row = database.execute("select id from chunks where name = ?", (name,)).fetchone()
    if row is not None:
        database.execute("delete from arrays where chunk = ?", row)
        database.execute("delete from chunks where id = ?", row)
