"""MPII Human Pose, from MATLAB and from JSON."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.config import DatasetOptions
from headstart.data import readers
from headstart.data.readers.mpii import NAMES, READER, SKELETON
from headstart.errors import DataError, MissingExtraError
from headstart.types import DataListing
from poses import mat_struct, mpii_person, touch, write_json, write_mpii_json, write_mpii_mat

MAT = "mpii_human_pose_v1_u12_1.mat"


def listed(root: Path) -> DataListing:
    listing = readers.read(root, DatasetOptions())
    assert listing.layout == "mpii"
    return listing


def left_out(listing: DataListing) -> dict[str, str]:
    return {omission.image: omission.reason for omission in listing.omissions}


def joints(*points: dict[str, Any]) -> dict[str, Any]:
    """Fields of a person of the MATLAB file with these joints."""
    return {"annopoints": mat_struct([{"point": mat_struct(points)}])}


ANKLE = {"x": 11.0, "y": 21.5, "id": 0.0}
PLACE = {"objpos": mat_struct([{"x": 101.0, "y": 51.0}]), "scale": 0.5}
HEAD = {"x1": 10.0, "y1": 20.0, "x2": 40.0, "y2": 60.0}


def test_names() -> None:
    assert len(NAMES) == 16
    assert SKELETON.flip_pairs == ((3, 2), (4, 1), (5, 0), (13, 12), (14, 11), (15, 10))
    named = {frozenset((NAMES[a], NAMES[b])) for a, b in SKELETON.bones}
    assert frozenset(("left_elbow", "left_wrist")) in named
    assert len(named) == 15


def test_json_counts_from_one(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg")
    marks = [1] * 15 + [0]
    people = [mpii_person("a.jpg", joints_vis=marks)]
    listing = listed(write_json(tmp_path / "annot/train.json", people).parents[1])
    (annotation,) = listing.annotations
    assert annotation.image == "images/a.jpg"
    points = annotation.fields["points"].split()
    assert points[:2] == ["9,19,2", "10,20,2"]
    assert points[15] == "0,0,0"
    # Scale 0.2 is 40 pixels around the middle of pixel 30, 40 of those counted from 1, which lies
    # 29.5, 39.5 from the corner.
    assert annotation.box == pytest.approx((9.5, 19.5, 40, 40))
    assert annotation.fields.keys() == {"points"}
    assert (annotation.split, annotation.group) == (None, None)
    assert listing.skeleton == SKELETON


def test_json_sides(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg", "images/b.jpg", "images/c.jpg")
    write_json(tmp_path / "annot/train.json", [mpii_person("a.jpg")])
    write_json(tmp_path / "annot/valid.json", [mpii_person("b.jpg")])
    write_json(tmp_path / "annot/trainval.json", [mpii_person("a.jpg"), mpii_person("b.jpg")])
    write_json(tmp_path / "annot/test.json", [{"image": "c.jpg", "center": [1, 2], "scale": 1}])
    listing = listed(tmp_path)
    assert [(a.image, a.split) for a in listing.annotations] == [
        ("images/a.jpg", "train"),
        ("images/b.jpg", "val"),
    ]
    assert listing.notes == ("test.json: 1 people have no joints and are left out",)
    assert listing.omissions == ()


@pytest.mark.parametrize("name", ["annot/trainval.json", "annotations/mpii_train.json"])
def test_one_json_file(tmp_path: Path, name: str) -> None:
    touch(tmp_path, "images/a.jpg")
    file = write_json(tmp_path / name, [mpii_person("a.jpg")])
    for data in (tmp_path, file):
        listing = listed(data)
        assert listing.root == tmp_path
        assert [(a.image, a.split) for a in listing.annotations] == [("images/a.jpg", None)]


@pytest.mark.parametrize("change", [{"center": [-1, -1]}, {"center": None}, {"scale": None}])
def test_json_without_a_place_has_no_box(tmp_path: Path, change: dict[str, Any]) -> None:
    touch(tmp_path, "images/a.jpg")
    write_json(tmp_path / "annot/train.json", [mpii_person("a.jpg", **change)])
    assert listed(tmp_path).annotations[0].box is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"joints": [[1, 2]] * 15}, "train.json entry 0: it has 15 joints instead of 16"),
        ({"joints_vis": [1] * 17}, "it has 17 joints_vis instead of 16"),
        ({"joints": None}, "it has no joints instead of 16"),
        ({"joints": [[1, float("nan")]] * 16}, "a joint is not two finite numbers"),
        ({"joints": [[1, 2, 3]] * 16}, "a joint is not two finite numbers"),
        ({"joints": [["1", "2"]] * 16}, "a joint is not two finite numbers"),
    ],
)
def test_a_broken_entry_is_left_out(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    touch(tmp_path, "images/a.jpg", "images/b.jpg")
    people = [mpii_person("a.jpg", **changes), mpii_person("b.jpg")]
    write_json(tmp_path / "annot/train.json", people)
    listing = listed(tmp_path)
    assert [annotation.image for annotation in listing.annotations] == ["images/b.jpg"]
    assert [omission.image for omission in listing.omissions] == ["a.jpg"]
    assert reason in listing.omissions[0].reason


def test_what_has_no_partner_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg", "images/stray.jpg")
    people = [mpii_person("a.jpg"), mpii_person("gone.jpg"), mpii_person("")]
    write_json(tmp_path / "annot/train.json", people)
    assert left_out(listed(tmp_path)) == {
        "train.json entry 2": "it names no picture",
        "gone.jpg": "no such file",
        "images/stray.jpg": "it has no annotation",
    }


def test_the_same_person_twice(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg")
    people = [mpii_person("a.jpg"), mpii_person("a.jpg"), mpii_person("a.jpg", scale=0.3)]
    write_json(tmp_path / "annot/train.json", people)
    listing = listed(tmp_path)
    assert len(listing.annotations) == 2
    assert "have the same box" in listing.omissions[0].reason


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[{"joints_vis"', r"train.json is no readable JSON .* fetch or write it again"),
        ('{"joints_vis": 1}', "train.json must hold a list of people"),
        ('["joints_vis"]', "train.json must hold a list of people"),
        ('[{"image": "a.jpg", "x": "joints_vis"}]', r"no usable points \(train.json: 1 people"),
    ],
)
def test_a_broken_json_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    write_json(tmp_path / "annot/train.json", []).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        READER.read(tmp_path, DatasetOptions())


def test_mat_counts_from_one(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg", "images/b.jpg")
    person = {**joints(ANKLE, {"x": 5, "y": 6, "id": 9}), **PLACE, **HEAD}
    other = {**joints(ANKLE), **PLACE, "scale": 1.0}
    listing = listed(
        write_mpii_mat(tmp_path, {"a.jpg": [person, other], "b.jpg": [person]}, [1, 1])
    )
    first, second, third = listing.annotations
    assert [a.image for a in listing.annotations] == ["images/a.jpg"] * 2 + ["images/b.jpg"]
    points = first.fields["points"].split()
    assert len(points) == 16
    assert (points[0], points[1], points[9]) == ("10,20.5,2", "0,0,0", "4,5,2")
    # 0.6 times the diagonal of 30 by 40, which is 50.
    assert first.fields["head"] == "30"
    assert "head" not in second.fields
    # Scale 0.5 is 100 pixels around 100.5, 50.5 from the corner.
    assert first.box == pytest.approx((50.5, 0.5, 100, 100))
    assert second.box == pytest.approx((0.5, -49.5, 200, 200))
    # Frames of one video stay together.
    assert [a.group for a in (first, second, third)] == ["video 7", "video 7", "video 8"]
    assert {a.split for a in listing.annotations} == {"train"}


@pytest.mark.parametrize(
    ("mark", "v"),
    [
        ({"is_visible": 1.0}, "2"),
        ({"is_visible": 0.0}, "1"),
        ({"is_visible": "1"}, "2"),
        ({"is_visible": "0"}, "1"),
        ({"is_visible": np.zeros((0, 0))}, "2"),
        ({"is_visible": ""}, "2"),
        ({}, "2"),
    ],
)
def test_marks_of_hidden_joints(tmp_path: Path, mark: dict[str, Any], v: str) -> None:
    touch(tmp_path, "images/a.jpg")
    write_mpii_mat(tmp_path, {"a.jpg": [joints({**ANKLE, **mark})]}, [1])
    (annotation,) = listed(tmp_path).annotations
    assert annotation.fields["points"].split()[0] == f"10,20.5,{v}"
    assert annotation.box is None


def test_mat_without_joints(tmp_path: Path) -> None:
    touch(tmp_path, *(f"images/{name}.jpg" for name in "abcd"))
    people = {
        "a.jpg": [joints(ANKLE), HEAD],
        "b.jpg": [HEAD],
        "c.jpg": [],
        "d.jpg": [PLACE],
        "gone.jpg": [joints(ANKLE)],
    }
    listing = listed(write_mpii_mat(tmp_path, people, [1, 1, 1, 0, 1]))
    assert [annotation.image for annotation in listing.annotations] == ["images/a.jpg"]
    assert listing.notes == (
        f"{MAT}: 1 pictures of the test split have no joints and are left out",
        f"{MAT}: 2 people have no joints",
    )
    assert left_out(listing) == {
        "b.jpg": "nobody in it has joints",
        "c.jpg": "nobody in it has joints",
        "gone.jpg": "no such file",
    }


def test_mat_with_a_place_that_is_no_number(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg", "images/b.jpg", "images/c.jpg")
    people = {
        "a.jpg": [joints({**ANKLE, "x": float("nan")})],
        "b.jpg": [joints({"y": 1.0, "id": 0.0})],
        "c.jpg": [joints(ANKLE, {**ANKLE, "id": 16.0})],
    }
    listing = listed(write_mpii_mat(tmp_path, people, [1, 1, 1]))
    assert [annotation.image for annotation in listing.annotations] == ["images/c.jpg"]
    reason = "a joint, the centre or the head of a person is no finite number"
    assert left_out(listing) == {"images/a.jpg": reason, "images/b.jpg": reason}


def test_mat_in_its_own_folder(tmp_path: Path) -> None:
    """How the archives unpack."""
    touch(tmp_path, "images/a.jpg")
    write_mpii_mat(tmp_path / "mpii_human_pose_v1_u12_2", {"a.jpg": [joints(ANKLE)]}, [1])
    for data in (tmp_path, tmp_path / "mpii_human_pose_v1_u12_2" / MAT):
        listing = listed(data)
        assert (listing.root, len(listing.annotations)) == (tmp_path, 1)


def test_a_broken_mat_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / MAT
    touch(tmp_path, MAT)
    with pytest.raises(DataError, match=f"{MAT} is no readable MATLAB file .* fetch it again"):
        READER.read(tmp_path, DatasetOptions())
    file.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x00" * 400)
    with pytest.raises(DataError, match=r"is a MATLAB file of version 7.3: save it again"):
        READER.read(tmp_path, DatasetOptions())
    write_mpii_mat(tmp_path, {"a.jpg": [joints(ANKLE)]}, [1, 0])
    with pytest.raises(DataError, match=r"annolist and img_train of the same length, got 1 and 2"):
        READER.read(tmp_path, DatasetOptions())


def test_mat_without_scipy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_mpii_mat(tmp_path, {"a.jpg": [joints(ANKLE)]}, [1])
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    monkeypatch.delitem(sys.modules, "scipy.io.matlab", raising=False)
    with pytest.raises(MissingExtraError, match=r"Reading .mat files needs the extra 'train'"):
        READER.read(tmp_path, DatasetOptions())


def test_other_files_are_not_claimed(tmp_path: Path) -> None:
    write_json(tmp_path / "annot/train.json", [{"image": "a.jpg", "label": "cat"}])
    write_json(tmp_path / "annot/others.json", [mpii_person("a.jpg")])
    assert not READER.claims(tmp_path)
    assert not READER.claims(tmp_path / "annot/others.json")


def test_written_data_is_complete(tmp_path: Path) -> None:
    listing = listed(write_mpii_json(tmp_path, 4))
    assert [a.split for a in listing.annotations] == ["train", "train", "val", "val"]
    assert listing.omissions == ()
