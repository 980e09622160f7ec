"""MPII, Leeds, frames with JSON, Kinect head poses: places, names, and what is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from headstart.config import DatasetOptions
from headstart.data.readers import head_pose, human_frames, leeds, mpii
from headstart.errors import DataError
from headstart.types import DataListing
from poses import NAMES, make_pose, write_frames, write_head_pose, write_leeds, write_mpii_json

OPTIONS = DatasetOptions()


def points(listing: DataListing, at: int = 0) -> list[list[float]]:
    return [
        [float(value) for value in text.split(",")]
        for text in listing.annotations[at].fields["points"].split()
    ]


def reasons(listing: DataListing) -> dict[str, str]:
    return {omission.image: omission.reason for omission in listing.omissions}


def test_mpii_json_counts_from_1_and_cuts_a_square_of_the_persons_height(tmp_path: Path) -> None:
    """By hand: 200 times 0.25 is 50, around (64, 48) when counted from 0."""
    listing = mpii.READER.read(write_mpii_json(tmp_path), OPTIONS)
    assert points(listing)[:2] == [[0.0, 1.0, 1.0], [1.0, 2.0, 1.0]]
    assert points(listing)[15] == [0.0, 0.0, 0.0]
    assert listing.annotations[0].box == (39.0, 23.0, 50.0, 50.0)
    assert {a.split for a in listing.annotations} == {"train"}
    assert listing.skeleton is not None
    assert len(listing.skeleton.flip_pairs) == 6


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"image": "gone.jpg"}, {"images/gone.jpg": "no such file"}),
        ({"joints": [[float("nan"), 1.0]] * 16}, {"images/000.jpg": "no finite numbers"}),
        ({"joints": [[1.0, 1.0]] * 3}, {"images/000.jpg": "no finite numbers"}),
    ],
)
def test_mpii_lists_what_cannot_be_used(
    tmp_path: Path, changes: dict[str, Any], reason: dict[str, str]
) -> None:
    listing = mpii.READER.read(write_mpii_json(tmp_path, **changes), OPTIONS)
    assert len(listing.annotations) == 5
    ((image, text),) = reason.items()
    assert text in reasons(listing)[image]


def test_people_of_mpii_without_joints_are_counted(tmp_path: Path) -> None:
    listing = mpii.READER.read(write_mpii_json(tmp_path, joints_vis=[0] * 16), OPTIONS)
    assert listing.notes == ("1 people without joints are skipped",)


def test_mpii_json_that_is_something_else_is_refused(tmp_path: Path) -> None:
    root = write_mpii_json(tmp_path)
    for text in ('{"a": 1}', "[{}]", "no json"):
        (root / "annot/train.json").write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=r"train\.json is no joint file of MPII"):
            mpii.READER.read(root, OPTIONS)


def test_the_matlab_file_of_mpii(tmp_path: Path) -> None:
    """By hand: the head's diagonal is 50, of which PCKh takes 0.6."""
    root = write_mpii_json(tmp_path, 2)
    (root / "annot/train.json").unlink()
    joints = [
        {"id": 0, "x": 11.0, "y": 21.0, "is_visible": 1},
        {"id": 9, "x": 31.0, "y": 41.0},
        {"id": 15, "x": 51.0, "y": 61.0, "is_visible": "0"},
    ]
    rect = {"x1": 0, "y1": 0, "x2": 30, "y2": 40, "scale": 0.5, "objpos": {"x": 61, "y": 51}}
    annolist = [
        {"image": {"name": "000.jpg"}, "annorect": {**rect, "annopoints": {"point": joints}}},
        {"image": {"name": "001.jpg"}, "annorect": rect},
    ]
    savemat(
        root / "mpii_human_pose_v1_u12_1.mat",
        {"RELEASE": {"annolist": annolist, "img_train": [1, 0]}},
    )
    listing = mpii.READER.read(root, OPTIONS)
    assert mpii.READER.claims(root)
    (annotation,) = listing.annotations
    found = points(listing)
    assert (found[0], found[9], found[15]) == ([10, 20, 2], [30, 40, 2], [50, 60, 1])
    assert found[1] == [0.0, 0.0, 0.0]
    assert float(annotation.fields["head"]) == 30.0
    assert annotation.box == (10.0, 0.0, 100.0, 100.0)
    assert listing.notes == ("1 people without joints are skipped",)


@pytest.mark.parametrize("extended", [False, True])
def test_leeds_marks_hidden_joints_in_two_ways(tmp_path: Path, extended: bool) -> None:
    listing = leeds.READER.read(write_leeds(tmp_path, extended=extended), OPTIONS)
    assert [a.image for a in listing.annotations][:2] == ["images/im0001.jpg", "images/im0002.jpg"]
    assert points(listing, 1)[0] == [1.0, 19.0, 2.0]
    assert points(listing)[13] == ([0.0, 0.0, 0.0] if extended else [13.0, 32.0, 1.0])
    assert {a.split for a in listing.annotations} == {None}


