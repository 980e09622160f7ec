"""Leeds Sports Pose and its extended training set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from headstart.config import DatasetOptions
from headstart.data import readers
from headstart.data.readers.leeds import NAMES, READER, SKELETON
from headstart.errors import DataError
from headstart.types import DataListing
from poses import touch, write_joints, write_leeds


def listed(root: Path) -> DataListing:
    listing = readers.read(root, DatasetOptions())
    assert listing.layout == "leeds-sports"
    return listing


def original(count: int) -> npt.NDArray[np.float64]:
    """(3, 14, count): joint k of picture n at (100 n + k + 1, k + 1.5), all visible."""
    joints = np.zeros((3, 14, count))
    joints[0] = np.arange(1, 15)[:, None] + 100 * np.arange(count)
    joints[1] = np.arange(14)[:, None] + 1.5
    return joints


def extended(count: int) -> npt.NDArray[np.float64]:
    joints = original(count).transpose(1, 0, 2).copy()
    joints[:, 2] = 1
    return joints


def test_names() -> None:
    assert len(NAMES) == 14
    assert SKELETON.flip_pairs == ((3, 2), (4, 1), (5, 0), (9, 8), (10, 7), (11, 6))
    named = {frozenset((NAMES[a], NAMES[b])) for a, b in SKELETON.bones}
    assert frozenset(("left_shoulder", "left_hip")) in named
    assert len(named) == 14


def test_one_means_hidden_in_the_original_set(tmp_path: Path) -> None:
    joints = original(2)
    joints[2, 13, 1] = 1
    write_joints(touch(tmp_path, "images/im0001.jpg", "images/im0002.jpg"), joints)
    listing = listed(tmp_path)
    first, second = (a.fields["points"].split() for a in listing.annotations)
    # MATLAB counts from 1: joint 0 of picture 0 is at (1, 1.5) in the file.
    assert first[:2] == ["0,0.5,2", "1,1.5,2"]
    assert second[0] == "100,0.5,2"
    assert second[13] == "113,13.5,1"
    assert [a.image for a in listing.annotations] == ["images/im0001.jpg", "images/im0002.jpg"]
    assert {(a.split, a.box, a.group) for a in listing.annotations} == {(None, None, None)}
    assert (listing.omissions, listing.notes) == ((), ())
    assert listing.skeleton == SKELETON


def test_one_means_labelled_in_the_extended_set(tmp_path: Path) -> None:
    joints = extended(2)
    joints[3, :, 1] = (-7.0, 3.0, 0)
    write_joints(touch(tmp_path, "images/im00001.jpg", "images/im00002.jpg"), joints)
    first, second = (a.fields["points"].split() for a in listed(tmp_path).annotations)
    assert first[:2] == ["0,0.5,2", "1,1.5,2"]
    assert (second[2], second[3]) == ("102,2.5,2", "0,0,0")


def test_a_set_of_one_picture(tmp_path: Path) -> None:
    write_joints(touch(tmp_path, "im0001.jpg"), original(1))
    assert [a.image for a in listed(tmp_path).annotations] == ["im0001.jpg"]
    assert [a.image for a in listed(tmp_path / "joints.mat").annotations] == ["im0001.jpg"]


@pytest.mark.parametrize(
    ("joints", "sides"),
    [(original(2000), ["train", "test"]), (extended(2000), [None, None])],
    ids=["original", "extended"],
)
def test_only_the_original_set_has_sides(
    tmp_path: Path, joints: npt.NDArray[np.float64], sides: list[str | None]
) -> None:
    write_joints(touch(tmp_path, "images/im1000.jpg", "images/im1001.jpg"), joints)
    listing = listed(tmp_path)
    assert [a.split for a in listing.annotations] == sides
    assert len(listing.omissions) == 1998
    assert bool(listing.notes) == (sides[0] is not None)


def test_what_has_no_partner_is_named(tmp_path: Path) -> None:
    files = ("im0001.jpg", "im0003.jpg", "im0003.png", "im0005.jpg", "im0000.jpg", "logo.jpg")
    touch(tmp_path, *(f"images/{name}" for name in files))
    joints = original(4)
    joints[0, 5, 3] = np.nan
    touch(tmp_path, "images/im0004.jpg")
    listing = listed(write_joints(tmp_path, joints))
    assert [a.image for a in listing.annotations] == ["images/im0001.jpg"]
    assert {o.image: o.reason for o in listing.omissions} == {
        "images/im0000.jpg": "joints.mat has only 4 entries",
        "images/im0005.jpg": "joints.mat has only 4 entries",
        "im0002": "no such file",
        "im0003": "2 pictures have this number",
        "images/im0004.jpg": "entry 4 of joints.mat holds a value that is no finite number",
        "images/logo.jpg": "its name is not im and a number",
    }


def test_a_picture_without_labels(tmp_path: Path) -> None:
    joints = extended(2)
    joints[:, 2, 0] = 0
    write_joints(touch(tmp_path, "images/im00001.jpg", "images/im00002.jpg"), joints)
    listing = listed(tmp_path)
    assert [a.image for a in listing.annotations] == ["images/im00002.jpg"]
    assert listing.omissions[0].reason == "none of its joints has a label"


@pytest.mark.parametrize(
    ("joints", "message"),
    [
        (np.zeros((3, 13, 5)), r"\(3, 14, pictures\) or \(14, 3, pictures\), got \(3, 13, 5\)"),
        (np.zeros((5, 14, 3)), r"got \(5, 14, 3\)"),
        (np.zeros((3, 14, 0)), "must hold numbers in three axes, got"),
        (np.zeros(5), "must hold numbers in three axes, got"),
        (np.array([["a"]]), "must hold numbers in three axes, got"),
    ],
)
def test_another_shape_is_refused(tmp_path: Path, joints: npt.ArrayLike, message: str) -> None:
    write_joints(touch(tmp_path, "images/im0001.jpg"), joints)
    with pytest.raises(DataError, match=message):
        READER.read(tmp_path, DatasetOptions())


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, "images/im0001.jpg", "joints.mat")
    with pytest.raises(DataError, match=r"joints.mat is no readable MATLAB file"):
        READER.read(tmp_path, DatasetOptions())
    write_joints(tmp_path, original(1), "points")
    with pytest.raises(DataError, match="the variable 'joints' is missing; found points"):
        READER.read(tmp_path, DatasetOptions())
    write_joints(tmp_path, np.full((3, 14, 1), np.nan))
    with pytest.raises(DataError, match=r"no usable points \(images/im0001.jpg: entry 1"):
        READER.read(tmp_path, DatasetOptions())


def test_other_folders_are_not_claimed(tmp_path: Path) -> None:
    touch(tmp_path, "images/cat.jpg", "joints.mat")
    assert not READER.claims(tmp_path)
    with pytest.raises(DataError, match=r"images holds no joints.mat"):
        READER.read(tmp_path / "images", DatasetOptions())


def test_written_data_is_complete(tmp_path: Path) -> None:
    listing = listed(write_leeds(tmp_path, 3))
    assert len(listing.annotations) == 3
    assert listing.omissions == ()
