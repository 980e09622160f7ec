"""Leeds Sports Pose and its extended training set: one person a picture, joints in MATLAB."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.config import DatasetOptions
from headstart.data.poses import (
    POINTS,
    load_mat,
    nothing_left,
    pairs_from_names,
    points_text,
)
from headstart.errors import DataError
from headstart.runtime.images import is_image_path
from headstart.tasks.protocol import NO_OPTIONS
from headstart.types import Annotation, DataListing, Omission, Skeleton, Split

NAMES = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
    *("right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist"),
    *("neck", "head_top"),
)
BONES = (
    *((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 12)),
    *((11, 10), (10, 9), (9, 12), (12, 13), (8, 2), (9, 3)),
)
SKELETON = Skeleton(NAMES, BONES, pairs_from_names(NAMES))

FILE = "joints.mat"

TRAINED = 1000
"""Of the 2000 pictures of Leeds Sports Pose the first ones are for training, the rest for tests."""

_PICTURE = re.compile(r"im0*(\d+)", re.IGNORECASE)


class Leeds:
    """``joints.mat`` beside ``images/im0001.jpg`` and so on, which are numbered from 1.

    Its variable ``joints`` counts pixels from 1, as MATLAB does: 1 is subtracted. The original set
    (3, 14, pictures) holds x, y and 1 for a hidden joint, and every joint has a place; the extended
    set (14, 3, pictures) holds x, y and 1 for a joint with a label, and no place for the others.
    The read-me files of the sets (http://sam.johnson.io/research/lsp.html, lspet.html) call both
    "visibility"; that 1 means hidden in the first shows in its pictures, and programs that train on
    both invert it.
    """

    name = "leeds-sports"
    priority = 43
    layout = "Leeds Sports Pose: joints.mat beside images/im0001.jpg and so on"

    def claims(self, data: Path, options: DatasetOptions = NO_OPTIONS) -> bool:
        """``joints.mat`` with a numbered picture, by their names."""
        root = _root(data)
        return root is not None and bool(_pictures(root))

    def read(self, data: Path, options: DatasetOptions) -> DataListing:
        """Lists every picture with the field ``points``."""
        root = _root(data)
        if root is None:
            raise DataError(f"{data} holds no {FILE}")
        joints, original = _joints(root / FILE)
        pictures = _pictures(root)
        halves = original and len(joints) == 2 * TRAINED
        annotations: list[Annotation] = []
        omissions = list(_unknown(pictures, len(joints), root))
        for number, values in enumerate(joints, start=1):
            paths = pictures.get(number, [])
            if len(paths) != 1:
                reason = "no such file" if not paths else f"{len(paths)} pictures have this number"
                omissions.append(Omission(f"im{number:0{4 if original else 5}}", reason))
                continue
            image = paths[0].relative_to(root).as_posix()
            if not np.isfinite(values).all():
                reason = f"entry {number} of {FILE} holds a value that is no finite number"
                omissions.append(Omission(image, reason))
                continue
            points = _triples(values, original)
            if not any(v for _, _, v in points):
                omissions.append(Omission(image, "none of its joints has a label"))
                continue
            side: Split | None = ("train" if number <= TRAINED else "test") if halves else None
            annotations.append(Annotation(paths[0], image, {POINTS: points_text(points)}, side))
        if not annotations:
            raise nothing_left(root, omissions, ())
        notes = []
        if halves:
            notes.append(f"the first {TRAINED} pictures are for training, the others for the test")
        return DataListing(
            root,
            self.name,
            tuple(annotations),
            tuple(omissions),
            tuple(notes),
            skeleton=SKELETON,
        )


def _root(data: Path) -> Path | None:
    """The folder of the file of joints."""
    if data.name == FILE and data.is_file():
        return data.parent
    return data if (data / FILE).is_file() else None


def _joints(file: Path) -> tuple[npt.NDArray[np.float64], bool]:
    """The array (pictures, 14, 3), and whether it is that of the original set.

    Raises:
        DataError: the array has another shape, or holds no numbers.
    """
    found: Any = np.asarray(load_mat(file, "joints"))
    # A set of one picture loses its last axis.
    shaped = found[:, :, None] if found.ndim == 2 else found
    if shaped.ndim != 3 or shaped.dtype.kind not in "fiub" or shaped.shape[2] == 0:
        raise DataError(f"{file}: 'joints' must hold numbers in three axes, got {found.shape}")
    if shaped.shape[:2] == (3, len(NAMES)):
        return shaped.transpose(2, 1, 0).astype(np.float64), True
    if shaped.shape[:2] == (len(NAMES), 3):
        return shaped.transpose(2, 0, 1).astype(np.float64), False
    raise DataError(
        f"{file}: 'joints' must be (3, {len(NAMES)}, pictures) or ({len(NAMES)}, 3, pictures), "
        f"got {found.shape}"
    )


def _triples(values: npt.NDArray[np.float64], original: bool) -> list[tuple[float, float, int]]:
    """Points of one picture (14, 3), counted from 0."""
    marks = values[:, 2] != 0
    visible = np.where(marks, 1, 2) if original else np.where(marks, 2, 0)
    return [
        (float(x) - 1, float(y) - 1, int(v))
        for (x, y), v in zip(values[:, :2], visible, strict=True)
    ]


def _folder(root: Path) -> Path:
    return root / "images" if (root / "images").is_dir() else root


def _pictures(root: Path) -> Mapping[int, Sequence[Path]]:
    """Pictures by their number."""
    found: dict[int, list[Path]] = defaultdict(list)
    for path in sorted(_folder(root).iterdir()):
        named = _PICTURE.fullmatch(path.stem)
        if named and is_image_path(path):
            found[int(named[1])].append(path)
    return found


def _unknown(pictures: Mapping[int, Sequence[Path]], count: int, root: Path) -> Sequence[Omission]:
    """Pictures whose number the file does not reach, and those without a number."""
    beyond = [
        Omission(path.relative_to(root).as_posix(), f"{FILE} has only {count} entries")
        for number, paths in pictures.items()
        if not 1 <= number <= count
        for path in paths
    ]
    return beyond + [
        Omission(path.relative_to(root).as_posix(), "its name is not im and a number")
        for path in sorted(_folder(root).iterdir())
        if is_image_path(path) and not _PICTURE.fullmatch(path.stem)
    ]


READER = Leeds()
