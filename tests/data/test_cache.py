"""The cache as a whole: what is in it, and what is removed first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.data import cache
from headstart.data.cache import evict, list_stores, make_room, size_text
from headstart.data.image_cache import ImageCache
from headstart.data.store import ArrayStore
from headstart.errors import RunError
from headstart.storage import lock_path
from pictures import make_picture
from telling import Telling


def add_store(folder: Path, name: str, used: int, arrays: int = 1) -> ArrayStore:
    """A store of about 8 kB for each array, last used at that second of 1970."""
    store = ArrayStore(folder / name, {"kind": "views", "stage": 6})
    for at in range(arrays):
        store.put({f"{at}": np.zeros(1000)})
    os.utime(lock_path(folder / name), (used, used))
    return store


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """Stores of the same size, none of them in use."""
    for name, used in (("views-b", 30), ("images-256", 10), ("views-a", 20)):
        add_store(tmp_path, name, used).close()
    return tmp_path


def names(stores: Any) -> list[str]:
    return [store.path.name for store in stores]


def test_stores_are_listed_oldest_first(three: Path) -> None:
    (three / "fingerprints-2.sqlite").touch()
    (three / "other").mkdir()
    found = list_stores(three)
    assert names(found) == ["images-256", "views-a", "views-b"]
    assert [store.kind for store in found] == ["pictures", "views", "views"]
    assert [store.last_used for store in found] == [10, 20, 30]
    assert [store.arrays for store in found] == [1, 1, 1]
    assert found[1].description == {"kind": "views", "stage": 6}
    files = [path.stat().st_size for path in (three / "views-a").iterdir()]
    assert len(files) == 3, "chunk, index, description"
    assert found[1].bytes == sum(files)
    assert list_stores(three / "nowhere") == []


def test_a_store_of_an_early_version_is_listed_too(three: Path) -> None:
    for name in ("store.json", "index.sqlite"):
        (three / "views-a" / name).unlink()
    lock_path(three / "views-a").unlink()
    (found,) = [store for store in list_stores(three) if store.path.name == "views-a"]
    assert (found.arrays, found.description, found.in_use) == (None, {}, False)
    assert found.last_used == (three / "views-a").stat().st_mtime
    assert names(evict(three, 0).removed) == ["images-256", "views-b", "views-a"]


def test_what_was_used_longest_ago_goes_first(three: Path) -> None:
    (size,) = {store.bytes for store in list_stores(three)}
    assert names(evict(three, 3 * size).removed) == []
    assert names(evict(three, 3 * size - 1).removed) == ["images-256"]
    assert names(evict(three, 2 * size, to_come=1).removed) == ["views-a"]
    left = evict(three, 2 * size)
    assert (left.removed, left.bytes) == ((), size)
    assert [path.name for path in three.iterdir() if path.is_dir()] == ["views-b"]


def test_opening_and_writing_count_as_use(three: Path) -> None:
    ArrayStore(three / "images-256").close()
    assert names(list_stores(three))[-1] == "images-256"
    store = ArrayStore(three / "views-a")
    os.utime(lock_path(three / "views-a"), (0, 0))
    store.put({"more": np.zeros(1)})
    assert names(list_stores(three)) == ["views-b", "images-256", "views-a"]


def test_what_is_in_use_stays(three: Path) -> None:
    used = ArrayStore(three / "images-256")
    assert [store.in_use for store in list_stores(three)] == [False, False, True]
    found = evict(three, 0)
    assert names(found.removed) == ["views-a", "views-b"]
    assert found.bytes > 8000
    assert used.get("0").shape == (1000,)
    used.close()
    assert names(evict(three, 0).removed) == ["images-256"]


HOLD = """
import sys
from pathlib import Path
from headstart.data.store import ArrayStore
store = ArrayStore(Path(sys.argv[1]))
print("open", flush=True)
sys.stdin.readline()
"""


def test_what_another_process_uses_stays_until_it_is_killed(three: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(three / "images-256")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        assert names(evict(three, 0).removed) == ["views-a", "views-b"]
        holder.kill()
        holder.wait()
    assert names(evict(three, 0).removed) == ["images-256"]


def test_a_store_that_is_opened_while_others_are_removed_stays(
    three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[ArrayStore] = []
    listed = cache.list_stores

    def list_then_open(folder: Path) -> Any:
        found = listed(folder)
        opened.append(ArrayStore(three / "views-a"))
        return found

    monkeypatch.setattr(cache, "list_stores", list_then_open)
    assert names(evict(three, 0).removed) == ["images-256", "views-b"]
    assert "0" in opened[0]


def test_a_removed_store_can_be_written_again(three: Path) -> None:
    store = ArrayStore(three / "views-a")
    store.close()
    evict(three, 0)
    assert ArrayStore(three / "views-a").missing(["0"]) == ["0"]
    store.put({"0": np.ones(1)})
    assert ArrayStore(three / "views-a").get("0")[0] == 1.0


def test_what_a_kill_left_of_a_removed_store_goes_too(three: Path) -> None:
    (three / "views-a").rename(three / ".views-a.0123.removed")
    assert names(list_stores(three)) == ["images-256", "views-b"]
    evict(three, 10**9)
    assert not (three / ".views-a.0123.removed").exists()


def test_a_store_that_cannot_be_removed_is_an_error(
    three: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> Path:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(cache, "hide_folder", refuse)
    with pytest.raises(RunError, match=r"cannot remove .*images-256: Permission denied"):
        evict(three, 0)


def test_one_line_says_what_was_removed(three: Path) -> None:
    told = Telling()
    size = size_text(sum(store.bytes for store in list_stores(three)))
    make_room(three, 10**9, told)
    assert told.texts == []
    make_room(three, 10_000_000, told, to_come=9_999_999)
    assert told.texts == [f"Cache over 10 MB: removed 3 stores of {size} (pictures, views)."]


def test_a_run_that_needs_more_than_the_limit_goes_on(tmp_path: Path) -> None:
    told = Telling()
    make_room(tmp_path, 10**9, told, to_come=2 * 10**9)
    (text,) = told.texts
    assert text == (
        "This run and what else is in use need 2.0 GB of cache, more than the allowed 1.0 GB "
        "(--cache-size): going on."
    )
    held = add_store(tmp_path, "views-a", 0)
    make_room(tmp_path, 1000, told)
    assert told.texts == [text], "at the end of a run it was said already"
    held.close()


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_951, "10 kB"),
        (999_499, "999 kB"),
        (999_600, "1.0 MB"),
        (50_000_000_000, "50 GB"),
        (12_345_678_901_234, "12 TB"),
        (2 * 10**15, "2000 TB"),
    ],
)
def test_bytes_are_read_by_a_person(count: int, text: str) -> None:
    assert size_text(count) == text


def test_decoded_pictures_are_described(tmp_path: Path) -> None:
    images = ImageCache(tmp_path, (224, 224))
    images.add([("key", make_picture("disc", 0))])
    (found,) = list_stores(tmp_path)
    assert (found.kind, found.arrays, found.in_use) == ("pictures", 1, True)
    assert found.to_json().items() >= {"kind": "pictures", "side": 256, "in_use": True}.items()
    assert images.missing(["other", "key"]) == ["other"]
