"""Arrays by key in append-only chunks on disk: decoded pictures and stored views.

A chunk is one safetensors file, written with ordinary writes, synced and renamed into place, and
only then listed. It is memory-mapped only to read, so that a full disk is an error and not a crash.
Several processes may add to one store: chunks are named after their content's keys.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from headstart.storage import content_key, write_bytes

MAX_OPEN_CHUNKS = 256

Array = npt.NDArray[Any]


class ArrayStore:
    """Arrays of any shape under text keys.

    Args:
        folder: where the chunks lie; made at the first write.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._chunk_of: dict[str, Path] = {}
        self._open: OrderedDict[Path, Any] = OrderedDict()
        for path in sorted(folder.glob("*.safetensors")):
            self._list(path)

    def __contains__(self, key: str) -> bool:
        return key in self._chunk_of

    def __iter__(self) -> Iterator[str]:
        return iter(self._chunk_of)

    def missing(self, keys: Iterable[str]) -> list[str]:
        """The keys that are not stored, in their order, each once."""
        return [key for key in dict.fromkeys(keys) if key not in self._chunk_of]

    def get(self, key: str) -> Array:
        """A copy of the array.

        Raises:
            KeyError: it is not stored.
        """
        return np.asarray(self._reader(self._chunk_of[key]).get_tensor(key))

    def put(self, arrays: Mapping[str, Array]) -> None:
        """Writes one chunk; keys that are stored already may be repeated.

        Raises:
            RunError: the folder cannot be written, or the disk is full.
        """
        if not arrays:
            return
        path = self.folder / f"{content_key(sorted(arrays))}.safetensors"
        whole = {key: np.ascontiguousarray(array) for key, array in arrays.items()}
        write_bytes(path, save(whole))
        self._open.pop(path, None)
        self._list(path)

    def close(self) -> None:
        """Lets go of all chunks."""
        self._open.clear()

    def _list(self, path: Path) -> None:
        try:
            keys = self._reader(path).keys()
        except SafetensorError:
            # A chunk that a failing disk damaged holds nothing that cannot be computed again.
            path.unlink(missing_ok=True)
            return
        except OSError:
            # Removed by another process, or not to be opened now: the chunk may still be good.
            return
        self._chunk_of.update(dict.fromkeys(keys, path))

    def _reader(self, path: Path) -> Any:
        reader = self._open.get(path)
        if reader is None:
            reader = safe_open(path, framework="np")
            self._open[path] = reader
            if len(self._open) > MAX_OPEN_CHUNKS:
                self._open.popitem(last=False)
        self._open.move_to_end(path)
        return reader
