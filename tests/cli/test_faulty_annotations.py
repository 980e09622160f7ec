"""Fifty annotation files with one fault each: a sentence names file, place and fault."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from headstart.cli.main import run
from layouts import write_coco_instances, write_voc, write_yolo
from pictures import KINDS, make_picture, write_picture
from poses import write_coco

Captured = pytest.CaptureFixture[str]

Spoil = Callable[[Path], object]


def write_table(root: Path) -> Path:
    """``labels.csv`` with four pictures of each kind."""
    rows = [f"{kind}-{at}.png,{kind}," for kind in KINDS for at in range(4)]
    for row in rows:
        name, kind, _ = row.split(",")
        write_picture(root / name, make_picture(kind, int(name[-5])))
    (root / "labels.csv").write_text("\n".join(["image,label,split", *rows, ""]), encoding="utf-8")
    return root


def replaced(name: str, old: str, new: str) -> Spoil:
    """Changes the first occurrence of a text in a file."""

    def spoil(root: Path) -> None:
        text = (root / name).read_text(encoding="utf-8")
        assert old in text
        (root / name).write_text(text.replace(old, new, 1), encoding="utf-8")

    return spoil


def written(name: str, content: bytes) -> Spoil:
    return lambda root: (root / name).write_bytes(content)


def cut(name: str) -> Spoil:
    """Loses the end of a file, as a copy that was stopped does."""
    return lambda root: (root / name).write_bytes((root / name).read_bytes()[:-150])


def edited(name: str, *steps: str | int, **changes: Any) -> Spoil:
    """Changes entries below a place in a JSON file."""

    def spoil(root: Path) -> None:
        content = json.loads((root / name).read_text(encoding="utf-8"))
        place = content
        for step in steps:
            place = place[step]
        place.update(changes)
        (root / name).write_text(json.dumps(content), encoding="utf-8")

    return spoil


CSV = "labels.csv"
ROW = "disc-1.png,disc,"

TABLE: Mapping[str, Spoil] = {
    r"labels\.csv is empty": written(CSV, b""),
    r"labels\.csv: none of its 0 rows": written(CSV, b"image,label\n"),
    r"labels\.csv cannot be read as UTF-8 text": written(CSV, b"image,label\n\xff\xfe\n"),
    r"labels\.csv: the column 'image' is missing; found file, label": replaced(
        CSV, "image", "file"
    ),
    r"labels\.csv: two columns have the same name": replaced(CSV, "label", "split"),
    r"labels\.csv line 3: more values than the 3 columns": replaced(CSV, ROW, ROW + ",x"),
    r"gone\.png: labels\.csv line 3: no such file": replaced(CSV, "disc-1.png", "gone.png"),
    r"labels\.csv line 3: no such file": replaced(CSV, "disc-1.png", ""),
    r"xxxx: labels\.csv line 3: no such file": replaced(CSV, "disc-1.png", "x" * 5000),
    r"disc-1\.png.*label": replaced(CSV, ROW, "disc-1.png,,"),
    r"labels\.csv.*a quotation mark open": replaced(CSV, ROW, 'disc-1.png,"disc,'),
    r"labels\.csv line 3: split must be one of .*got 'night'": replaced(CSV, ROW, ROW + "night"),
    r"labels\.csv line 3: is_valid must be .*got 'maybe'": lambda root: (
        replaced(CSV, "split", "is_valid")(root),
        replaced(CSV, ROW, ROW + "maybe")(root),
    ),
    r"1 rows contradict others.*disc-0\.png is 'disc' in line 2 and 'square' in 3": replaced(
        CSV, ROW, "disc-0.png,square,"
    ),
}

JSON = "keypoints.json"
PERSON = ("annotations", 1)

KEYPOINTS: Mapping[str, Spoil] = {
    r"keypoints\.json is no readable JSON .*char .*cut off": cut(JSON),
    r"keypoints\.json is no readable JSON .*column 21": replaced(JSON, ", ", "; "),
    r"keypoints\.json lacks the lists images": edited(JSON, images=None),
    r"keypoints\.json lacks the lists annotations": edited(JSON, annotations={"a": 1}),
    r"keypoints\.json: an image has no id": edited(JSON, "images", 1, id=None),
    r"keypoints\.json: 1 image ids occur more than once, such as 0": edited(
        JSON, "images", 1, id=0
    ),
    r"keypoints\.json: 1 annotation ids .*such as 0": edited(JSON, *PERSON, id=0),
    r"keypoints\.json: the id of an annotation": edited(JSON, *PERSON, id=[1]),
    r"keypoints\.json.*there is no image with the id 77": edited(JSON, *PERSON, image_id=77),
    r"001\.jpg.*3 keypoint values instead of 9": edited(JSON, *PERSON, keypoints=[1, 2, 2]),
    r"001\.jpg.*no finite numbers": edited(JSON, *PERSON, keypoints=[float("nan"), 1, 2] * 3),
    r"001\.jpg.*numbers": edited(JSON, *PERSON, keypoints=["a", 1, 2] * 3),
    r"001\.jpg.*which has no area": edited(JSON, *PERSON, bbox=[1, 2, -3, 5]),
    r"keypoints\.json.*exactly one category": edited(JSON, categories=[]),
    r"keypoints\.json.*that do not exist": edited(JSON, "categories", 0, skeleton=[[1, 9]]),
}

INSTANCES = "instances.json"
THING = ("annotations", 1)

OUTLINES: Mapping[str, Spoil] = {
    r"instances\.json is no readable JSON": cut(INSTANCES),
    r"instances\.json lacks the lists categories": edited(INSTANCES, categories=3),
    r"instances\.json.*77": edited(INSTANCES, *THING, category_id=77),
    r"instances\.json.*id 88": edited(INSTANCES, *THING, image_id=88),
    r"disc-1\.png: its polygon is not three or more points": edited(
        INSTANCES, *THING, segmentation=[[1, 2, 3, 4, 5]]
    ),
    r"disc-1\.png: its polygon is not": edited(INSTANCES, *THING, segmentation=[["a"] * 8]),
    r"disc-1\.png.*(size|counts|run)": edited(
        INSTANCES, *THING, segmentation={"counts": [1, 2], "size": [3, 4]}
    ),
}

XML = "Annotations/disc-1.xml"

VOC: Mapping[str, Spoil] = {
    r"disc-1\.xml.*(XML|well-formed|mismatched|unclosed|no element)": written(
        XML, b"<annotation><object>"
    ),
    r"disc-1\.xml.*": written(XML, b""),
    r"disc-1\.(xml|jpg).*": replaced(XML, "<name>disc</name>", ""),
    r"disc-1\.xml: its picture 'gone\.jpg' is in none of": replaced(XML, "disc-1.jpg", "gone.jpg"),
    r"1 names .* have no XML file, such as gone \(train\.txt\)": replaced(
        "ImageSets/Main/train.txt", "disc-0", "gone"
    ),
}

LABELS = "labels/train/disc-0.txt"

YOLO: Mapping[str, Spoil] = {
    r"disc-0\.txt line 1: must have 5 values for a box, got 4": written(LABELS, b"0 0.5 0.5 0.6\n"),
    r"disc-0\.txt line 2: the class must be 0 to 2, got 9": written(
        LABELS, b"0 .5 .5 .6 .6\n9 .5 .5 .6 .6\n"
    ),
    r"disc-0\.txt line 1: could not convert string to float: 'cat'": written(
        LABELS, b"cat .5 .5 .6 .6\n"
    ),
    r"disc-0\.txt line 1: a value is not finite": written(LABELS, b"0 nan .5 .6 .6\n"),
    r"disc-0\.txt line 1: places must be shares from 0 to 1": written(LABELS, b"0 50 50 60 60\n"),
    r"disc-0\.txt cannot be read as UTF-8 text": written(LABELS, b"\xff\xfe0 .5\n"),
    r"data\.yaml: names must be a list": edited("data.yaml", names="disc"),
    r"data\.yaml: the names must have the numbers 0 to 1": written(
        "data.yaml", b"names: {0: a, 5: b}\ntrain: images/train\n"
    ),
    r"data\.yaml: val names 'gone', which is no folder": edited("data.yaml", val="gone"),
    r"data\.yaml: kpt_shape must be": edited("data.yaml", kpt_shape=[3]),
}

CASES = [
    pytest.param(write, spoil, sentence, id=f"{write.__name__}: {sentence[:40]}")
    for write, faults in (
        (write_table, TABLE),
        (write_coco, KEYPOINTS),
        (write_coco_instances, OUTLINES),
        (write_voc, VOC),
        (write_yolo, YOLO),
    )
    for sentence, spoil in faults.items()
]


def test_there_are_fifty() -> None:
    assert len(CASES) >= 50


@pytest.mark.parametrize(("write", "spoil", "sentence"), CASES)
def test_one_fault_is_one_clear_sentence(
    write: Callable[[Path], Path], spoil: Spoil, sentence: str, tmp_path: Path, capsys: Captured
) -> None:
    data = write(tmp_path / "data")
    spoil(data)
    with pytest.raises(SystemExit) as caught:
        run(["split", str(data)])
    captured = capsys.readouterr()
    assert caught.value.code in (0, 2)
    assert "Traceback" not in captured.err
    assert "defect of headstart" not in captured.err
    # What spoils one picture is listed and the others are used; the rest is an error.
    told = captured.err.splitlines() if caught.value.code else captured.out.splitlines()
    found = [line for line in told if re.search(sentence, line)]
    assert len(found) == 1, captured
