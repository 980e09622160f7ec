"""Arrays by key in chunks on disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.data import store
from headstart.data.store import ArrayStore
from headstart.data.store_index import NAME, StoreIndex, count_arrays
from headstart.errors import RunError


def chunks(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.safetensors"))


@pytest.mark.parametrize("kind", [np.uint8, np.float16, np.float32])
@pytest.mark.parametrize("shape", [(4, 5, 3), (7,), (1, 0, 2), ()])
def test_arrays_come_back(tmp_path: Path, kind: Any, shape: tuple[int, ...]) -> None:
    array = np.random.default_rng(0).uniform(0, 255, shape).astype(kind)
    ArrayStore(tmp_path).put({"a": array, "b@1": array * 0})
    found = ArrayStore(tmp_path)
    assert sorted(found) == ["a", "b@1"]
    back = found.get("a")
    assert back.dtype == kind
    np.testing.assert_array_equal(back, array)


def test_views_of_an_array_are_stored_as_they_look(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    found = ArrayStore(tmp_path)
    found.put({"turned": array.transpose(2, 0, 1), "skipped": array[:, ::-1]})
    np.testing.assert_array_equal(found.get("turned"), array.transpose(2, 0, 1))
    np.testing.assert_array_equal(found.get("skipped"), array[:, ::-1])


def test_what_was_read_can_be_changed_without_harm(tmp_path: Path) -> None:
    found = ArrayStore(tmp_path)
    found.put({"a": np.zeros(3, np.uint8)})
    found.get("a")[:] = 9
    assert found.get("a").tolist() == [0, 0, 0]


def test_missing_keys_keep_their_order_and_come_once(tmp_path: Path) -> None:
    found = ArrayStore(tmp_path)
    found.put({"b": np.zeros(1), "d": np.zeros(1)})
    assert found.missing(["e", "b", "a", "e", "d", "c"]) == ["e", "a", "c"]
    with pytest.raises(KeyError, match="'e'"):
        found.get("e")


def test_nothing_to_write_writes_nothing(tmp_path: Path) -> None:
    ArrayStore(tmp_path / "new").put({})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("left", [0, 3, 40, -1])
def test_a_damaged_chunk_is_dropped(tmp_path: Path, left: int) -> None:
    found = ArrayStore(tmp_path)
    found.put({"good": np.ones(100)})
    (good,) = chunks(tmp_path)
    found.put({"bad": np.ones(100)})
    (bad,) = set(chunks(tmp_path)) - {good}
    found.close()
    bad.write_bytes(bad.read_bytes()[:left])
    again = ArrayStore(tmp_path)
    assert list(again) == ["good"]
    assert chunks(tmp_path) == [good]
    again.put({"bad": np.full(100, 2.0)})
    assert ArrayStore(tmp_path).get("bad")[0] == 2.0


def test_a_chunk_that_cannot_be_opened_now_is_not_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ArrayStore(tmp_path).put({"a": np.ones(3)})
    (tmp_path / NAME).unlink()

    def refuse(*args: Any, **options: Any) -> None:
        raise OSError("Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(store, "safe_open", refuse)
        assert list(ArrayStore(tmp_path)) == []
    assert list(ArrayStore(tmp_path)) == ["a"]


def test_two_processes_may_add(tmp_path: Path) -> None:
    one, two = ArrayStore(tmp_path), ArrayStore(tmp_path)
    one.put({"a": np.full(2, 1.0), "both": np.full(2, 5.0)})
    two.put({"b": np.full(2, 2.0), "both": np.full(2, 5.0)})
    one.put({"c": np.full(2, 3.0)})
    found = ArrayStore(tmp_path)
    assert {key: found.get(key)[0] for key in found} == {"a": 1.0, "b": 2.0, "c": 3.0, "both": 5.0}
    # What an instance knew stays readable.
    assert (one.get("a")[0], two.get("b")[0]) == (1.0, 2.0)


def test_what_another_process_adds_is_found_at_once(tmp_path: Path) -> None:
    one = ArrayStore(tmp_path)
    one.put({"a": np.zeros(1)})
    ArrayStore(tmp_path).put({"b": np.ones(1)})
    assert one.missing(["a", "b", "c"]) == ["c"]
    assert one.get("b")[0] == 1.0


def no_headers(*args: Any, **options: Any) -> None:
    pytest.fail("a chunk that is indexed was opened")


def test_an_indexed_store_is_opened_without_its_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ArrayStore(tmp_path)
    for at in range(3):
        found.put({f"{at}": np.zeros(1)})
    monkeypatch.setattr(store, "safe_open", no_headers)
    again = ArrayStore(tmp_path)
    assert again.missing(["3", "0", "1", "2"]) == ["3"]
    assert "1" in again


@pytest.mark.parametrize("content", [None, b"", b"no database", b"SQLite format 3\0 and no more"])
def test_an_index_that_is_not_there_is_made_from_the_chunks(
    tmp_path: Path, content: bytes | None
) -> None:
    found = ArrayStore(tmp_path)
    # More chunks than one transaction lists.
    keys = [f"{at:03}" for at in range(70)]
    for at, key in enumerate(keys):
        found.put({key: np.full(1, at)})
    found.close()
    (tmp_path / NAME).unlink()
    if content is not None:
        (tmp_path / NAME).write_bytes(content)
    assert list(ArrayStore(tmp_path)) == keys
    assert count_arrays(tmp_path) == 70
    assert ArrayStore(tmp_path).get("069")[0] == 69


def test_a_kill_between_chunk_and_index_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ArrayStore(tmp_path)
    found.put({"a": np.zeros(1)})

    def killed(*args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(StoreIndex, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            found.put({"b": np.ones(1)})
    assert "b" not in found
    assert list(ArrayStore(tmp_path)) == ["a", "b"]


def test_a_chunk_that_is_gone_is_forgotten(tmp_path: Path) -> None:
    found = ArrayStore(tmp_path)
    found.put({"a": np.zeros(1)})
    (first,) = chunks(tmp_path)
    found.put({"b": np.zeros(1)})
    first.unlink()
    found._open.clear()
    assert "a" in found
    with pytest.raises(RunError, match=r"cannot be read any more .*: repeat the command"):
        found.get("a")
    assert list(found) == list(ArrayStore(tmp_path)) == ["b"]


def test_an_index_that_cannot_be_written_is_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ArrayStore(tmp_path).put({"a": np.ones(1)})
    (tmp_path / NAME).unlink()
    # sqlite cannot open a folder, as it cannot open a file without the right to.
    (tmp_path / NAME).mkdir()
    found = ArrayStore(tmp_path)
    found.put({"b": np.ones(1)})
    assert sorted(found) == ["a", "b"]
    assert sorted(ArrayStore(tmp_path)) == ["a", "b"]


def test_more_keys_than_fit_into_one_question(tmp_path: Path) -> None:
    keys = [f"{at:04}" for at in range(1203)]
    found = ArrayStore(tmp_path)
    found.put({key: np.zeros(0) for key in keys[::2]})
    assert found.missing(keys) == keys[1::2]
    assert list(found) == keys[::2]


def test_a_full_disk_is_an_error_that_says_how_to_free_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = ArrayStore(tmp_path)
    found.put({"a": np.ones(2)})

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(RunError) as caught:
            found.put({"b": np.ones(2)})
    assert str(caught.value).endswith(
        ".safetensors: No space left on device; free space, for example with "
        "'headstart cache --clear', and repeat the command"
    )
    for usable in (found, ArrayStore(tmp_path)):
        assert list(usable) == ["a"]
        assert usable.get("a").tolist() == [1.0, 1.0]
    found.put({"b": np.ones(2)})
    assert list(found) == ["a", "b"]
    assert not list(tmp_path.glob("*.tmp")), "what was half written takes no room"


def test_the_same_keys_are_one_chunk(tmp_path: Path) -> None:
    found = ArrayStore(tmp_path)
    found.put({"a": np.ones(2), "b": np.ones(2)})
    found.put({"b": np.full(2, 7.0), "a": np.full(2, 7.0)})
    assert len(chunks(tmp_path)) == 1
    assert found.get("a")[0] == 7.0


def test_leftover_temporary_files_are_ignored(tmp_path: Path) -> None:
    ArrayStore(tmp_path).put({"a": np.ones(2)})
    (tmp_path / ".x.safetensors.0123.tmp").write_bytes(b"half")
    assert list(ArrayStore(tmp_path)) == ["a"]


def test_more_chunks_than_may_be_open_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "MAX_OPEN_CHUNKS", 2)
    found = ArrayStore(tmp_path)
    for at in range(5):
        found.put({str(at): np.full(1, at)})
    assert [int(found.get(str(at))[0]) for at in (0, 4, 1, 3, 2, 0)] == [0, 4, 1, 3, 2, 0]
    assert len(found._open) <= 2


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot write .*\.safetensors: "):
        ArrayStore(tmp_path / "file" / "store").put({"a": np.ones(1)})
