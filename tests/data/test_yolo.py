"""YOLO text files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headstart.config import DatasetOptions
from headstart.data.manifest import build_manifest, parse_data
from headstart.data.readers.yolo import READER
from headstart.errors import DataError
from headstart.progress import QuietProgress
from layouts import write_yolo
from pictures import KINDS, SIZE, write_picture

HEIGHT, WIDTH = SIZE
# A rectangle from a quarter to three quarters of the width and from the top to the half.
OUTLINE = "0.25 0 0.75 0 0.75 0.5 0.25 0.5"


def read(root: Path):
    return READER.read(root, DatasetOptions())


def test_boxes_say_what_a_picture_shows(tmp_path: Path) -> None:
    rows = {"disc": "0 0.5 0.5 0.2 0.2\n2 0.5 0.5 0.2 0.2\n0 0.1 0.1 0.1 0.1", "square": ""}
    listing = read(write_yolo(tmp_path, 1, rows=rows))
    found = {a.image: (a.fields, a.split) for a in listing.annotations}
    assert found["images/train/disc-0.png"] == ({"labels": f"disc|{KINDS[2]}"}, "train")
    assert found["images/val/square-0.png"] == ({"labels": ""}, "val")
    assert len(found) == 2 * len(KINDS)


def test_outlines_become_masks(tmp_path: Path) -> None:
    rows = {kind: f"{number} {OUTLINE}" for number, kind in enumerate(KINDS)}
    data = write_yolo(tmp_path / "data", 1, rows=rows)
    found = build_manifest(data, progress=QuietProgress())
    assert found.task == "segmentation"
    assert found.schema.classes == ("background", *KINDS)
    mask = found.records[0].target.read(found.schema)
    expected = np.zeros(SIZE, np.uint8)
    expected[: HEIGHT // 2, WIDTH // 4 : 3 * WIDTH // 4] = 1
    np.testing.assert_array_equal(mask, expected)


def test_points_are_places_in_pixels(tmp_path: Path) -> None:
    row = "0 0.5 0.5 0.5 0.5 0.25 0.5 2 0.75 0.5 1"
    data = write_yolo(
        tmp_path / "data",
        1,
        rows=dict.fromkeys(KINDS, row),
        kpt_shape=[2, 3],
        flip_idx=[1, 0],
        kpt_names={0: ["left", "right"]},
    )
    listing = read(data)
    assert len(listing.annotations) == 2 * len(KINDS)
    first = listing.annotations[0]
    x, y = WIDTH / 4, HEIGHT / 2
    assert first.fields == {"points": f"{x:g},{y:g},2 {3 * x:g},{y:g},1"}
    assert first.box == (WIDTH / 4, HEIGHT / 4, WIDTH / 2, HEIGHT / 2)
    assert listing.skeleton is not None
    assert listing.skeleton.names == ("left", "right")
    assert listing.skeleton.flip_pairs == ((0, 1),)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("0 0.5 0.5 0.2", "must have 5 values for a box, got 4"),
        ("9 0.5 0.5 0.2 0.2", "the class must be 0 to 2, got 9"),
        ("0.5 0.5 0.5 0.2 0.2", "the class must be 0 to 2, got 0.5"),
        ("0 a 0.5 0.2 0.2", "could not convert string to float: 'a'"),
        ("0 nan 0.5 0.2 0.2", "a value is not finite"),
        ("0 320 240 50 50", "places must be shares from 0 to 1"),
    ],
)
def test_a_broken_row_is_named_with_file_and_line(tmp_path: Path, row: str, reason: str) -> None:
    rows = {"square": f"1 0.5 0.5 0.2 0.2\n{row}"}
    listing = read(write_yolo(tmp_path, 1, rows=rows))
    assert len(listing.annotations) == 2 * (len(KINDS) - 1)
    assert [omission.image for omission in listing.omissions] == [
        "images/train/square-0.png",
        "images/val/square-0.png",
    ]
    for omission in listing.omissions:
        assert omission.reason.startswith(f"square-0.txt line 2: {reason}")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"names": []}, "names must be a list of the classes"),
        ({"names": {"1": "disc"}}, "the names must have the numbers 0 to 0"),
        ({"train": "lost"}, "train names 'lost', which is no folder beside the file"),
        ({"kpt_shape": [2]}, r"kpt_shape must be \[points, 2 or 3\]"),
        ({"kpt_shape": [2, 3], "flip_idx": [0, 0]}, "flip_idx must hold each of 0 to 1 once"),
    ],
)
def test_a_broken_description_is_said(tmp_path: Path, entries: dict, message: str) -> None:
    with pytest.raises(DataError, match=rf"data\.yaml: {message}"):
        read(write_yolo(tmp_path, 1, **entries))


def test_exports_that_say_one_level_too_many_are_understood(tmp_path: Path) -> None:
    listing = read(write_yolo(tmp_path, 1, train="../images/train", val="../images/val"))
    assert len(listing.annotations) == 2 * len(KINDS)


def test_turned_and_unreadable_pictures_are_left_out_where_the_size_matters(
    tmp_path: Path,
) -> None:
    rows = {kind: f"{number} {OUTLINE}" for number, kind in enumerate(KINDS)}
    data = write_yolo(tmp_path / "data", 1, rows=rows)
    exif = Image.Exif()
    exif[274] = 6
    turned = data / "images/train/disc-0.png"
    Image.open(turned).convert("RGB").save(turned, exif=exif)
    (data / "images/val/disc-0.png").write_bytes(b"no picture")
    reasons = {o.image: o.reason for o in read(data).omissions}
    assert "its EXIF entry turns it" in reasons["images/train/disc-0.png"]
    assert "not a picture of a known format" in reasons["images/val/disc-0.png"]


def test_a_picture_beside_the_folders_is_named(tmp_path: Path) -> None:
    data = write_yolo(tmp_path, 1)
    write_picture(data / "more/x.png", np.zeros((4, 4, 3), np.uint8))
    listing = read(data)
    assert [(o.image, o.reason) for o in listing.omissions] == [
        ("more/x.png", "it has no annotation")
    ]


def test_the_task_may_be_asked_for(tmp_path: Path) -> None:
    rows = {kind: f"{number} {OUTLINE}" for number, kind in enumerate(KINDS)}
    parsed = parse_data(write_yolo(tmp_path / "data", 1, rows=rows), task="multilabel")
    assert parsed.schema.classes == tuple(sorted(KINDS))
