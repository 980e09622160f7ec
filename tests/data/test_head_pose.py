"""The Biwi Kinect head pose database."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.config import DatasetOptions
from headstart.data import readers
from headstart.data.manifest import parse_data
from headstart.data.readers.head_pose import READER
from headstart.errors import DataError
from headstart.types import DataListing, Skeleton
from poses import CAMERA, pose_text, touch, write_head_pose

# From the data card of the database in huggingface/datasets: recording 12.
REAL_CAMERA = """\
517.679 0 320 
0 517.679 240.5 
0 0 1 

0 0 0 0 

0.999947 0.00432361 0.00929419 
-0.00446314 0.999877 0.0150443 
-0.009228 -0.015085 0.999844 

-24.0198 5.8896 -13.2308 

640 480
"""  # noqa: W291 - the blanks at the ends of lines are in the files


def frame(folder: Path, name: str, pose: str, camera: str = CAMERA) -> None:
    touch(folder, f"{name}_rgb.jpg", f"{name}_pose.txt", "rgb.cal")
    (folder / f"{name}_pose.txt").write_text(pose, encoding="utf-8")
    (folder / "rgb.cal").write_text(camera, encoding="utf-8")


def listed(root: Path) -> DataListing:
    listing = readers.read(root, DatasetOptions())
    assert listing.layout == "biwi-head-pose"
    return listing


def point(listing: DataListing) -> tuple[float, ...]:
    (annotation,) = listing.annotations
    return tuple(map(float, annotation.fields["points"].split(",")))


def test_the_centre_is_projected(tmp_path: Path) -> None:
    frame(tmp_path / "01", "frame_00003", pose_text(120, -60, 995))
    listing = listed(tmp_path)
    # Before the colour camera: (120 - 20, -60 + 10, 995 + 5) = (100, -50, 1000) mm.
    # x = 500 * 100 / 1000 + 320 = 370, y = 400 * -50 / 1000 + 240 = 220.
    assert point(listing) == (370, 220, 2)
    (annotation,) = listing.annotations
    assert annotation.image == "01/frame_00003_rgb.jpg"
    assert (annotation.group, annotation.split, annotation.box) == ("01", None, None)
    assert listing.skeleton == Skeleton(("head_centre",))
    assert (listing.omissions, listing.notes) == ((), ())


def test_the_colour_camera_is_turned(tmp_path: Path) -> None:
    # A quarter turn about the axis of view: (x, y, z) becomes (-y, x, z).
    camera = CAMERA.replace("1 0 0\n0 1 0\n0 0 1\n\n-20", "0 -1 0\n1 0 0\n0 0 1\n\n-20")
    assert camera != CAMERA
    frame(tmp_path / "01", "frame_00003", pose_text(120, -60, 995), camera)
    # (60 - 20, 120 + 10, 1000) mm: x = 500 * 0.04 + 320 = 340, y = 400 * 0.13 + 240 = 292.
    assert point(listed(tmp_path)) == (340, 292, 2)


def test_a_real_frame(tmp_path: Path) -> None:
    frame(tmp_path / "12", "frame_00003", pose_text(43.4019, -30.7038, 906.864), REAL_CAMERA)
    # By hand: R X = (51.69541, -17.25059, 906.78518), plus T = (27.67561, -11.36099, 893.55438);
    # x = 517.679 * 27.67561 / 893.55438 + 320 = 336.034, y = ... * -11.36099 ... = 233.918.
    assert point(listed(tmp_path)) == pytest.approx((336.034, 233.918, 2), abs=1e-3)


def test_recordings_of_one_person_stay_together(tmp_path: Path) -> None:
    for name in ("03", "04", "15"):
        frame(tmp_path / "faces_0" / name, "frame_00003", pose_text(0, 0, 1000))
    listing = listed(tmp_path)
    assert [(a.image.split("/")[1], a.group) for a in listing.annotations] == [
        ("03", "03"),
        ("04", "04"),
        ("15", "03"),
    ]
    assert listing.notes == ("recordings of one person stay on one side: 15 and 03",)


def test_recordings_of_somebody_else_are_people(tmp_path: Path) -> None:
    for name in ("03", "15", "anna"):
        frame(tmp_path / name, "frame_00003", pose_text(0, 0, 1000))
    listing = listed(tmp_path)
    assert [a.group for a in listing.annotations] == ["03", "15", "anna"]
    assert listing.notes == ()


def test_what_has_no_partner_is_named(tmp_path: Path) -> None:
    frame(tmp_path / "01", "frame_00003", pose_text(0, 0, 1000))
    touch(tmp_path, "01/frame_00004_rgb.jpg", "01/frame_00005_pose.txt", "01/depth.cal", "01.obj")
    touch(tmp_path, "02/frame_00003_rgb.jpg", "02/frame_00003_pose.txt", "02/other.jpg")
    listing = listed(tmp_path)
    assert [annotation.image for annotation in listing.annotations] == ["01/frame_00003_rgb.jpg"]
    assert {o.image: o.reason for o in listing.omissions} == {
        "01/frame_00004_rgb.jpg": "it has no frame_00004_pose.txt",
        "01/frame_00005_pose.txt": "it has no picture",
        "02/frame_00003_rgb.jpg": "its folder has no rgb.cal",
        "02/other.jpg": "its name does not end in _rgb",
    }


@pytest.mark.parametrize(
    ("pose", "reason"),
    [
        ("", "frame_00004_pose.txt must hold 12 finite numbers, got 0"),
        ("1 0 0\n0 1 0\n0 0 1\n\n1 2", "must hold 12 finite numbers, got 11"),
        (pose_text(float("nan"), 0, 1000), "must hold 12 finite numbers, got 12"),
        ("a b c", "is no readable text of numbers"),
        (pose_text(0, 0, -5), "the head lies behind the camera"),
    ],
)
def test_a_broken_pose_is_left_out(tmp_path: Path, pose: str, reason: str) -> None:
    frame(tmp_path / "01", "frame_00003", pose_text(0, 0, 1000))
    frame(tmp_path / "01", "frame_00004", pose)
    listing = listed(tmp_path)
    assert [annotation.image for annotation in listing.annotations] == ["01/frame_00003_rgb.jpg"]
    (omission,) = listing.omissions
    assert omission.image == "01/frame_00004_rgb.jpg"
    assert reason in omission.reason


@pytest.mark.parametrize(
    ("camera", "message"),
    [
        ("", r"rgb.cal must hold the 25 or 27 finite numbers of a camera, got 0: copy it"),
        (CAMERA + "7", "of a camera, got 28"),
        (CAMERA.replace("500", "inf"), "finite numbers of a camera, got 27"),
        ("not a camera", "rgb.cal is no readable text of numbers"),
    ],
)
def test_a_broken_calibration_is_refused(tmp_path: Path, camera: str, message: str) -> None:
    frame(tmp_path / "01", "frame_00003", pose_text(0, 0, 1000), camera)
    with pytest.raises(DataError, match=message):
        READER.read(tmp_path, DatasetOptions())


def test_a_calibration_without_the_size(tmp_path: Path) -> None:
    camera = CAMERA.removesuffix("640 480\n")
    frame(tmp_path / "01", "frame_00003", pose_text(20, -10, 995), camera)
    assert point(listed(tmp_path)) == (320, 240, 2)


def test_a_distortion_is_noted(tmp_path: Path) -> None:
    frame(
        tmp_path / "01", "frame_00003", pose_text(0, 0, 1000), CAMERA.replace("0 0 0 0", "0 1 0 0")
    )
    assert listed(tmp_path).notes == ("the lens distortion in 01/rgb.cal is not applied",)


def test_a_point_outside_of_the_picture_is_listed(tmp_path: Path) -> None:
    frame(tmp_path / "01", "frame_00003", pose_text(-2000, -10, 995))
    assert point(listed(tmp_path)) == (-690, 240, 2)


def test_nothing_usable_is_an_error(tmp_path: Path) -> None:
    frame(tmp_path / "01", "frame_00003", "")
    with pytest.raises(DataError, match=r"no usable points \(01/frame_00003_rgb.jpg: frame_00003"):
        readers.read(tmp_path, DatasetOptions())


def test_other_folders_are_not_claimed(tmp_path: Path) -> None:
    touch(tmp_path, "cats/1.jpg", "dogs/1.jpg", "dogs/rgb.cal")
    assert not READER.claims(tmp_path)
    touch(tmp_path / "more", "01/frame_00003_rgb.jpg", "01/frame_00003_pose.txt")
    assert not READER.claims(tmp_path / "more")


def test_the_point_is_a_target(tmp_path: Path) -> None:
    parsed = parse_data(write_head_pose(tmp_path, ("01", "02"), 2), task="regression")
    assert parsed.schema.names == ("head_centre",)
    # (20 - 20, -10 + 10, 1000) mm is on the axis of the camera.
    assert parsed.entries[1][1].xy == ((320, 240),)


def test_written_data_is_complete(tmp_path: Path) -> None:
    listing = listed(write_head_pose(tmp_path, ("01", "02"), 2))
    assert len(listing.annotations) == 4
    assert listing.omissions == ()
