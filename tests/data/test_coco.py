"""COCO files without keypoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.config import DatasetOptions
from headstart.data.manifest import build_manifest, parse_data
from headstart.data.readers.coco import READER
from headstart.progress import QuietProgress
from layouts import write_coco_instances
from pictures import KINDS, SIZE


def change(root: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    file = root / "instances.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    edit(content)
    file.write_text(json.dumps(content), encoding="utf-8")


def test_outlines_become_masks(tmp_path: Path) -> None:
    data = write_coco_instances(tmp_path / "data")
    found = build_manifest(data, progress=QuietProgress())
    assert (found.task, found.schema.classes) == ("segmentation", ("background", *KINDS))
    height, width = SIZE
    expected = np.zeros(SIZE, np.uint8)
    expected[height // 4 : height - height // 4, width // 4 : width - width // 4] = 1
    np.testing.assert_array_equal(found.records[0].target.read(found.schema), expected)


def test_run_lengths_and_crowds(tmp_path: Path) -> None:
    data = write_coco_instances(tmp_path / "data")
    height, width = SIZE
    # Columns from the top: the first half of them is empty, the second one is full.
    runs = {"size": [height, width], "counts": [height * (width // 2), height * (width // 2)]}
    change(data, lambda c: c["annotations"][0].update(segmentation=runs, iscrowd=1))
    (target,) = (t for a, t in parse_data(data).entries if a.image == "images/disc-0.png")
    # By hand: the crowd's half is ignored, the other one is background.
    assert (target.counts[0], target.counts[-1]) == (height * width // 2, height * width // 2)


def test_without_outlines_categories_are_labels(tmp_path: Path) -> None:
    data = write_coco_instances(tmp_path, outlines=False)
    change(data, lambda c: c["annotations"].append({"image_id": 0, "category_id": 11}))
    change(data, lambda c: c["annotations"].pop(1))
    found = {a.image: a.fields for a in READER.read(data, DatasetOptions()).annotations}
    assert found["images/disc-0.png"] == {"labels": "disc|square"}
    assert found["images/disc-1.png"] == {"labels": ""}


@pytest.mark.parametrize(
    ("edit", "image", "reason"),
    [
        (
            lambda c: c["annotations"][0].update(image_id=999),
            "instances.json annotation 0",
            "there is no image with the id 999",
        ),
        (
            lambda c: c["annotations"][0].update(category_id=999),
            "instances.json annotation 0",
            "there is no category with the id 999",
        ),
        (
            lambda c: c["images"][0].update(file_name="lost.png"),
            "lost.png",
            "no such file",
        ),
        (
            lambda c: c["images"][0].pop("height"),
            "images/disc-0.png",
            "its height and width must be given",
        ),
        (
            lambda c: c["annotations"][0].update(segmentation=[[1, 2, 3]]),
            "images/disc-0.png",
            "its polygon is not three or more points",
        ),
        (
            lambda c: c["annotations"][0].update(segmentation={"size": [1, 1], "counts": [1]}),
            "images/disc-0.png",
            "its run lengths are not those of a",
        ),
    ],
)
def test_each_fault_is_named(
    tmp_path: Path, edit: Callable[[dict[str, Any]], Any], image: str, reason: str
) -> None:
    data = write_coco_instances(tmp_path / "data")
    change(data, edit)
    listing = READER.read(data, DatasetOptions())
    assert len(listing.annotations) >= 2 * len(KINDS) - 1
    first = listing.omissions[0]
    assert first.image == image
    assert first.reason.startswith(reason)
