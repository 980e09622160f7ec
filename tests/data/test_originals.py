"""Files of the cache that lay inside others."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from headstart.data.cache import evict, list_stores
from headstart.data.originals import Originals
from headstart.errors import RunError
from headstart.storage import cache_dir


def test_a_file_is_written_once_and_keeps_its_name_for_people(tmp_path: Path) -> None:
    kept = Originals(tmp_path / "shard.tar")
    path = kept.keep("a b/ü.JPG", "0" * 32, lambda: b"content")
    assert path == kept.folder / f"a_b_ü-{'0' * 16}.jpg"
    assert path.read_bytes() == b"content"
    assert kept.keep("a b/ü.JPG", "0" * 32, lambda: pytest.fail("again")) == path


@pytest.mark.parametrize(
    ("content", "ending"), [(b"\x89PNG...", ".png"), (b"\xff\xd8...", ".jpg"), (b"text", "")]
)
def test_a_picture_without_an_ending_gets_one(tmp_path: Path, content: bytes, ending: str) -> None:
    assert Originals(tmp_path).keep_picture("row 7", content).suffix == ending


def test_long_names_are_cut(tmp_path: Path) -> None:
    path = Originals(tmp_path).keep_picture("x" * 5000 + ".png", b"content")
    assert path.is_file()
    assert len(path.name) < 100


def test_the_cache_lists_it_and_does_not_remove_it_while_it_is_used(tmp_path: Path) -> None:
    path = Originals(tmp_path).keep_picture("a.png", b"content")
    (store,) = (s for s in list_stores(cache_dir()) if s.path == path.parent)
    assert (store.kind, store.bytes, store.in_use) == ("originals", len(b"content"), True)
    evict(cache_dir(), 0)
    assert path.is_file()


def test_a_full_disk_is_an_error_that_says_how_to_free_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, content: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    with pytest.raises(RunError, match=r"cannot write .*free space"):
        Originals(tmp_path).keep_picture("a.png", b"other content")
