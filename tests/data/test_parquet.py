"""Parquet tables and data sets of Hugging Face."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.config import DatasetOptions
from headstart.data.manifest import build_manifest
from headstart.data.readers.parquet import READER
from headstart.errors import DataError, MissingExtraError
from headstart.progress import QuietProgress
from headstart.runtime.images import read_image
from headstart.storage import cache_dir
from layouts import png, write_hugging_face, write_parquet
from pictures import KINDS, make_picture

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def table(root: Path, **columns: list[Any]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), root / "pictures.parquet")
    return root / "pictures.parquet"


def read(data: Path, **options: Any):
    return READER.read(data, DatasetOptions(**options))


def test_paths_lie_relative_to_the_table(tmp_path: Path) -> None:
    data = write_parquet(tmp_path / "data", 1)
    listing = read(data)
    assert listing.root == data
    found = [(a.image, a.fields, a.split) for a in listing.annotations]
    assert found == [(f"images/{kind}-0.png", {"label": kind}, None) for kind in KINDS]
    assert read(data / "pictures.parquet").annotations == listing.annotations


def test_pictures_inside_are_written_once_with_their_class_names_and_sides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_hugging_face(tmp_path / "data", 2)
    listing = read(data)
    assert len(listing.annotations) == 4 * len(KINDS)
    assert listing.root.is_relative_to(cache_dir())
    first = listing.annotations[0]
    assert (first.fields, first.split) == ({"label": KINDS[0]}, "test")
    np.testing.assert_array_equal(read_image(first.path), make_picture(KINDS[0], 100))
    monkeypatch.setattr("headstart.data.originals.write_bytes", lambda *a: pytest.fail("again"))
    assert read(data) == listing


def test_they_make_a_manifest(tmp_path: Path) -> None:
    found = build_manifest(write_hugging_face(tmp_path / "data", 2), progress=QuietProgress())
    assert (found.task, found.schema.classes) == ("classification", tuple(sorted(KINDS)))
    assert {len(found.on(side)) for side in ("train", "test")} == {2 * len(KINDS)}


def test_pictures_at_uris_are_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fsspec = pytest.importorskip("fsspec")
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/a.png", png("disc", 1))
    (tmp_path / "b.png").write_bytes(png("square", 1))
    uris = ["memory://bucket/a.png", (tmp_path / "b.png").as_uri(), "memory://bucket/lost.png"]
    data = table(tmp_path / "data", image=uris, label=["disc", "square", "disc"])
    listing = read(data)
    assert [a.fields["label"] for a in listing.annotations] == ["disc", "square"]
    pixels = read_image(listing.annotations[0].path)
    np.testing.assert_array_equal(pixels, make_picture("disc", 1))
    (lost,) = listing.omissions
    assert lost.image == "pictures.parquet row 3"
    assert lost.reason.startswith("memory://bucket/lost.png cannot be fetched")
    monkeypatch.setattr("headstart.data.originals.write_bytes", lambda *a: pytest.fail("again"))
    assert read(data) == listing
    monkeypatch.undo()
    memory.pipe("/bucket/a.png", png("disc", 2))
    changed = read(data).annotations[0]
    np.testing.assert_array_equal(read_image(changed.path), make_picture("disc", 2))


def test_split_group_and_lists(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/a.png").touch()
    data = table(
        tmp_path / "data",
        image=["a.png"],
        labels=[["x", "y"]],
        split=["Validation"],
        person=["p1"],
        score=[0.5],
    )
    (found,) = read(data, group="person").annotations
    assert (found.split, found.group) == ("val", "p1")
    assert found.fields == {"labels": "x|y", "score": "0.5"}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"picture": ["a.png"]}, "the column 'image' is missing; found picture"),
        ({"image": ["lost.png"]}, "row 1: no such file: lost.png"),
        ({"image": [None]}, "row 1: it has no picture"),
        ({"image": [b""]}, "row 1: it has no picture"),
        ({"image": ["pictures.parquet"], "split": ["dev"]}, "row 1: split must be one of"),
    ],
)
def test_a_broken_table_says_where(tmp_path: Path, columns: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(table(tmp_path, **columns))


def test_a_file_that_is_cut_off_is_said(tmp_path: Path) -> None:
    file = table(tmp_path, image=["a.png"])
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"pictures\.parquet is no readable Parquet file"):
        read(file)


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = table(tmp_path, image=["a.png"])
    usual = builtins.__import__

    def missing(name: str, *args: Any, **options: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return usual(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingExtraError, match=r"Reading Parquet files needs the extra 'parquet'"):
        read(file)
