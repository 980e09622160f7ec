"""Folders named after the classes."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.config import DatasetOptions
from headstart.data import readers
from headstart.errors import DataError
from headstart.types import DataListing


def listed(root: Path, *files: str) -> DataListing:
    """Makes empty files (readers open none) and reads the folder."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return readers.read(root, DatasetOptions())


def rows(listing: DataListing) -> list[tuple[str, str, str | None]]:
    return [(a.image, a.fields["label"], a.split) for a in listing.annotations]


def left_out(listing: DataListing) -> list[tuple[str, str]]:
    return [(omission.image, omission.reason) for omission in listing.omissions]


def test_without_sides(tmp_path: Path) -> None:
    listing = listed(tmp_path, "dog/b.png", "cat/a.jpg", "cat/B.JPG")
    assert rows(listing) == [
        ("cat/B.JPG", "cat", None),
        ("cat/a.jpg", "cat", None),
        ("dog/b.png", "dog", None),
    ]
    assert listing.omissions == ()


@pytest.mark.parametrize(
    ("folder", "side"),
    [
        ("training", "train"),
        ("Train", "train"),
        ("val", "val"),
        ("valid", "val"),
        ("Validation", "val"),
        ("TEST", "test"),
    ],
)
def test_names_of_sides(tmp_path: Path, folder: str, side: str) -> None:
    listing = listed(tmp_path, "train/cat/1.png", f"{folder}/dog/2.png")
    found = {image: split for image, _, split in rows(listing)}
    assert found == {"train/cat/1.png": "train", f"{folder}/dog/2.png": side}


def test_nested_folders_belong_to_the_class_above(tmp_path: Path) -> None:
    listing = listed(tmp_path, "cat/a.png", "cat/old/2019/b.png", "dog/c.png")
    assert rows(listing) == [
        ("cat/a.png", "cat", None),
        ("cat/old/2019/b.png", "cat", None),
        ("dog/c.png", "dog", None),
    ]


def test_stray_files_are_named_and_hidden_ones_passed_over(tmp_path: Path) -> None:
    listing = listed(
        tmp_path,
        "cat/a.png",
        "dog/b.png",
        "dog/notes.txt",
        "dog/raw/c.cr2",
        "dog/README",
        "stray.jpg",
        "dataset.csv",
        ".hidden.png",
        "dog/.hidden.png",
        ".cache/x/y.png",
        "dog/.thumbs/z.png",
    )
    assert [image for image, _, _ in rows(listing)] == ["cat/a.png", "dog/b.png"]
    assert left_out(listing) == [
        ("stray.jpg", "it lies in no class folder"),
        ("dog/README", "its ending '' is not a picture's"),
        ("dog/notes.txt", "its ending '.txt' is not a picture's"),
        ("dog/raw/c.cr2", "its ending '.cr2' is not a picture's"),
    ]


def test_pictures_beside_the_sides_are_named(tmp_path: Path) -> None:
    listing = listed(
        tmp_path, "train/cat/a.png", "train/b.png", "test/cat/c.png", "d.png", "more/cat/e.png"
    )
    assert rows(listing) == [
        ("test/cat/c.png", "cat", "test"),
        ("train/cat/a.png", "cat", "train"),
    ]
    assert left_out(listing) == [
        ("d.png", "it lies in no folder of a split"),
        ("more/cat/e.png", "it lies in no folder of a split"),
        ("train/b.png", "it lies in no class folder"),
    ]


@pytest.mark.parametrize("name", ["train", "test", "val"])
def test_a_class_may_be_called_like_a_side(tmp_path: Path, name: str) -> None:
    listing = listed(tmp_path, f"{name}/a.png", "bus/b.png")
    assert rows(listing) == [("bus/b.png", "bus", None), (f"{name}/a.png", name, None)]


def test_sides_without_train_are_sides(tmp_path: Path) -> None:
    listing = listed(tmp_path, "val/cat/a.png", "test/dog/b.png")
    assert rows(listing) == [("test/dog/b.png", "dog", "test"), ("val/cat/a.png", "cat", "val")]


def test_folders_without_pictures_have_no_layout(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no layout that is known"):
        listed(tmp_path, "cat/a.txt", "dog/.b.png")


def test_reading_what_was_not_claimed_says_that_nothing_is_there(tmp_path: Path) -> None:
    (reader,) = (found for found in readers.readers() if found.name == "class-folders")
    with pytest.raises(DataError, match="holds no pictures"):
        reader.read(tmp_path, DatasetOptions())


def test_sides_may_lie_below_the_classes(tmp_path: Path) -> None:
    listing = listed(tmp_path, "cat/train/a.png", "cat/Test/b.png", "dog/train/c.png")
    assert rows(listing) == [
        ("cat/Test/b.png", "cat", "test"),
        ("cat/train/a.png", "cat", "train"),
        ("dog/train/c.png", "dog", "train"),
    ]


def test_folders_that_hold_one_folder_say_nothing(tmp_path: Path) -> None:
    listing = listed(tmp_path, "archive/pets/cat/a.png", "archive/pets/dog/old/b.png")
    assert rows(listing) == [
        ("archive/pets/cat/a.png", "cat", None),
        ("archive/pets/dog/old/b.png", "dog", None),
    ]
    inside = listed(tmp_path / "more", "pets/train/cat/a.png", "pets/val/dog/b.png", "x.txt")
    assert rows(inside) == [
        ("pets/train/cat/a.png", "cat", "train"),
        ("pets/val/dog/b.png", "dog", "val"),
    ]


def test_a_nesting_with_two_readings_is_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"class of animals/cat/a\.png may be 'animals' or 'cat'"):
        listed(tmp_path, "animals/cat/a.png", "plants/rose/b.png")


@pytest.mark.parametrize("name", ["Ünïcode 猫 🐈", "x" * 200])
def test_classes_and_pictures_may_have_any_name(tmp_path: Path, name: str) -> None:
    listing = listed(tmp_path, f"{name}/{name}.png", "dog/b.png")
    assert (f"{name}/{name}.png", name, None) in rows(listing)
