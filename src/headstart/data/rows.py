"""A table of numbers on disk: written row by row, then read in any order, never whole in memory."""

from __future__ import annotations

import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.errors import RunError
from headstart.storage import room_hint


class RowFile:
    """Rows of one shape and kind, in a file that ends with the process.

    Args:
        folder: on the disk that has room for it; made when missing.

    Raises:
        RunError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kind: tuple[np.dtype[Any], tuple[int, ...]] | None = None
        self._count = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by `table`
            weakref.finalize(self, self._file.close)
        except OSError as error:
            raise self._complaint(error) from error

    def append(self, rows: npt.NDArray[Any]) -> None:
        """Adds rows (n, ...), all of the shape and kind of the first ones.

        Raises:
            RunError: the disk is full.
        """
        if self._kind is None:
            self._kind = (rows.dtype, rows.shape[1:])
        if self._kind != (rows.dtype, rows.shape[1:]):
            raise ValueError(f"rows must be {self._kind}, got {(rows.dtype, rows.shape[1:])}")
        try:
            self._file.write(np.ascontiguousarray(rows).tobytes())
        except OSError as error:
            self._file.close()
            raise self._complaint(error) from error
        self._count += len(rows)

    def table(self) -> npt.NDArray[Any]:
        """All rows (n, ...), mapped into memory and read-only; nothing can be added afterwards.

        Raises:
            RunError: the disk is full.
            ValueError: there is no row.
        """
        if self._kind is None:
            raise ValueError("a table must have at least one row")
        try:
            with self._file:
                self._file.flush()
                kind, shape = self._kind
                return np.memmap(self._file, kind, "r", shape=(self._count, *shape))
        except OSError as error:
            raise self._complaint(error) from error

    def _complaint(self, error: OSError) -> RunError:
        return RunError(
            f"cannot write a table in {self._folder}: {error.strerror or error}{room_hint(error)}"
        )