def test_leeds_lists_pictures_and_joints_without_each_other(tmp_path: Path) -> None:
    root = write_leeds(tmp_path, 3)
    (root / "images/im0002.jpg").rename(root / "images/im0009.jpg")
    assert reasons(leeds.READER.read(root, OPTIONS)) == {
        "images/im0002.jpg": "no such file",
        "images/im0009.jpg": "joints.mat has no joints for it",
    }


@pytest.mark.parametrize("content", [b"", b"no matlab", None])
def test_a_broken_matlab_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    root = write_leeds(tmp_path, 2)
    if content is None:
        savemat(root / "joints.mat", {"joints": np.zeros((4, 4))})
    else:
        (root / "joints.mat").write_bytes(content)
    with pytest.raises(DataError, match=r"joints\.mat"):
        leeds.READER.read(root, OPTIONS)


def test_frames_have_the_points_of_their_file_and_people_stay_together(tmp_path: Path) -> None:
    listing = human_frames.READER.read(write_frames(tmp_path), OPTIONS)
    _, (truth,) = make_pose(0)
    assert np.allclose([row[:2] for row in points(listing)], truth, atol=1e-3)
    assert [a.group for a in listing.annotations] == ["ann"] * 3 + ["bob"] * 3
    assert listing.annotations[0].box == (5.0, 6.0, 70.0, 80.0)
    assert listing.skeleton is not None
    assert listing.skeleton.names == NAMES


def test_subjects_of_the_published_protocol_get_its_sides(tmp_path: Path) -> None:
    listing = human_frames.READER.read(write_frames(tmp_path, ("S1", "S9"), 3), OPTIONS)
    assert [a.split for a in listing.annotations] == ["train"] * 3 + ["test"] * 3
    assert listing.notes


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"joints_2d": [[1, 2]]}, "not the 3 of the other frames"),
        ({"joints_2d": [[1, 2, 0.5, 4]] * 3}, "must be x, y and perhaps a confidence"),
        ({"joints_2d": [["1", 2]] * 3}, "must be x, y and perhaps a confidence"),
        ({"joints_2d": [[float("nan"), 2]] * 3}, "none of its joints has a label"),
        ({"names": list(NAMES), "joints_2d": [[1, 2]] * 3, "bbox": [0, 0, 0, 1]}, "has no area"),
        ({}, "its file has no joints"),
    ],
)
def test_frames_that_cannot_be_used_are_listed(
    tmp_path: Path, content: dict[str, Any], reason: str
) -> None:
    root = write_frames(tmp_path)
    (root / "bob/walk/001.json").write_text(json.dumps(content), encoding="utf-8")
    (root / "bob/walk/002.json").unlink()
    (root / "ann/walk/stray.json").write_text("{}", encoding="utf-8")
    found = reasons(human_frames.READER.read(root, OPTIONS))
    assert reason in found["bob/walk/001.jpg"]
    assert found["bob/walk/002.jpg"] == "there is no 002.json beside it"
    assert found["ann/walk/stray.json"] == "no picture belongs to it"


def test_the_centre_of_a_head_is_projected_by_the_colour_camera(tmp_path: Path) -> None:
    """By hand: x = 500 * (-10 + 10) / 1000 + 64 = 64, y = 500 * 40 / 1000 + 48 = 68."""
    listing = head_pose.READER.read(write_head_pose(tmp_path), OPTIONS)
    assert points(listing, 0) == [[64.0, 68.0, 2.0]]
    assert points(listing, 1) == [[74.0, 68.0, 2.0]]
    assert [a.group for a in listing.annotations] == ["01"] * 3 + ["02"] * 3
    turned = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    camera = np.array([[100.0, 0.0, 5.0], [0.0, 200.0, 7.0], [0.0, 0.0, 1.0]])
    found = head_pose.project(np.array([1.0, 2.0, 9.0]), camera, turned, np.array([0.0, 0.0, 1.0]))
    assert found == (100 * -2 / 10 + 5, 200 * 1 / 10 + 7)


def test_head_poses_that_cannot_be_used_are_listed(tmp_path: Path) -> None:
    root = write_head_pose(tmp_path)
    (root / "01/frame_00000_pose.txt").write_text("1 2 3", encoding="utf-8")
    behind = "1 0 0\n0 1 0\n0 0 1\n\n0 0 -5\n"
    (root / "01/frame_00001_pose.txt").write_text(behind, encoding="utf-8")
    (root / "02/frame_00000_pose.txt").unlink()
    (root / "02/frame_00001_rgb.png").unlink()
    found = reasons(head_pose.READER.read(root, OPTIONS))
    assert "must hold 12 finite numbers, got 3" in found["01/frame_00000_rgb.png"]
    assert "behind the camera" in found["01/frame_00001_rgb.png"]
    assert found["02/frame_00000_rgb.png"] == "it has no pose file"
    assert found["02/frame_00001_pose.txt"] == "no picture belongs to this pose"


@pytest.mark.parametrize(
    ("text", "message"), [("1 2", r"rgb\.cal must hold 25"), ("a", r"rgb\.cal cannot be read")]
)
def test_a_calibration_that_cannot_be_read_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    root = write_head_pose(tmp_path)
    (root / "01/rgb.cal").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        head_pose.READER.read(root, OPTIONS)
