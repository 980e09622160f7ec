"""MPII Human Pose: the original MATLAB file, or the JSON files that followed it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.config import DatasetOptions
from headstart.data.poses import POINTS, load_mat, pairs_from_names, points_text
from headstart.data.readers import SPLIT_NAMES
from headstart.errors import DataError
from headstart.types import Annotation, Box, DataListing, Omission, Skeleton, Split

NAMES = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
    *("pelvis", "thorax", "upper_neck", "head_top"),
    *("right_wrist", "right_elbow", "right_shoulder"),
    *("left_shoulder", "left_elbow", "left_wrist"),
)
"""In the order of the ids 0 to 15 of the original."""

BONES = (
    *((0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9)),
    *((10, 11), (11, 12), (12, 7), (7, 13), (13, 14), (14, 15)),
)
HEIGHT = 200.0
"""The original's ``scale`` is a person's height in units of this many pixels."""

HEAD_SHARE = 0.6
"""PCKh takes this share of the diagonal of the head's rectangle for the length of the head."""

FILES = ("mpii_human_pose", "annot")
EXAMPLES = 3


class Mpii:
    """``mpii_human_pose_v1_u12_1.mat`` or ``annot/train.json``, with pictures in ``images``.

    Both count pixels from 1, as MATLAB does: 1 is subtracted. The box is a square around
    ``objpos`` (or ``center``) whose side is the person's height, as the systems that report on this
    set cut it.
    """

    name = "mpii"
    priority = 44
    layout = "MPII Human Pose: its .mat file, or annot/train.json and valid.json, beside images/"

    def claims(self, data: Path) -> bool:
        """The MATLAB file by its name, or JSON files of joints in ``annot``."""
        return data.is_dir() and bool(_mat(data) or _jsons(data))

    def read(self, data: Path, options: DatasetOptions) -> DataListing:
        """Lists every person with the fields ``points`` and, where it is known, ``head``."""
        people = _from_mat(data) if _mat(data) else _from_jsons(data)
        annotations: list[Annotation] = []
        omissions: list[Omission] = []
        without = 0
        for person in people:
            path = data / "images" / person["image"]
            name = f"images/{person['image']}"
            if person["points"] is None:
                without += 1
            elif not path.is_file():
                omissions.append(Omission(name, "no such file"))
            elif isinstance(person["points"], str):
                fields = {POINTS: person["points"]}
                if person["head"]:
                    fields["head"] = f"{person['head']:g}"
                box = person["box"]
                annotations.append(Annotation(path, name, fields, person["split"], None, box))
            else:
                omissions.append(Omission(name, "its joints are no finite numbers"))
        if not annotations:
            shown = "; ".join(f"{o.image}: {o.reason}" for o in omissions[:EXAMPLES])
            raise DataError(f"{data} holds no usable joints ({shown or 'no person has joints'})")
        notes = (f"{without} people without joints are skipped",) if without else ()
        skeleton = Skeleton(NAMES, BONES, pairs_from_names(NAMES))
        used = ("flip_pairs",)
        return DataListing(
            data, self.name, tuple(annotations), tuple(omissions), notes, used, skeleton
        )


def _mat(data: Path) -> Path | None:
    found = [path for path in sorted(data.rglob("*.mat")) if path.name.startswith(FILES[0])]
    return found[0] if len(found) == 1 else None


def _jsons(data: Path) -> list[Path]:
    return [
        path
        for name in ("train", "valid", "val", "test")
        if (path := data / FILES[1] / f"{name}.json").is_file()
    ]


def _from_jsons(data: Path) -> Iterator[dict[str, Any]]:
    for file in _jsons(data):
        try:
            entries = json.loads(file.read_text(encoding="utf-8"))
            for entry in entries:
                joints, seen = entry.get("joints"), entry.get("joints_vis")
                points = None if joints is None else _points(joints, seen or [1] * len(NAMES))
                yield {
                    "image": entry["image"],
                    "points": points,
                    "head": None,
                    "box": _box(entry.get("center"), entry.get("scale")),
                    "split": SPLIT_NAMES[file.stem],
                }
        except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
            raise DataError(f"{file} is no joint file of MPII: {error!r}") from error


def _from_mat(data: Path) -> Iterator[dict[str, Any]]:
    file = _mat(data)
    if file is None:
        raise DataError(f"{data} holds no MATLAB file of MPII")
    try:
        release = load_mat(file)["RELEASE"]
        images = zip(_list(release.annolist), _list(release.img_train), strict=True)
        for entry, training in images:
            for person in _list(getattr(entry, "annorect", [])):
                yield _person(person, entry.image.name, bool(training))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{file} is no annotation file of MPII: {error!r}") from error


def _person(person: Any, image: str, training: bool) -> dict[str, Any]:
    joints = [[0.0, 0.0] for _ in NAMES]
    seen = [0] * len(NAMES)
    annopoints = getattr(person, "annopoints", None)
    found = _list(getattr(annopoints, "point", []))
    for point in found:
        joints[int(point.id)] = [float(point.x), float(point.y)]
        # Hidden joints are marked 0; the mark is missing for some joints of the head.
        hidden = str(getattr(point, "is_visible", "1")).strip() in ("0", "[0]")
        seen[int(point.id)] = 1 if hidden else 2
    head = None
    if all(hasattr(person, side) for side in ("x1", "y1", "x2", "y2")):
        head = HEAD_SHARE * math.hypot(
            float(person.x2) - float(person.x1), float(person.y2) - float(person.y1)
        )
    place = getattr(person, "objpos", None)
    center = None
    if place is not None and hasattr(place, "x"):
        center = [float(place.x), float(place.y)]
    scale = getattr(person, "scale", None)
    side: Split | None = None if training else "test"
    return {
        "image": str(image),
        "points": _points(joints, seen) if found else None,
        "head": head,
        "box": _box(center, float(scale) if isinstance(scale, int | float) else None),
        "split": side,
    }


def _points(joints: Sequence[Sequence[float]], seen: Sequence[int]) -> str | bool | None:
    """The field; None where no joint has a label, False where the numbers cannot be used."""
    if len(joints) != len(NAMES) or len(seen) != len(NAMES):
        return False
    if not any(seen):
        return None
    triples = []
    for (x, y), v in zip(joints, seen, strict=True):
        if v and not (math.isfinite(x) and math.isfinite(y)):
            return False
        # The JSON files say 1 for every joint that has a label.
        triples.append((x - 1.0, y - 1.0, int(v) if v in (1, 2) else 0))
    return points_text(triples)


def _box(center: Sequence[float] | None, scale: float | None) -> Box | None:
    if center is None or not scale or scale <= 0:
        return None
    side = HEIGHT * scale
    return (center[0] - 1.0 - side / 2, center[1] - 1.0 - side / 2, side, side)


def _list(value: Any) -> Sequence[Any]:
    """MATLAB's arrays of one element are read as the element."""
    if isinstance(value, Mapping | str) or not hasattr(value, "__len__"):
        return [value]
    return list(value)


READER = Mpii()
