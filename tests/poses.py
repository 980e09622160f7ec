"""Tiny data sets of poses: coloured spots whose places can be learned, in every layout."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.types import ImageArray, Size
from pictures import write_picture

NAMES = ("left_shoulder", "right_hip", "nose")
COLOURS = ((230, 40, 40), (40, 210, 60), (50, 70, 230))
SIZE: Size = (96, 128)


def make_pose(
    seed: int, size: Size = SIZE, people: int = 1
) -> tuple[ImageArray, list[list[tuple[float, float]]]]:
    """Three coloured spots a person on noise, and where they are as (x, y) centres of pixels."""
    random = np.random.default_rng([5, seed])
    height, width = size
    pixels = random.integers(90, 150, (*size, 3)).astype(np.uint8)
    rows, columns = np.mgrid[0:height, 0:width]
    found = []
    for person in range(people):
        middle = np.array([width * (person + 0.5) / people, height / 2])
        middle = middle + random.uniform(-0.08, 0.08, 2) * (width / people, height)
        spread = min(width / people, height) / 4
        points = []
        for at, colour in enumerate(COLOURS):
            angle = 2.0 * np.pi * at / 3 + random.uniform(-0.4, 0.4)
            x, y = middle + spread * np.array([np.cos(angle), np.sin(angle)])
            pixels[(columns - x) ** 2 + (rows - y) ** 2 <= (spread / 3) ** 2] = colour
            points.append((float(x), float(y)))
        found.append(points)
    return pixels, found


def write_coco(root: Path, count: int = 30, *, people: int = 1, **changes: Any) -> Path:
    """Writes ``images/000.jpg`` and so on, and ``keypoints.json``.

    Args:
        root: folder to write.
        count: pictures.
        people: in each picture.
        changes: lists that replace those of the file.
    """
    images, annotations = [], []
    for at in range(count):
        pixels, found = make_pose(at, people=people)
        write_picture(root / f"images/{at:03}.jpg", pixels)
        images.append({"id": at, "file_name": f"{at:03}.jpg", "width": 128, "height": 96})
        for points in found:
            annotations.append(coco_person(len(annotations), at, points))
    content: Mapping[str, Any] = {
        "images": images,
        "annotations": annotations,
        "categories": [coco_category()],
    }
    (root / "keypoints.json").write_text(json.dumps({**content, **changes}), encoding="utf-8")
    return root


def coco_category() -> dict[str, Any]:
    return {"id": 1, "name": "thing", "keypoints": list(NAMES), "skeleton": [[1, 2], [2, 3]]}


def coco_person(
    number: int, image: int, points: Sequence[tuple[float, float]], **changes: Any
) -> dict[str, Any]:
    """One annotation: all points visible, and the box around them with a margin of 10 pixels."""
    xs, ys = zip(*points, strict=True)
    left, top = min(xs) - 10, min(ys) - 10
    box = [left, top, max(xs) + 10 - left, max(ys) + 10 - top]
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": [value for x, y in points for value in (x, y, 2)],
        "bbox": box,
        "area": box[2] * box[3] / 2,
        **changes,
    }
