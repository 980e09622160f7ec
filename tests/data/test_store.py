"""Arrays by key in chunks on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.data import store
from headstart.data.store import ArrayStore
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
