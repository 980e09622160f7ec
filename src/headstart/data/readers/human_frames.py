"""A JSON file of joints beside each frame, as video sets such as Human3.6M are often unpacked."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.config import DatasetOptions
from headstart.data.poses import POINTS, pairs_from_names, points_text
from headstart.errors import DataError
from headstart.runtime.images import iter_images
from headstart.types import Annotation, Box, DataListing, Omission, Skeleton, Split

KEYS = ("points_2d", "joints_2d", "pose_2d", "keypoints_2d")
"""Under one of these names a file has its joints: a list of (x, y) or (x, y, confidence)."""

TRAINING = ("S1", "S5", "S6", "S7", "S8")
TESTING = ("S9", "S11")
"""Subjects of Human3.6M in the protocol that most reports follow (C. Ionescu et al., PAMI 2014)."""

LOOKED_AT = 3


class HumanFrames:
    """``S1/Walking/000001.jpg`` with ``000001.json`` beside it.

    Each file has ``joints_2d`` and may have ``names`` and ``bbox`` (x, y, width, height). Places
    count from the centre of the first pixel. The first folder is the person: one side for all of
    its frames.
    """

    name = "human-frames"
    priority = 42
    layout = "one JSON file of joints beside each frame: S1/walking/0001.jpg and 0001.json"

    def claims(self, data: Path) -> bool:
        """Some picture has a JSON file of joints beside it."""
        if not data.is_dir():
            return False
        pairs = (path.with_suffix(".json") for path in iter_images(data))
        for looked, file in enumerate(file for file in pairs if file.is_file()):
            if looked >= LOOKED_AT:
                return False
            if any(f'"{key}"' in _head(file) for key in KEYS):
                return True
        return False

    def read(self, data: Path, options: DatasetOptions) -> DataListing:
        """Lists every frame with the field ``points``."""
        annotations: list[Annotation] = []
        omissions: list[Omission] = []
        names: tuple[str, ...] | None = None
        sides = _sides(data)
        for path in iter_images(data):
            image = path.relative_to(data).as_posix()
            file = path.with_suffix(".json")
            if not file.is_file():
                omissions.append(Omission(image, f"there is no {file.name} beside it"))
                continue
            content = _load(file)
            try:
                triples = _triples(content)
                found = tuple(map(str, content.get("names") or range(len(triples))))
                names = found if names is None else names
                if found != names or len(found) != len(triples):
                    raise DataError(f"its joints are not the {len(names)} of the other frames")
                box = _box(content)
            except DataError as error:
                omissions.append(Omission(image, str(error)))
                continue
            person = image.partition("/")[0] if "/" in image else None
            fields = {POINTS: points_text(triples)}
            side = sides.get(person or "")
            annotations.append(Annotation(path, image, fields, side, person, box))
        if not annotations or names is None:
            raise DataError(f"{data} holds no frame with usable joints")
        strays = set(data.rglob("*.json")) - {
            path.with_suffix(".json") for path in iter_images(data)
        }
        omissions += [
            Omission(file.relative_to(data).as_posix(), "no picture belongs to it")
            for file in sorted(strays)
        ]
        published = f"{', '.join(TRAINING)} train and {', '.join(TESTING)} test, as published"
        notes = (published,) if sides else ()
        return DataListing(
            data,
            self.name,
            tuple(annotations),
            tuple(omissions),
            notes,
            ("flip_pairs",),
            Skeleton(names, (), pairs_from_names(names)),
        )


def _sides(data: Path) -> Mapping[str, Split]:
    """Sides by person, when there are no others than those of the published protocol."""
    folders = {path.name for path in data.iterdir() if path.is_dir()}
    if not folders or not folders <= {*TRAINING, *TESTING} or folders.isdisjoint(TESTING):
        return {}
    sides: dict[str, Split] = dict.fromkeys(TRAINING, "train")
    return {**sides, **dict.fromkeys(TESTING, "test")}


def _load(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is no readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{file} must hold an object, got {type(content).__name__}")
    return content


def _triples(content: Mapping[str, Any]) -> list[tuple[float, float, int]]:
    rows = next((content[key] for key in KEYS if content.get(key)), None)
    if rows is None:
        raise DataError("its file has no joints")
    triples = []
    for row in rows:
        numbers = [value for value in row if isinstance(value, int | float)]
        if len(numbers) != len(row) or len(row) not in (2, 3):
            raise DataError(f"a joint must be x, y and perhaps a confidence, got {row}")
        known = all(map(math.isfinite, row)) and (len(row) == 2 or row[2] > 0)
        triples.append((float(row[0]), float(row[1]), 2 if known else 0))
    if not any(v for _, _, v in triples):
        raise DataError("none of its joints has a label")
    return triples


def _box(content: Mapping[str, Any]) -> Box | None:
    values = content.get("bbox")
    if values is None:
        return None
    good = len(values) == 4 and all(math.isfinite(value) for value in values)
    if not good or min(values[2:]) <= 0:
        raise DataError(f"its box {values} has no area")
    x, y, width, height = map(float, values)
    return (x, y, width, height)


def _head(file: Path) -> str:
    try:
        with file.open(encoding="utf-8", errors="replace") as stream:
            return stream.read(65_536)
    except OSError:
        return ""


READER = HumanFrames()
