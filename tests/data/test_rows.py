"""A table on disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.data.rows import RowFile
from headstart.errors import RunError


def test_rows_come_back_and_leave_nothing_behind(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(7, 2, 3)).astype(np.float32)
    file = RowFile(tmp_path / "new")
    file.append(rows[:4])
    file.append(rows[:0])
    # Neither contiguous nor in the order of memory.
    file.append(rows[4:].transpose(0, 2, 1).copy().transpose(0, 2, 1))
    table = file.table()
    assert table.dtype == np.float32
    np.testing.assert_array_equal(table, rows)
    assert not table.flags.writeable
    assert list((tmp_path / "new").iterdir()) == []


def test_rows_are_of_one_kind(tmp_path: Path) -> None:
    file = RowFile(tmp_path)
    file.append(np.zeros((1, 3), np.float32))
    for other in (np.zeros((1, 4), np.float32), np.zeros((1, 3))):
        with pytest.raises(ValueError, match=r"rows must be .*float32.*, got"):
            file.append(other)
    assert file.table().shape == (1, 3)
    with pytest.raises(ValueError, match="at least one row"):
        RowFile(tmp_path).table()


class Full:
    """A file on a full disk."""

    closed = False

    def write(self, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def close(self) -> None:
        self.closed = True


def test_a_full_disk_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**options: Any) -> Full:
        return Full()

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(
        RunError, match=r"cannot write a table in .*: No space left .* cache --clear"
    ):
        RowFile(tmp_path).append(np.zeros((1, 3)))
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot write a table in .*file: File exists"):
        RowFile(tmp_path / "file")
