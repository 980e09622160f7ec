"""Frames with a JSON file each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headstart.config import DatasetOptions
from headstart.data import readers
from headstart.data.readers.human_frames import READER
from headstart.errors import DataError
from headstart.types import DataListing, Skeleton
from poses import NAMES, touch, write_human_frames, write_json

POINTS = [[1, 2], [3.5, 4], [5, 6]]


def frame(root: Path, name: str, **content: Any) -> None:
    """Writes a frame; without a content it has ``POINTS``."""
    touch(root, f"{name}.jpg")
    write_json(root / f"{name}.json", content or {"keypoints_2d": POINTS})


def listed(root: Path) -> DataListing:
    listing = readers.read(root, DatasetOptions())
    assert listing.layout == "human-frames"
    return listing


def left_out(listing: DataListing) -> dict[str, str]:
    return {omission.image: omission.reason for omission in listing.omissions}


@pytest.mark.parametrize("key", ["keypoints_2d", "joints_2d", "pose_2d"])
def test_frames(tmp_path: Path, key: str) -> None:
    values = [[1, 2, 0.8], [3.5, 4, 0], None]
    frame(tmp_path, "S1/walking/cam0/1", **{key: values, "names": NAMES, "bbox": [1, 2, 3, 4.5]})
    listing = listed(tmp_path)
    (annotation,) = listing.annotations
    assert annotation.image == "S1/walking/cam0/1.jpg"
    assert annotation.fields == {"points": "1,2,2 0,0,0 0,0,0"}
    assert annotation.box == (1, 2, 3, 4.5)
    assert (annotation.group, annotation.split) == ("S1", None)
    assert listing.skeleton == Skeleton(NAMES)
    assert (listing.omissions, listing.notes) == ((), ())


def test_files_without_names(tmp_path: Path) -> None:
    frame(tmp_path, "anna/1")
    frame(tmp_path, "2")
    listing = listed(tmp_path)
    assert listing.skeleton == Skeleton(("point_0", "point_1", "point_2"))
    assert [note.partition(":")[0] for note in listing.notes] == [
        "the files do not name their points"
    ]
    assert [(a.image, a.group) for a in listing.annotations] == [
        ("2.jpg", None),
        ("anna/1.jpg", "anna"),
    ]


def test_the_protocol_of_human36m(tmp_path: Path) -> None:
    people = ("S1", "S5", "S6", "S7", "S8", "S9", "S11")
    listing = listed(write_human_frames(tmp_path, people, 1))
    assert {a.group: a.split for a in listing.annotations} == {
        **dict.fromkeys(people[:5], "train"),
        **dict.fromkeys(people[5:], "test"),
    }
    (note,) = listing.notes
    assert note == (
        "the people are divided as results on Human3.6M are published: S1, S5, S6, S7, S8 train, "
        "S9, S11 test"
    )


@pytest.mark.parametrize("people", [("S1", "S5"), ("S9", "S11"), ("S1", "S2", "S9"), ("a", "b")])
def test_other_people_have_no_sides(tmp_path: Path, people: tuple[str, ...]) -> None:
    listing = listed(write_human_frames(tmp_path, people, 1))
    assert {(a.group, a.split) for a in listing.annotations} == {(name, None) for name in people}
    assert listing.notes == ()


def test_a_folder_above_the_people(tmp_path: Path) -> None:
    write_human_frames(tmp_path / "images", ("S1", "S9"), 1)
    listing = listed(tmp_path)
    assert {(a.group, a.split) for a in listing.annotations} == {("S1", "train"), ("S9", "test")}


def test_what_has_no_partner_is_named(tmp_path: Path) -> None:
    frame(tmp_path, "S1/1")
    frame(tmp_path, "S1/2")
    touch(tmp_path, "S1/2.png", "S1/3.jpg")
    write_json(tmp_path / "S1/4.json", {"keypoints_2d": POINTS})
    write_json(tmp_path / "info.json", {"camera": 1})
    listing = listed(tmp_path)
    assert [annotation.image for annotation in listing.annotations] == ["S1/1.jpg"]
    reason = "2.json may belong to any of S1/2.jpg and S1/2.png"
    assert left_out(listing) == {
        "S1/2.jpg": reason,
        "S1/2.png": reason,
        "S1/3.jpg": "it has no 3.json beside it",
        "S1/4.json": "no picture belongs to this file",
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"keypoints_2d": POINTS[:2]}, "it has 2 points, most others have 3"),
        ({"keypoints_2d": POINTS, "names": ["a", "b", "c"]}, "its points have other names than"),
        ({"keypoints_2d": POINTS, "names": ["a", "a", "c"]}, "must be 3 different texts"),
        ({"keypoints_2d": [[float("nan"), 1], *POINTS[1:]]}, r"must be [x, y] or [x, y, confi"),
        ({"keypoints_2d": [[1], *POINTS[1:]]}, "of finite numbers, got [1]"),
        ({"keypoints_2d": [["1", "2"], *POINTS[1:]]}, "of finite numbers, got ['1', '2']"),
        ({"keypoints_2d": {"nose": [1, 2]}}, "keypoints_2d must be a list of points"),
        ({"keypoints_2d": []}, "keypoints_2d must be a list of points, got []"),
        ({"keypoints_2d": [None] * 3}, "none of its points has a label"),
        ({"keypoints_2d": POINTS, "pose_2d": POINTS}, "must hold one of keypoints_2d, joints_2d"),
        ({"label": 1}, "must hold one of keypoints_2d, joints_2d, pose_2d, found 0"),
        ({"keypoints_2d": POINTS, "bbox": [1, 2, 3]}, "bbox must be [x, y, width, height], got"),
        ({"keypoints_2d": POINTS, "bbox": [1, 2, 3, -4]}, "bbox must be [x, y, width, height]"),
    ],
)
def test_a_broken_frame_is_left_out(tmp_path: Path, content: dict[str, Any], reason: str) -> None:
    for name in ("1", "2"):
        frame(tmp_path, f"S1/{name}")
    frame(tmp_path, "S1/bad", **content)
    listing = listed(tmp_path)
    assert [a.image for a in listing.annotations] == ["S1/1.jpg", "S1/2.jpg"]
    assert [omission.image for omission in listing.omissions] == ["S1/bad.jpg"]
    assert reason in listing.omissions[0].reason


def test_an_unreadable_frame_is_left_out(tmp_path: Path) -> None:
    frame(tmp_path, "S1/1")
    frame(tmp_path, "S1/2")
    (tmp_path / "S1/2.json").write_text('{"keypoints_2d": [', encoding="utf-8")
    assert "is no readable JSON" in left_out(listed(tmp_path))["S1/2.jpg"]


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    frame(tmp_path, "S1/1", keypoints_2d=[])
    with pytest.raises(DataError, match=r"no usable points \(S1/1.jpg: 1.json: keypoints_2d must"):
        readers.read(tmp_path, DatasetOptions())


def test_points_outside_of_the_picture_are_listed(tmp_path: Path) -> None:
    frame(tmp_path, "S1/1", keypoints_2d=[[-3, 5000]])
    assert listed(tmp_path).annotations[0].fields == {"points": "-3,5000,2"}


def test_other_folders_are_not_claimed(tmp_path: Path) -> None:
    touch(tmp_path, "cats/1.jpg", "cats/2.jpg")
    write_json(tmp_path / "cats/1.json", {"shapes": []})
    write_json(tmp_path / "cats/other.json", {"keypoints_2d": POINTS})
    assert not READER.claims(tmp_path)
    assert not READER.claims(tmp_path / "cats/1.json")
