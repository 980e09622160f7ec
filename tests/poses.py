"""Tiny data sets of poses: coloured spots whose places can be learned, in every layout."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

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


CAMERA = """\
500 0 320
0 400 240
0 0 1

0 0 0 0

1 0 0
0 1 0
0 0 1

-20 10 5

640 480
"""
"""An ``rgb.cal`` with numbers to reckon with by hand."""


def write_json(path: Path, content: Any) -> Path:
    """Writes a JSON file; folders are made. Not-a-number is written as Python writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def touch(root: Path, *files: str) -> Path:
    """Makes empty files: readers open no picture."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def coco_content(
    images: Mapping[int, str], people: Sequence[Mapping[str, Any]], names: Sequence[str] = NAMES
) -> dict[str, Any]:
    """A COCO file's content; people get an id and the category 1 unless they have one."""
    category = {"id": 1, "name": "person", "keypoints": list(names), "skeleton": [[1, 3], [2, 3]]}
    return {
        "images": [{"id": key, "file_name": name} for key, name in images.items()],
        "annotations": [
            {"id": at, "category_id": 1, **person} for at, person in enumerate(people, start=100)
        ],
        "categories": [category],
    }


def mpii_person(image: str, **changes: Any) -> dict[str, Any]:
    """A person of MPII's JSON; joint k is at (10 + k, 20 + k), counted from 1."""
    person = {
        "image": image,
        "center": [30.0, 40.0],
        "scale": 0.2,
        "joints": [[10.0 + at, 20.0 + at] for at in range(16)],
        "joints_vis": [1] * 16,
    }
    return {**person, **changes}


def write_mpii_json(root: Path, count: int = 12) -> Path:
    """Writes ``annot/train.json``, ``annot/valid.json`` and the pictures."""
    people = []
    for at in range(count):
        write_picture(root / f"images/{at:03}.png", make_pose(at)[0])
        people.append(mpii_person(f"{at:03}.png"))
    write_json(root / "annot/train.json", people[: count // 2])
    write_json(root / "annot/valid.json", people[count // 2 :])
    return root


def mat_struct(entries: Sequence[Mapping[str, Any]]) -> npt.NDArray[Any]:
    """A MATLAB structure array (1, n); what an entry lacks is empty, as MATLAB has it."""
    names = list(dict.fromkeys(name for entry in entries for name in entry))
    found = np.empty((1, len(entries)), dtype=[(name, object) for name in names])
    for at, entry in enumerate(entries):
        for name in names:
            found[name][0, at] = entry.get(name, np.zeros((0, 0)))
    return found


def write_mpii_mat(
    root: Path, pictures: Mapping[str, Sequence[Mapping[str, Any]]], train: Sequence[int]
) -> Path:
    """Writes ``mpii_human_pose_v1_u12_1.mat``.

    Args:
        root: folder to write.
        pictures: people by the name of the picture, as fields of ``annorect``.
        train: 1 for each picture of the training split, 0 for those of the test.
    """
    from scipy.io import savemat

    entries = []
    for video, (name, people) in enumerate(pictures.items(), start=7):
        entry: dict[str, Any] = {"image": mat_struct([{"name": name}]), "vididx": float(video)}
        if people:
            entry["annorect"] = mat_struct(people)
        entries.append(entry)
    release = mat_struct(
        [{"annolist": mat_struct(entries), "img_train": np.array([train], dtype=np.uint8)}]
    )
    root.mkdir(parents=True, exist_ok=True)
    savemat(root / "mpii_human_pose_v1_u12_1.mat", {"RELEASE": release})
    return root


def write_joints(root: Path, joints: npt.ArrayLike, variable: str = "joints") -> Path:
    """Writes ``joints.mat``."""
    from scipy.io import savemat

    root.mkdir(parents=True, exist_ok=True)
    savemat(root / "joints.mat", {variable: np.asarray(joints)})
    return root


def write_leeds(root: Path, count: int = 12) -> Path:
    """Writes ``joints.mat`` of the original set and ``images/im0001.png`` and so on."""
    for at in range(count):
        write_picture(root / f"images/im{at + 1:04}.png", make_pose(at)[0])
    joints = np.random.default_rng(5).uniform(1, 48, (3, 14, count))
    joints[2] = 0
    return write_joints(root, joints)


def write_human_frames(
    root: Path, people: Sequence[str] = ("S1", "S5", "S9"), count: int = 4
) -> Path:
    """Writes ``S1/walking/000.png`` with ``000.json`` and so on for each person."""
    for number, person in enumerate(people):
        for at in range(count):
            pixels, (points,) = make_pose(1000 * number + at)
            path = write_picture(root / person / f"walking/{at:03}.png", pixels)
            content = {"keypoints_2d": points, "names": NAMES, "bbox": [0, 0, 128, 96]}
            write_json(path.with_suffix(".json"), content)
    return root


def pose_text(x: float, y: float, z: float) -> str:
    """A pose file of the Biwi database: rotation, and the head's place in millimetres."""
    return f"1 0 0 \n0 1 0 \n0 0 1 \n\n{x} {y} {z} \n"


def write_head_pose(root: Path, people: Sequence[str] = ("01", "02", "03"), count: int = 4) -> Path:
    """Writes ``01/rgb.cal``, ``01/frame_00000_rgb.png``, ``01/frame_00000_pose.txt`` and so on."""
    for number, person in enumerate(people):
        for at in range(count):
            pixels, _ = make_pose(1000 * number + at)
            write_picture(root / person / f"frame_{at:05}_rgb.png", pixels)
            pose = root / person / f"frame_{at:05}_pose.txt"
            pose.write_text(pose_text(20 * at, -10, 995), encoding="utf-8")
        (root / person / "rgb.cal").write_text(CAMERA, encoding="utf-8")
    return root
