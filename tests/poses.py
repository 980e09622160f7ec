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


def write_leeds(root: Path, count: int = 6, *, extended: bool = False) -> Path:
    """Writes ``images/im0001.jpg`` and so on, and ``joints.mat``; the last joint is hidden."""
    from scipy.io import savemat

    joints = np.zeros((3, 14, count))
    for at in range(count):
        pixels, _ = make_pose(at)
        write_picture(root / f"images/im{at + 1:04}.jpg", pixels)
        joints[0, :, at] = np.arange(14) + 1 + at
        joints[1, :, at] = 20 + np.arange(14)
    # Hidden: 1 in the first set, 0 in the extension.
    joints[2] = 1.0 if extended else 0.0
    joints[2, 13] = 0.0 if extended else 1.0
    savemat(root / "joints.mat", {"joints": joints.transpose(1, 0, 2) if extended else joints})
    return root


def write_mpii_json(root: Path, count: int = 6, **changes: Any) -> Path:
    """Writes ``images`` and ``annot/train.json``: 16 joints a person, counted from 1."""
    entries = []
    for at in range(count):
        write_picture(root / f"images/{at:03}.jpg", make_pose(at)[0])
        entry = {
            "image": f"{at:03}.jpg",
            "joints": [[n + 1.0, n + 2.0] for n in range(16)],
            "joints_vis": [1] * 15 + [0],
            "center": [65.0, 49.0],
            "scale": 0.25,
        }
        entries.append({**entry, **changes} if at == 0 else entry)
    (root / "annot").mkdir(parents=True, exist_ok=True)
    (root / "annot/train.json").write_text(json.dumps(entries), encoding="utf-8")
    return root


def write_frames(root: Path, people: Sequence[str] = ("ann", "bob"), count: int = 3) -> Path:
    """Writes ``<person>/walk/000.jpg`` with ``000.json`` beside it."""
    for number, person in enumerate(people):
        for at in range(count):
            pixels, (points,) = make_pose(10 * number + at)
            write_picture(root / person / f"walk/{at:03}.jpg", pixels)
            content = {"names": list(NAMES), "joints_2d": points, "bbox": [5, 6, 70, 80]}
            path = root / person / f"walk/{at:03}.json"
            path.write_text(json.dumps(content), encoding="utf-8")
    return root


def write_head_pose(root: Path, people: Sequence[str] = ("01", "02"), count: int = 3) -> Path:
    """Writes frames with poses, and a calibration whose projection can be worked out by hand."""
    calibration = [[500, 0, 64], [0, 500, 48], [0, 0, 1], [0, 0, 0, 0]]
    calibration += [[1, 0, 0], [0, 1, 0], [0, 0, 1], [10, 0, 0], [128, 96]]
    text = "\n".join(" ".join(map(str, row)) for row in calibration)
    for person in people:
        for at in range(count):
            pixels, _ = make_pose(at)
            write_picture(root / person / f"frame_{at:05}_rgb.png", pixels)
            pose = f"1 0 0\n0 1 0\n0 0 1\n\n{at * 20 - 10} 40 1000\n"
            (root / person / f"frame_{at:05}_pose.txt").write_text(pose, encoding="utf-8")
        (root / person / "rgb.cal").write_text(text, encoding="utf-8")
    return root
