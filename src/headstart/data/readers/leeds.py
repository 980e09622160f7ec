"""Leeds Sports Pose and its extension: ``joints.mat`` and numbered pictures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from headstart.config import DatasetOptions
from headstart.data.poses import POINTS, load_mat, pairs_from_names, points_text
from headstart.errors import DataError
from headstart.runtime.images import is_image_path
from headstart.types import Annotation, DataListing, Omission, Skeleton, Split

FILE = "joints.mat"

NAMES = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
    *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
    *("neck", "head_top"),
)
BONES = (
    *((0, 1), (1, 2), (5, 4), (4, 3), (6, 7), (7, 8), (11, 10), (10, 9), (12, 13)),
    *((8, 12), (9, 12), (2, 8), (3, 9), (2, 3)),
)
ORIGINAL = 2000
"""Pictures of the first set: the first half trains and the second tests, as its authors say."""


class LeedsSports:
    """``joints.mat`` with ``images/im0001.jpg`` and so on.

    Counted from 1, as MATLAB does: 1 is subtracted. The first set (3 x 14 x n) marks hidden joints
    with 1; its extension (14 x 3 x n) marks labelled ones with 1, and gives hidden ones no place.
    S. Johnson and M. Everingham, BMVC 2010 and CVPR 2011.
    """

    name = "leeds-sports"
    priority = 43
    layout = f"Leeds Sports Pose: {FILE} beside images/im0001.jpg, ..."

    def claims(self, data: Path) -> bool:
        """The MATLAB file and the folder of pictures."""
        return data.is_dir() and (data / FILE).is_file() and (data / "images").is_dir()

    def read(self, data: Path, options: DatasetOptions) -> DataListing:
        """Lists every picture with the field ``points``."""
        joints, hidden_is_one = _joints(data / FILE)
        count = joints.shape[2]
        pictures = {
            _number(path): path
            for path in sorted((data / "images").iterdir())
            if is_image_path(path)
        }
        annotations: list[Annotation] = []
        omissions: list[Omission] = []
        for at in range(count):
            path = pictures.pop(at + 1, None)
            if path is None:
                omissions.append(Omission(f"images/im{at + 1:04}.jpg", "no such file"))
                continue
            name = path.relative_to(data).as_posix()
            points = _points(joints[:, :, at], hidden_is_one)
            if points is None:
                omissions.append(Omission(name, "none of its joints has a label"))
                continue
            side: Split | None = None
            if hidden_is_one and count == ORIGINAL:
                side = "train" if at < ORIGINAL // 2 else "test"
            annotations.append(Annotation(path, name, {POINTS: points}, side))
        omissions += [
            Omission(path.relative_to(data).as_posix(), f"{FILE} has no joints for it")
            for path in pictures.values()
        ]
        if not annotations:
            raise DataError(f"{data / FILE}: none of its {count} joints belongs to a picture")
        return DataListing(
            data,
            self.name,
            tuple(annotations),
            tuple(omissions),
            (),
            ("flip_pairs",),
            Skeleton(NAMES, BONES, pairs_from_names(NAMES)),
        )


def _joints(file: Path) -> tuple[Any, bool]:
    """Joints as (3, 14, n), and whether 1 in the third row means hidden."""
    joints = load_mat(file).get("joints")
    shape = getattr(joints, "shape", None)
    if joints is not None and shape is not None and len(shape) == 3:
        if shape[:2] == (3, len(NAMES)):
            return joints, True
        if shape[:2] == (len(NAMES), 3):
            return joints.transpose(1, 0, 2), False
    raise DataError(
        f"{file}: an array 'joints' of 3 x {len(NAMES)} x n or {len(NAMES)} x 3 x n is needed, "
        f"got {shape}"
    )


def _points(joints: Any, hidden_is_one: bool) -> str | None:
    triples = []
    for x, y, mark in joints.T.tolist():
        inside = math.isfinite(x) and math.isfinite(y) and (x > 0 or y > 0)
        labelled = inside if hidden_is_one else inside and mark == 1
        visible = 1 if hidden_is_one and mark == 1 else 2
        triples.append((x - 1.0, y - 1.0, visible if labelled else 0))
    return points_text(triples) if any(v for _, _, v in triples) else None


def _number(path: Path) -> int:
    digits = "".join(c for c in path.stem if c.isdigit())
    return int(digits) if digits else -1


READER = LeedsSports()
