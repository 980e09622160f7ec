"""What runs share through the cache, and what they leave of it."""

from __future__ import annotations

import errno
import gc
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart
from headstart.data.cache import list_stores
from headstart.data.store import ArrayStore
from headstart.errors import RunError
from headstart.storage import cache_dir, lock_path
from headstart.training import engines
from pictures import write_class_folders, write_split_folders
from telling import Telling

SETTINGS: dict[str, Any] = {
    "image_size": 64,
    "batch_size": 16,
    "views": 1,
    "freeze_epochs": 1,
    "epochs": 1,
    "engine": "torch-float32",
}


@pytest.fixture
def uncollected() -> Iterator[None]:
    """No garbage is collected: what nobody closed stays open."""
    gc.disable()
    yield
    gc.enable()


def old_store(name: str) -> Path:
    """A store of another run, used in 1970."""
    folder = cache_dir() / name
    store = ArrayStore(folder)
    store.put({"a": np.zeros(100_000)})
    store.close()
    os.utime(lock_path(folder), (0, 0))
    return folder


@pytest.mark.usefixtures("uncollected")
def test_runs_share_views_and_keep_to_the_size_of_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_class_folders(tmp_path / "photos", 14)
    first = headstart.train(data, out=tmp_path / "first", **SETTINGS)
    stores = {store.path.name for store in list_stores(cache_dir())}
    assert {store.kind for store in list_stores(cache_dir())} == {
        "pictures",
        "views",
        "vectors",
    }
    assert not any(store.in_use for store in list_stores(cache_dir()))
    unused = old_store("views-0123")

    def refuse(*args: Any) -> None:
        pytest.fail("an engine was opened although every view is stored")

    monkeypatch.setattr(engines, "open_engine", refuse)
    told = Telling()
    second = headstart.train(
        data, out=tmp_path / "second", lr=1e-4, cache_size="100kB", progress=told, **SETTINGS
    )
    assert first.metrics["n_images"] == second.metrics["n_images"]
    assert not {"decode", "compare", "frozen part"} & set(told.bars)
    (removed,) = [text for text in told.texts if text.startswith("Cache over")]
    # Vectors are opened after room was made for views, and then computed again.
    assert re.fullmatch(
        r"Cache over 100 kB: removed 2 stores of 1\.\d MB \(views, vectors\)\.", removed
    )
    (complaint,) = [text for text in told.texts if "more than the allowed 100 kB" in text]
    assert complaint.startswith("This run and what else is in use need ")
    assert not unused.exists()
    assert {store.path.name for store in list_stores(cache_dir())} == stores
    # The size of the cache does not change the model.
    headstart.train(data, out=second.run, resume=True, cache_size="2GB")


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize(
    ("settings", "kinds"),
    [({}, {"pictures", "views", "vectors"}), ({"strategy": "full"}, {"pictures"})],
    ids=["stored", "live"],
)
def test_a_search_for_a_rate_lets_go_of_the_cache(
    tmp_path: Path, settings: dict[str, str], kinds: set[str]
) -> None:
    data = write_class_folders(tmp_path / "photos", 14)
    headstart.lr_find(data, **SETTINGS, **settings)
    stores = list_stores(cache_dir())
    assert {store.kind for store in stores} == kinds
    assert not any(store.in_use for store in stores)


def test_pictures_that_only_test_leave_no_decoded_copy(tmp_path: Path) -> None:
    data = write_split_folders(tmp_path / "photos", {"train": 14, "test": 6})
    headstart.lr_find(data, **SETTINGS)
    (pictures,) = [store for store in list_stores(cache_dir()) if store.kind == "pictures"]
    assert pictures.arrays == 3 * 14


def test_a_full_disk_stops_a_run_that_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_class_folders(tmp_path / "photos", 14)
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.parent.name.startswith("views-"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(RunError, match=r"No space left on device; free space, .*--clear'"):
            headstart.train(data, out=tmp_path / "run", **SETTINGS)
    (pictures,) = [store for store in list_stores(cache_dir()) if store.arrays]
    assert (pictures.kind, pictures.arrays) == ("pictures", 42)
    told = Telling()
    resumed = headstart.train(data, out=tmp_path / "run", resume=True, progress=told)
    assert "decode" not in told.bars
    assert "frozen part" in told.bars
    assert resumed.metrics["n_images"] > 0
