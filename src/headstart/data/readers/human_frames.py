"""Frames of videos with a JSON file each, as they are cut out of Human3.6M and the like."""

from __future__ import annotations

import dataclasses
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.config import DatasetOptions
from headstart.data.poses import (
    NO_LABEL,
    POINTS,
    Triple,
    begins_with_any,
    box_of,
    is_number,
    load_json,
    nothing_left,
    pairs_from_names,
    points_text,
)
from headstart.errors import DataError
from headstart.runtime.images import is_image_path, iter_images
from headstart.tasks.protocol import NO_OPTIONS
from headstart.types import Annotation, Box, DataListing, Omission, Skeleton, Split

KEYS = ("keypoints_2d", "joints_2d", "pose_2d")
SIGNS = [f'"{key}"'.encode() for key in KEYS]

PROTOCOL: Mapping[str, Split] = {
    **dict.fromkeys(("S1", "S5", "S6", "S7", "S8"), "train"),
    **dict.fromkeys(("S9", "S11"), "test"),
}
"""Sides of the subjects of Human3.6M on which results are published."""

MAX_FOLDERS = 200
MAX_PAIRS = 5
"""How many folders, and pairs in each, are looked at to tell the layout."""

_SUBJECT = re.compile(r"S\d+", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class _Frame:
    """One picture with what its file says.

    Attributes:
        names: of the points, or their number where it gives no names.
    """

    picture: Path
    triples: Sequence[Triple]
    names: tuple[str, ...] | int
    box: Box | None


class HumanFrames:
    """``S1/<action>/000001.jpg`` beside ``000001.json``, the first folder naming the person.

    A JSON file holds ``keypoints_2d``, ``joints_2d`` or ``pose_2d``: a list of [x, y] or
    [x, y, confidence], null for a point without a label; perhaps ``names`` of the points and
    ``bbox`` [x, y, width, height]. Places are what a camera matrix of OpenCV projects to, (0, 0)
    being the centre of the top-left pixel, and are taken as they are. No standard describes these
    files: this is the form that scripts write which cut videos into frames.
    """

    name = "human-frames"
    priority = 42
    layout = "frames with a JSON file each that holds keypoints_2d: S1/walking/0001.jpg and .json"

    def claims(self, data: Path, options: DatasetOptions = NO_OPTIONS) -> bool:
        """Some picture has a JSON file of its name that speaks of points."""
        if not data.is_dir():
            return False
        return any(
            begins_with_any(file, SIGNS)
            for files in _pairs_by_folder(data)
            for file in files[:MAX_PAIRS]
        )

    def read(self, data: Path, options: DatasetOptions) -> DataListing:
        """Lists every frame with the field ``points``; the person is its group."""
        frames, omissions = _frames(data)
        usual = Counter(frame.names for frame in frames).most_common(1)
        expected = usual[0][0] if usual else 0
        people = {frame.picture: _person(frame.picture, data) for frame in frames}
        sides = _sides({person for person in people.values() if person})
        annotations = []
        for frame in frames:
            image = frame.picture.relative_to(data).as_posix()
            if frame.names != expected:
                omissions.append(Omission(image, _difference(frame.names, expected)))
            elif not any(v for _, _, v in frame.triples):
                omissions.append(Omission(image, "none of its points has a label"))
            else:
                person = people[frame.picture]
                fields = {POINTS: points_text(frame.triples)}
                side = sides.get(person or "")
                annotations.append(
                    Annotation(frame.picture, image, fields, side, person, frame.box)
                )
        if not annotations:
            raise nothing_left(data, omissions, ())
        return DataListing(
            data,
            self.name,
            tuple(annotations),
            tuple(omissions),
            tuple(_notes(sides, expected)),
            skeleton=_skeleton(expected),
        )


def _frames(data: Path) -> tuple[list[_Frame], list[Omission]]:
    """Pictures with readable files, and what is left out."""
    by_stem: dict[Path, list[Path]] = defaultdict(list)
    for path in iter_images(data):
        by_stem[path.with_suffix("")].append(path)
    frames: list[_Frame] = []
    omissions: list[Omission] = []
    for stem, pictures in by_stem.items():
        file = stem.with_name(f"{stem.name}.json")
        names = [path.relative_to(data).as_posix() for path in pictures]
        if not file.is_file():
            omissions += [Omission(name, f"it has no {file.name} beside it") for name in names]
        elif len(pictures) > 1:
            reason = f"{file.name} may belong to any of {' and '.join(names)}"
            omissions += [Omission(name, reason) for name in names]
        else:
            try:
                frames.append(_frame(pictures[0], file))
            except DataError as error:
                omissions.append(Omission(names[0], str(error)))
    for file in sorted(data.rglob("*.json")):
        if file.with_suffix("") not in by_stem and begins_with_any(file, SIGNS):
            name = file.relative_to(data).as_posix()
            omissions.append(Omission(name, "no picture belongs to this file"))
    return frames, omissions


def _frame(picture: Path, file: Path) -> _Frame:
    """Reads the file of a picture.

    Raises:
        DataError: the file cannot be read, or a value is missing or no number.
    """
    content = load_json(file)
    found = [key for key in KEYS if isinstance(content, dict) and key in content]
    if len(found) != 1:
        raise DataError(f"{file.name} must hold one of {', '.join(KEYS)}, found {len(found)}")
    values = content[found[0]]
    if not isinstance(values, list) or not values:
        raise DataError(f"{file.name}: {found[0]} must be a list of points, got {values!r:.40}")
    triples = [_triple(value, file) for value in values]
    names = content.get("names")
    if names is None:
        return _Frame(picture, triples, len(triples), _box(content, file))
    if not isinstance(names, list) or len(set(map(str, names))) != len(triples):
        raise DataError(f"{file.name}: names must be {len(triples)} different texts, got {names}")
    return _Frame(picture, triples, tuple(map(str, names)), _box(content, file))


def _triple(value: Any, file: Path) -> Triple:
    if value is None:
        return NO_LABEL
    if not isinstance(value, list) or len(value) not in (2, 3) or not all(map(is_number, value)):
        raise DataError(
            f"{file.name}: a point must be [x, y] or [x, y, confidence] of finite numbers, "
            f"got {value}"
        )
    confidence = value[2] if len(value) == 3 else 1
    return (float(value[0]), float(value[1]), 2) if confidence > 0 else NO_LABEL


def _box(content: Mapping[str, Any], file: Path) -> Box | None:
    values = content.get("bbox")
    if values is None:
        return None
    box = box_of(values)
    if box is None:
        raise DataError(f"{file.name}: bbox must be [x, y, width, height], got {values}")
    return box


def _person(picture: Path, data: Path) -> str | None:
    """The folder that names the person: one like S1, else the first one."""
    folders = picture.relative_to(data).parts[:-1]
    return next((f for f in folders if _SUBJECT.fullmatch(f)), folders[0] if folders else None)


def _sides(people: set[str]) -> dict[str, Split]:
    """Sides of the people, when they are those of the protocol and both sides are there."""
    sides = {person: PROTOCOL[person] for person in sorted(people & PROTOCOL.keys())}
    return sides if len(sides) == len(people) and len(set(sides.values())) == 2 else {}


def _skeleton(names: tuple[str, ...] | int) -> Skeleton:
    if isinstance(names, int):
        return Skeleton(tuple(f"point_{at}" for at in range(names)))
    return Skeleton(names, (), pairs_from_names(names))


def _notes(sides: Mapping[str, Split], names: tuple[str, ...] | int) -> Iterator[str]:
    if sides:
        by_side = {
            side: ", ".join(sorted((p for p in sides if sides[p] == side), key=_number))
            for side in ("train", "test")
        }
        yield (
            f"the people are divided as results on Human3.6M are published: {by_side['train']} "
            f"train, {by_side['test']} test"
        )
    if isinstance(names, int):
        yield (
            "the files do not name their points: give flip_pairs in dataset.yaml, so that mirrored "
            "pictures can be used"
        )


def _number(person: str) -> int:
    return int(person[1:])


def _difference(found: tuple[str, ...] | int, expected: tuple[str, ...] | int) -> str:
    """Why a frame does not belong to the others."""
    counts = [names if isinstance(names, int) else len(names) for names in (found, expected)]
    if counts[0] != counts[1]:
        return f"it has {counts[0]} points, most others have {counts[1]}"
    return "its points have other names than those of most others"


def _pairs_by_folder(data: Path) -> Iterator[list[Path]]:
    """JSON files with a picture of the same name, for the first folders."""
    for count, (place, folders, files) in enumerate(os.walk(data)):
        if count >= MAX_FOLDERS:
            return
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        stems = {Path(name).stem for name in files if is_image_path(Path(name))}
        pairs = sorted(n for n in files if n.endswith(".json") and Path(n).stem in stems)
        yield [Path(place, name) for name in pairs]


READER = HumanFrames()
