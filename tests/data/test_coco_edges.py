"""COCO keypoint files at their edges, and what the readers of poses share."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from headstart.config import DatasetOptions, dataset_options
from headstart.data import readers
from headstart.data.poses import begins_with_any, find_picture, pairs_from_names, points_text
from headstart.data.readers.coco_keypoints import READER
from headstart.errors import DataError
from headstart.types import DataListing, Skeleton
from pictures import real_data
from poses import NAMES, coco_content, touch, write_json

KEYPOINTS = [10, 20, 2, 30.5, 40, 1, 0, 0, 0]


def person(image: int = 1, **changes: Any) -> dict[str, Any]:
    return {"image_id": image, "keypoints": KEYPOINTS, "bbox": [1, 2, 30, 40], **changes}


def listed(root: Path, content: dict[str, Any], name: str = "points.json") -> DataListing:
    write_json(root / name, content)
    listing = readers.read(root, DatasetOptions())
    assert listing.layout == "coco-keypoints"
    return listing


def left_out(listing: DataListing) -> dict[str, str]:
    return {omission.image: omission.reason for omission in listing.omissions}


def test_people_of_one_picture(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg")
    people = [person(area=123.25), person(bbox=[5.5, 6, 7, 8])]
    listing = listed(tmp_path, coco_content({1: "a.jpg"}, people))
    first, second = listing.annotations
    assert first.image == second.image == "images/a.jpg"
    assert first.path == tmp_path / "images/a.jpg"
    # Places of pixels count from 0 in COCO: they are taken as they are.
    assert first.fields == {"points": "10,20,2 30.5,40,1 0,0,0", "area": "123.25"}
    assert second.fields == {"points": "10,20,2 30.5,40,1 0,0,0"}
    assert (first.box, second.box) == ((1, 2, 30, 40), (5.5, 6, 7, 8))
    assert (first.split, first.group) == (None, None)
    assert (listing.omissions, listing.notes) == ((), ())
    # Bones count from 1 in COCO.
    assert listing.skeleton == Skeleton(NAMES, ((0, 2), (1, 2)))


def test_points_outside_of_the_picture_are_listed(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    values = [-5, 9000, 2, 1, 1, 2, 1, 1, 2]
    listing = listed(tmp_path, coco_content({1: "a.jpg"}, [person(keypoints=values)]))
    assert listing.annotations[0].fields["points"] == "-5,9000,2 1,1,2 1,1,2"


def test_files_of_the_sides(tmp_path: Path) -> None:
    """How COCO is unpacked: other files of annotations lie beside."""
    touch(tmp_path, "train2017/1.jpg", "val2017/2.jpg")
    write_json(tmp_path / "annotations/instances_train2017.json", {"images": [], "info": {}})
    write_json(
        tmp_path / "annotations/person_keypoints_val2017.json",
        coco_content({2: "2.jpg"}, [person(2)]),
    )
    content = coco_content({1: "1.jpg"}, [person(1)])
    listing = listed(tmp_path, content, "annotations/person_keypoints_train2017.json")
    assert [(a.image, a.split) for a in listing.annotations] == [
        ("train2017/1.jpg", "train"),
        ("val2017/2.jpg", "val"),
    ]
    assert listing.omissions == ()


def test_one_file_of_several(tmp_path: Path) -> None:
    """Its name says no side then, and the pictures of the other file are none of its own."""
    touch(tmp_path, "train2017/1.jpg", "val2017/2.jpg")
    file = tmp_path / "annotations/person_keypoints_val2017.json"
    write_json(file, coco_content({2: "2.jpg"}, [person(2)]))
    assert READER.claims(file)
    listing = readers.read(file, DatasetOptions())
    assert [(a.image, a.split) for a in listing.annotations] == [("val2017/2.jpg", None)]
    assert (listing.root, listing.omissions) == (tmp_path, ())


def test_files_that_name_no_side(tmp_path: Path) -> None:
    content = coco_content({1: "a.jpg"}, [person()])
    write_json(tmp_path / "one.json", content)
    write_json(tmp_path / "two.json", content)
    with pytest.raises(DataError, match=r"several COCO files \(one.json, two.json\), whose"):
        readers.read(tmp_path, DatasetOptions())


def test_sides_with_other_points(tmp_path: Path) -> None:
    touch(tmp_path, "1.jpg", "2.jpg")
    write_json(tmp_path / "train.json", coco_content({1: "1.jpg"}, [person()]))
    short = coco_content({2: "2.jpg"}, [person(2, keypoints=[1, 1, 2])], names=("nose",))
    short["categories"][0]["skeleton"] = []
    write_json(tmp_path / "val.json", short)
    with pytest.raises(DataError, match="do not have the same keypoints"):
        readers.read(tmp_path, DatasetOptions())


@pytest.mark.parametrize(
    ("named", "place"),
    [
        ("sub/a.jpg", "sub/a.jpg"),
        ("sub/a.jpg", "images/sub/a.jpg"),
        ("C:\\photos\\a.jpg", "images/a.jpg"),
        ("/data/photos/a.jpg", "a.jpg"),
        ("../photos/a.jpg", "a.jpg"),
    ],
)
def test_pictures_are_found(tmp_path: Path, named: str, place: str) -> None:
    touch(tmp_path, place)
    listing = listed(tmp_path, coco_content({1: named}, [person()]))
    assert [annotation.image for annotation in listing.annotations] == [place]


def test_pictures_outside_are_not_found(tmp_path: Path) -> None:
    touch(tmp_path, "secret.jpg", "data/b.jpg")
    assert find_picture(tmp_path / "data", "../secret.jpg", (".",)) is None
    assert find_picture(tmp_path / "data", str(tmp_path / "secret.jpg"), (".",)) is None
    assert find_picture(tmp_path / "data", "a" * 300 + ".jpg", (".",)) is None
    assert find_picture(tmp_path / "data", "", (".",)) is None
    assert find_picture(tmp_path / "data", "x/b.jpg", (".",)) == tmp_path / "data/b.jpg"


def test_what_is_skipped_is_counted(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    people = [
        person(1),
        person(1, iscrowd=1),
        person(2, iscrowd=1),
        person(1, keypoints=[0] * 9),
        person(1, keypoints=None),
        person(1, category_id=2),
    ]
    content = coco_content({1: "a.jpg", 2: "b.jpg", 3: "c.jpg"}, people)
    content["categories"].append({"id": 2, "name": "dog"})
    listing = listed(tmp_path, content)
    assert [annotation.image for annotation in listing.annotations] == ["a.jpg"]
    assert listing.notes == (
        "points.json: 1 annotations of categories without keypoints are skipped",
        "points.json: 2 annotations of crowds are skipped",
        "points.json: 2 annotations without a labelled point are skipped",
    )
    assert left_out(listing) == {
        "b.jpg": "all of its annotations are skipped",
        "c.jpg": "it has no annotation",
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"keypoints": [1, 2, 2]}, "it has 3 keypoint values instead of 9"),
        ({"keypoints": []}, "it has 0 keypoint values instead of 9"),
        ({"keypoints": "none"}, "it has no keypoint values instead of 9"),
        ({"keypoints": [float("nan"), *KEYPOINTS[1:]]}, "no finite numbers, got nan"),
        ({"keypoints": [float("inf"), *KEYPOINTS[1:]]}, "no finite numbers, got inf"),
        ({"keypoints": [10**400, *KEYPOINTS[1:]]}, "no finite numbers, got 1000"),
        ({"keypoints": ["10", *KEYPOINTS[1:]]}, "no finite numbers, got '10'"),
        ({"keypoints": [None, *KEYPOINTS[1:]]}, "no finite numbers, got None"),
        ({"keypoints": [1, 2, 0.9, *KEYPOINTS[3:]]}, "visibility must be 0, 1 or 2, got 0.9"),
        ({"bbox": [1, 2, 3]}, "which has no area"),
        ({"bbox": [1, 2, 0, 5]}, "which has no area"),
        ({"bbox": [1, 2, float("nan"), 5]}, "which has no area"),
    ],
)
def test_a_broken_annotation_is_left_out(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    content = coco_content({1: "a.jpg", 2: "b.jpg"}, [person(1, **changes), person(2)])
    listing = listed(tmp_path, content)
    assert [annotation.image for annotation in listing.annotations] == ["b.jpg"]
    (omission,) = listing.omissions
    assert omission.image == "a.jpg"
    assert omission.reason.startswith("annotation 100: ")
    assert reason in omission.reason


def test_what_has_no_partner_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "stray.jpg")
    people = [person(1), person(2), person(7), person([1])]  # type: ignore[arg-type]
    listing = listed(tmp_path, coco_content({1: "a.jpg", 2: "gone.jpg"}, people))
    assert [annotation.image for annotation in listing.annotations] == ["a.jpg"]
    assert left_out(listing) == {
        "points.json annotation 102": "there is no image with the id 7",
        "points.json annotation 103": "there is no image with the id [1]",
        "gone.jpg": "no such file",
        "stray.jpg": "it has no annotation",
    }


def test_people_that_nothing_tells_apart(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg", "c.jpg")
    people = [person(1), person(1), person(2, bbox=None), person(2, bbox=None)]
    listing = listed(
        tmp_path,
        coco_content({1: "a.jpg", 2: "b.jpg", 3: "c.jpg"}, [*people, person(3, bbox=None)]),
    )
    assert [(a.image, a.box is None) for a in listing.annotations] == [
        ("a.jpg", False),
        ("c.jpg", True),
    ]
    assert [(o.image, o.reason) for o in listing.omissions] == [
        ("a.jpg", "two of its annotations have the same box; the first one is used"),
        *[("b.jpg", "2 annotations without a box describe it")] * 2,
    ]


def broken(**changes: Any) -> dict[str, Any]:
    return {**coco_content({1: "a.jpg"}, [person()]), **changes}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (broken(images=[{"id": 1}, {"id": 1}]), "1 image ids occur more than once, such as 1"),
        (
            broken(annotations=[{"id": 5}, {"id": 5}, {"id": 6}]),
            "1 annotation ids occur more than once, such as 5",
        ),
        (broken(images=[{"file_name": "a.jpg"}]), "an image has no id"),
        (broken(annotations=[{"id": [5]}]), "the id of an annotation is neither a number nor"),
        (broken(annotations={}), "lacks the lists annotations of a COCO file"),
        (broken(images=[3]), "lacks the lists images of a COCO file"),
        (broken(categories=[{"id": 1, "name": "dog"}]), "must have keypoints, found none"),
        (
            broken(
                categories=[
                    {"name": "person", "keypoints": ["a"]},
                    {"name": "dog", "keypoints": ["b"]},
                ]
            ),
            "exactly one category must have keypoints, found person, dog",
        ),
        (broken(categories=[{"keypoints": ["a", "a"]}]), "two keypoints have the same name"),
        (
            broken(categories=[{"keypoints": ["a", "b"], "skeleton": [[0, 1]]}]),
            r"must be two numbers from 1 to 2, got \[0, 1\]",
        ),
        (broken(annotations=[]), "holds no usable points"),
        (["keypoints"], "lacks the lists images, annotations, categories of a COCO file"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    file = write_json(tmp_path / "keypoints.json", content)
    touch(tmp_path, "a.jpg")
    with pytest.raises(DataError, match=message):
        READER.read(file, DatasetOptions())


@pytest.mark.parametrize("text", ['{"images": [{"id": 1, "keypoints"', "", "\xff", "[" * 100_000])
def test_an_unreadable_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keypoints.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(
        DataError, match=r"keypoints.json is no readable JSON .*: it may be cut off"
    ):
        READER.read(file, DatasetOptions())


def test_a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    content = json.dumps(coco_content({1: "a.jpg"}, [person()]))
    (tmp_path / "points.json").write_text(content, encoding="utf-8-sig")
    assert len(readers.read(tmp_path, DatasetOptions()).annotations) == 1


@pytest.mark.parametrize(
    "content",
    [
        {"images": [], "annotations": [], "categories": [{"name": "cat"}]},
        {"keypoints": [1, 2, 3]},
        [{"image_id": 1, "keypoints": [1, 2, 3], "score": 0.5}],
        {"info": "nothing"},
    ],
)
def test_other_json_files_are_not_claimed(tmp_path: Path, content: Any) -> None:
    assert not READER.claims(write_json(tmp_path / "data.json", content))
    assert not READER.claims(tmp_path)


def test_only_the_ends_of_a_file_are_looked_at(tmp_path: Path) -> None:
    file = tmp_path / "data.json"
    file.write_bytes(b'{"images"' + b" " * 200_000 + b'"keypoints"' + b" " * 200_000)
    assert not READER.claims(file)
    assert not begins_with_any(file, [b'"keypoints"'], end=True)
    file.write_bytes(b'{"images"' + b" " * 200_000 + b'"keypoints"')
    assert READER.claims(file)
    assert not begins_with_any(file, [b'"keypoints"'])


def test_a_json_file_for_each_picture_is_another_layout(tmp_path: Path) -> None:
    content = coco_content({1: "a.jpg"}, [person()])
    for at in range(51):
        write_json(tmp_path / f"{at}.json", content)
    assert not READER.claims(tmp_path)


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        (("left_hip", "right_hip", "nose"), ((0, 1),)),
        (("nose", "right_hip", "left_hip"), ((2, 1),)),
        (("r_hip", "l_hip", "r_eye", "l_eye"), ((1, 0), (3, 2))),
        (("hip_l", "hip_r"), ((0, 1),)),
        (("Left Eye", "Right Eye"), ((0, 1),)),
        (("LShoulder", "RShoulder", "Neck"), ((0, 1),)),
        (("leftEar", "rightEar"), ((0, 1),)),
        (("lank", "rank", "lkne", "rkne"), ((0, 1), (2, 3))),
        (("left_eye_inner", "left_eye", "right_eye", "right_eye_inner"), ((0, 3), (1, 2))),
        (("upper left lip", "upper right lip"), ((0, 1),)),
        (("left_hip", "nose"), ()),
        (("left", "right"), ()),
        (("lip", "nose", "leg"), ()),
        (("0", "1", "2"), ()),
        ((), ()),
    ],
)
def test_pairs_from_names(names: tuple[str, ...], pairs: tuple[tuple[int, int], ...]) -> None:
    assert pairs_from_names(names) == pairs


def test_points_as_text() -> None:
    triples = [(1.0, 2.5, 2), (1234.5678, -0.25, 1), (3.0, 4.0, 0)]
    assert points_text(triples) == "1,2.5,2 1234.5678,-0.25,1 0,0,0"


def test_sports_pose() -> None:
    data = real_data("sports-pose")
    listing = readers.read(data, dataset_options(data))
    assert listing.layout == "coco-keypoints"
    assert len(listing.annotations) == 2200
    assert (listing.omissions, listing.notes) == ((), ())
    assert listing.annotations[0].fields["points"].startswith("80.31,46.73,2 102.18,71.61,2 ")
    assert listing.annotations[0].fields["area"] == "4719.5"
    assert listing.annotations[0].box == (56.64, 44.36, 57.38, 82.26)
    # The same pairs as in its dataset.yaml, the left one first.
    assert listing.skeleton is not None
    assert listing.skeleton.flip_pairs == ((3, 2), (4, 1), (5, 0), (9, 8), (10, 7), (11, 6))
    marks = Counter(
        triple.rpartition(",")[2]
        for annotation in listing.annotations
        for triple in annotation.fields["points"].split()
    )
    assert marks == {"2": 29344, "0": 1456}
