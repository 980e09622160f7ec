"""Arrays by key in append-only chunks on disk: decoded pictures and stored views.

A chunk is one safetensors file, written with ordinary writes, synced and renamed into place, and
only then indexed. It is memory-mapped only to read, so that a full disk is an error, not a crash.
Several processes may add to one store: chunks are named after their content's keys.
"""

from __future__ import annotations

import contextlib
import itertools
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from headstart.data.store_index import ASKED_AT_ONCE, DESCRIPTION, ENDING, StoreIndex
from headstart.errors import RunError
from headstart.storage import content_key, hold_shared, lock_path, write_bytes, write_json

# Each keeps the names of its arrays in memory.
MAX_OPEN_CHUNKS = 128

Array = npt.NDArray[Any]


class ArrayStore:
    """Arrays of any shape under text keys.

    From its first use until it is closed or the process ends, a store counts as in use: it holds a
    shared lock beside its folder, which keeps ``data.cache`` from removing it. The time of the lock
    file is the time of the last use.

    Args:
        folder: where the chunks lie; made at the first write.
        description: what is in it, for people; written beside the chunks.

    Raises:
        RunError: the store is being removed, and that does not end.
    """

    def __init__(self, folder: Path, description: Mapping[str, Any] | None = None) -> None:
        self.folder = folder
        self._description = description
        self._open: OrderedDict[str, Any] = OrderedDict()
        self._index: StoreIndex | None = None
        self._release: Callable[[], object] | None = None
        if folder.is_dir():
            self._begin_use()
            # It may have been removed before the lock was held.
            if folder.is_dir():
                self._opened_index()

    def __contains__(self, key: str) -> bool:
        return self._index is not None and self._index.chunk_of(key) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._index or ())

    def missing(self, keys: Iterable[str]) -> list[str]:
        """The keys that are not stored, in their order, each once."""
        missing: dict[str, None] = {}
        rest = iter(keys)
        while some := list(itertools.islice(rest, ASKED_AT_ONCE)):
            known = self._index.known(some) if self._index is not None else set()
            missing.update((key, None) for key in some if key not in known)
        return list(missing)

    def get(self, key: str) -> Array:
        """A copy of the array.

        Raises:
            KeyError: it is not stored.
            RunError: its chunk was removed or damaged while the store was open.
        """
        name = self._index.chunk_of(key) if self._index is not None else None
        if self._index is None or name is None:
            raise KeyError(key)
        try:
            return np.asarray(self._reader(name).get_tensor(key))
        except (OSError, SafetensorError) as error:
            self._open.pop(name, None)
            self._index.forget(name)
            raise RunError(
                f"{self.folder / name} cannot be read any more ({error}): repeat the command, "
                "which computes it again"
            ) from error

    def put(self, arrays: Mapping[str, Array]) -> None:
        """Writes one chunk; keys that are stored already may be repeated.

        Raises:
            RunError: the folder cannot be written, or the disk is full.
        """
        if not arrays:
            return
        self._begin_use()
        path = self.folder / f"{content_key(sorted(arrays))}{ENDING}"
        whole = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
        write_bytes(path, save(whole))
        self._open.pop(path.name, None)
        if self._index is None:
            self._opened_index()
        else:
            self._index.add(path, arrays)

    def close(self) -> None:
        """Lets go of all chunks; the store is not in use any more."""
        self._open.clear()
        if self._index is not None:
            self._index.close()
            self._index = None
        if self._release is not None:
            self._release()
            self._release = None

    def _begin_use(self) -> None:
        lock = lock_path(self.folder)
        if self._release is None:
            self._release = weakref.finalize(self, hold_shared(lock))
        with contextlib.suppress(OSError):
            lock.touch()

    def _opened_index(self) -> None:
        self._index = StoreIndex(self.folder, self._list)
        path = self.folder / DESCRIPTION
        if self._description is not None and not path.is_file():
            # For people only: a folder that can be read but not written is good enough.
            with contextlib.suppress(RunError):
                write_json(path, self._description)

    def _list(self, path: Path) -> list[str] | None:
        try:
            return list(self._reader(path.name).keys())
        except SafetensorError:
            # A chunk that a failing disk damaged holds nothing that cannot be computed again.
            path.unlink(missing_ok=True)
            return None
        except OSError:
            # Removed by another process, or not to be opened now: the chunk may still be good.
            return None

    def _reader(self, name: str) -> Any:
        reader = self._open.get(name)
        if reader is None:
            reader = safe_open(self.folder / name, framework="np")
            self._open[name] = reader
            if len(self._open) > MAX_OPEN_CHUNKS:
                self._open.popitem(last=False)
        self._open.move_to_end(name)
        return reader
