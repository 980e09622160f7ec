"""What holds for every reader that is found in ``data/readers``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from headstart.config import DatasetOptions, dataset_options
from headstart.data import readers
from headstart.data.readers import Reader
from headstart.errors import DataError
from headstart.storage import cache_dir
from layouts import (
    write_coco_instances,
    write_parquet,
    write_shards,
    write_voc,
    write_yolo,
)
from pictures import (
    write_class_folders,
    write_class_table,
    write_mask_folders,
    write_named_files,
    write_split_folders,
)
from poses import (
    write_coco,
    write_head_pose,
    write_human_frames,
    write_leeds,
    write_mpii_json,
)

# One data set in the layout of each reader: a new reader adds its line.
EXAMPLES: dict[str, Callable[[Path], Path]] = {
    "class-folders": lambda root: write_split_folders(root, {"train": 2, "test": 1}),
    "coco-keypoints": lambda root: write_coco(root, 6),
    "mask-folders": lambda root: write_mask_folders(root, 2),
    "csv": lambda root: write_class_table(root, 2),
    "mpii": lambda root: write_mpii_json(root, 6),
    "leeds-sports": lambda root: write_leeds(root, 6),
    "human-frames": lambda root: write_human_frames(root, ("S1", "S9"), 3),
    "coco": lambda root: write_coco_instances(root, 2),
    "voc": lambda root: write_voc(root, 2),
    "yolo": lambda root: write_yolo(root, 2),
    "parquet": lambda root: write_parquet(root, 2),
    "web-dataset": lambda root: write_shards(root, 2),
    "file-names": lambda root: write_named_files(root, 2),
    "biwi-head-pose": lambda root: write_head_pose(root, ("01", "02"), 3),
}

READERS = readers.readers()
every_reader = pytest.mark.parametrize("reader", READERS, ids=[r.name for r in READERS])


def options_of(data: Path) -> DatasetOptions:
    return dataset_options(data if data.is_dir() else data.parent)


def test_every_reader_has_an_example() -> None:
    assert {reader.name for reader in READERS} == set(EXAMPLES)


def test_names_and_priorities_are_unique_and_falling() -> None:
    assert len({reader.name for reader in READERS}) == len(READERS)
    priorities = [reader.priority for reader in READERS]
    assert priorities == sorted(set(priorities), reverse=True)


@every_reader
def test_it_is_chosen_for_its_own_layout(reader: Reader, tmp_path: Path) -> None:
    data = EXAMPLES[reader.name](tmp_path / "data")
    assert reader.claims(data, options_of(data))
    listing = readers.read(data, options_of(data))
    assert listing.layout == reader.name
    assert not listing.omissions


@every_reader
def test_pictures_are_listed_once_with_relative_names(reader: Reader, tmp_path: Path) -> None:
    data = EXAMPLES[reader.name](tmp_path / "data")
    listing = reader.read(data, options_of(data))
    # Several people in one picture are told apart by their boxes.
    things = [(annotation.image, annotation.box) for annotation in listing.annotations]
    assert len(things) == len(set(things)) >= 6
    for annotation in listing.annotations:
        assert annotation.path == listing.root / annotation.image
        assert annotation.path.is_file()
        assert "\\" not in annotation.image
        assert annotation.fields
        assert all(isinstance(text, str) for text in annotation.fields.values())
        assert annotation.split in (None, "train", "val", "test")


@every_reader
def test_the_order_is_stable(reader: Reader, tmp_path: Path) -> None:
    data = EXAMPLES[reader.name](tmp_path / "data")
    assert reader.read(data, options_of(data)) == reader.read(data, options_of(data))


@every_reader
def test_no_picture_is_opened(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = EXAMPLES[reader.name](tmp_path / "data")
    listed = reader.read(data, options_of(data)).annotations
    pictures = {annotation.path for annotation in listed}
    assert pictures
    for path in pictures:
        path.write_bytes(b"no picture at all")
    assert reader.claims(data, options_of(data))
    assert len(reader.read(data, options_of(data)).annotations) == len(listed)


@every_reader
def test_a_picture_that_vanished_is_not_listed(reader: Reader, tmp_path: Path) -> None:
    data = EXAMPLES[reader.name](tmp_path / "data")
    before = reader.read(data, options_of(data)).annotations
    before[0].path.unlink()
    after = reader.read(data, options_of(data)).annotations
    # What lies inside other files is written out again.
    inside = before[0].path.is_relative_to(cache_dir())
    assert after == (before if inside else before[1:])


@every_reader
def test_it_does_not_claim_what_holds_nothing(reader: Reader, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello", encoding="utf-8")
    assert not reader.claims(tmp_path / "empty")
    assert not reader.claims(tmp_path / "notes.txt")
    assert not reader.claims(tmp_path)


@every_reader
def test_it_leaves_the_layouts_of_the_others_alone(reader: Reader, tmp_path: Path) -> None:
    others = [other for other in EXAMPLES if other != reader.name]
    assert others
    for other in others:
        data = EXAMPLES[other](tmp_path / other)
        assert readers.read(data, options_of(data)).layout == other


def test_unknown_data_names_all_layouts(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        readers.read(tmp_path, DatasetOptions())
    message = str(caught.value)
    start = f"{tmp_path} has no layout that is known and holds no pictures. Known are: "
    assert message.startswith(start)
    assert len(READERS) >= 2
    for reader in READERS:
        assert reader.layout in message


def test_a_path_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing does not exist"):
        readers.read(tmp_path / "nothing", DatasetOptions())


def test_pictures_without_folders_or_table_have_no_layout(tmp_path: Path) -> None:
    write_class_folders(tmp_path, {"disc": 1})
    with pytest.raises(DataError, match=r"disc has no layout that is known"):
        readers.read(tmp_path / "disc", DatasetOptions())
