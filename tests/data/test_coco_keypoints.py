"""COCO keypoints: people with boxes; what cannot be used is listed, counted, or refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headstart.config import DatasetOptions
from headstart.data.poses import pairs_from_names
from headstart.data.readers.coco_keypoints import READER
from headstart.errors import DataError
from headstart.types import DataListing
from pictures import real_data
from poses import coco_category, coco_person, make_pose, write_coco

SPOTS = [(10.0, 20.0), (30.0, 40.0), (50.0, 30.0)]


def read(data: Path) -> DataListing:
    return READER.read(data, DatasetOptions())


def reasons(listing: DataListing) -> dict[str, str]:
    return {omission.image: omission.reason for omission in listing.omissions}


def test_people_become_annotations_with_boxes_points_and_names(tmp_path: Path) -> None:
    root = write_coco(tmp_path, 3, people=2)
    listing = read(root)
    assert READER.claims(root)
    assert READER.claims(root / "keypoints.json")
    assert [a.image for a in listing.annotations] == [
        f"images/{at:03}.jpg" for at in range(3) for _ in range(2)
    ]
    first = listing.annotations[0]
    _, (points, _) = make_pose(0, people=2)
    triples = [text.split(",") for text in first.fields["points"].split()]
    assert [(float(x), float(y), v) for x, y, v in triples] == [
        (pytest.approx(x, abs=1e-3), pytest.approx(y, abs=1e-3), "2") for x, y in points
    ]
    assert first.box is not None
    assert first.box[2] > 20
    assert listing.skeleton is not None
    assert listing.skeleton.names == ("left_shoulder", "right_hip", "nose")
    assert listing.skeleton.bones == ((0, 1), (1, 2))
    assert read(root / "keypoints.json").annotations == listing.annotations


def test_crowds_and_people_without_points_are_counted(tmp_path: Path) -> None:
    people = [
        coco_person(0, 0, SPOTS),
        coco_person(1, 0, SPOTS, iscrowd=1),
        coco_person(2, 1, SPOTS, keypoints=[0] * 9),
        coco_person(3, 2, SPOTS, iscrowd=1),
    ]
    listing = read(write_coco(tmp_path, 3, annotations=people))
    assert len(listing.annotations) == 1
    assert listing.notes == (
        "keypoints.json: 2 annotations of crowds are skipped",
        "keypoints.json: 1 annotations without a labelled point are skipped",
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"image_id": 77}, "there is no image with the id 77"),
        ({"keypoints": [1, 2, 2]}, "3 keypoint values instead of 9"),
        ({"keypoints": [float("nan"), 1, 2] * 3}, "no finite numbers"),
        ({"keypoints": [float("inf"), 1, 2] * 3}, "no finite numbers"),
        ({"bbox": [1, 2, 0, 5]}, "which has no area"),
        ({"bbox": [1, 2, 3]}, "which has no area"),
    ],
)
def test_an_annotation_that_cannot_be_used_is_listed(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    people = [coco_person(0, 0, SPOTS), coco_person(1, 1, SPOTS, **changes)]
    listing = read(write_coco(tmp_path, 2, annotations=people))
    assert len(listing.annotations) == 1
    assert any(reason in text for text in reasons(listing).values())


def test_pictures_without_annotation_and_annotations_without_picture_are_listed(
    tmp_path: Path,
) -> None:
    root = write_coco(tmp_path, 3, annotations=[coco_person(0, 0, SPOTS), coco_person(1, 1, SPOTS)])
    (root / "images/001.jpg").unlink()
    assert reasons(read(root)) == {
        "001.jpg": "no such file",
        "images/002.jpg": "it has no annotation",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": [{"id": 1}, {"id": 1}]}, r"1 image ids occur more than once, such as 1"),
        ({"images": [{"file_name": "a"}]}, r"an image has no id"),
        (
            {"annotations": [coco_person(5, 0, SPOTS), coco_person(5, 1, SPOTS)]},
            r"1 annotation ids occur more than once, such as 5",
        ),
        ({"categories": []}, r"exactly one category must have keypoints, found none"),
        ({"categories": [coco_category(), coco_category()]}, r"found thing, thing"),
        ({"categories": [{**coco_category(), "skeleton": [[1, 9]]}]}, r"that do not exist"),
        ({"images": None}, r"lacks the lists images of a COCO file"),
        ({"annotations": []}, r"holds no usable points"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(write_coco(tmp_path, 2, **changes))


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "people.json"
    path.write_text('{"keypoints": ', encoding="utf-8")
    with pytest.raises(DataError, match=r"people\.json is no readable JSON"):
        read(path)


def test_one_file_for_each_side(tmp_path: Path) -> None:
    root = write_coco(tmp_path, 4)
    content = json.loads((root / "keypoints.json").read_text())
    (root / "keypoints.json").unlink()
    for side, chosen in (("train2017", {0, 1}), ("val2017", {2, 3})):
        part = {
            **content,
            "images": [entry for entry in content["images"] if entry["id"] in chosen],
            "annotations": [p for p in content["annotations"] if p["image_id"] in chosen],
        }
        path = root / "annotations" / f"person_keypoints_{side}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(part), encoding="utf-8")
    listing = read(root)
    assert [a.split for a in listing.annotations] == ["train", "train", "val", "val"]
    (root / "annotations" / "other.json").write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(DataError, match=r"several COCO files .*do not all say a side"):
        read(root)


def test_other_json_is_not_claimed(tmp_path: Path) -> None:
    (tmp_path / "boxes.json").write_text('{"images": [], "annotations": []}', encoding="utf-8")
    assert not READER.claims(tmp_path)
    assert not READER.claims(tmp_path / "boxes.json")
    assert not READER.claims(tmp_path / "gone.json")


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (("left_hip", "right_hip", "nose"), ((0, 1),)),
        (("hip right", "hip left"), ((1, 0),)),
        (("LShoulder", "RShoulder", "LKnee", "RKnee"), ((0, 1), (2, 3))),
        (("l_eye", "r_eye", "l_ear"), ((0, 1),)),
        (("left", "right"), ()),
        (("lung", "ring"), ()),
    ],
)
def test_pairs_are_found_by_name(names: tuple[str, ...], pairs: tuple) -> None:
    assert pairs_from_names(names) == pairs


def test_a_real_set_has_every_person() -> None:
    listing = read(real_data("sports-pose"))
    assert len(listing.annotations) == 2200
    assert listing.omissions == ()
    assert listing.skeleton is not None
    assert len(listing.skeleton.flip_pairs) == 6
