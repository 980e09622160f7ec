"""MPII Human Pose: people in frames of videos, from the MATLAB file or from the JSON files."""

from __future__ import annotations

import dataclasses
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.config import DatasetOptions
from headstart.data.poses import (
    HEAD,
    NO_LABEL,
    POINTS,
    Triple,
    begins_with_any,
    find_picture,
    is_number,
    load_json,
    load_mat,
    nothing_left,
    pairs_from_names,
    points_text,
    separate,
    strays,
)
from headstart.errors import DataError
from headstart.tasks.protocol import NO_OPTIONS
from headstart.types import Annotation, Box, DataListing, Omission, Skeleton, Split

NAMES = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle"),
    *("pelvis", "thorax", "upper_neck", "head_top"),
    *("right_wrist", "right_elbow", "right_shoulder"),
    *("left_shoulder", "left_elbow", "left_wrist"),
)
BONES = (
    *((0, 1), (1, 2), (2, 6), (5, 4), (4, 3), (3, 6), (6, 7), (7, 8), (8, 9)),
    *((10, 11), (11, 12), (12, 7), (15, 14), (14, 13), (13, 7)),
)
SKELETON = Skeleton(NAMES, BONES, pairs_from_names(NAMES))

PERSON_HEIGHT = 200
"""Height in pixels of a person whose scale is 1."""

HEAD_SHARE = 0.6
"""Of the head rectangle's diagonal: the length that the PCKh of MPII divides errors by."""

FOLDERS = (".", "images")
_ANNOTATION_FOLDERS = ("annot", "annotations")
_SIDES: Mapping[str, Split | None] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "test": "test",
    "trainval": None,
}
_JSON_NAME = re.compile(f"(?:mpii_)?({'|'.join(_SIDES)})", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class _Person:
    """One person as a file describes it; places count from 1.

    Attributes:
        image: name of the picture.
        points: those with a label, by number.
        centre: of the person (x, y), and its scale; None when they are not given.
        head: two corners (x1, y1, x2, y2) around the head.
    """

    image: str
    points: Mapping[int, Triple]
    centre: tuple[float, float, float] | None = None
    head: tuple[float, float, float, float] | None = None
    side: Split | None = None
    group: str | None = None


class Mpii:
    """``mpii_human_pose_v1_u12_1.mat`` or ``annot/train.json``, with the pictures in ``images``.

    Both count pixels from 1, as MATLAB does: 1 is subtracted, as the dataset class of the
    deep-high-resolution-net repository does with its JSON. The MATLAB file is described at
    http://human-pose.mpi-inf.mpg.de/#download. The box is the square of 200 * scale pixels around
    the centre. The JSON files do not tell hidden joints from visible ones: ``joints_vis`` is 0 for
    those without a label.
    """

    name = "mpii"
    priority = 44
    layout = "MPII Human Pose: mpii_human_pose_v1_u12_1.mat or annot/train.json beside images/"

    def claims(self, data: Path, options: DatasetOptions = NO_OPTIONS) -> bool:
        """One of the two kinds of files, by their names and the first bytes of a JSON file."""
        if data.is_file():
            return _is_mat(data) or (_json_side(data) is not None and _has_joints(data))
        return _mat(data) is not None or any(_has_joints(file) for file in _json_files(data))

    def read(self, data: Path, options: DatasetOptions) -> DataListing:
        """Lists every person with the field ``points``, and ``head`` where its size is given."""
        mat = data if _is_mat(data) else _mat(data)
        files = [data] if data.is_file() else _json_files(data)
        found = _MatFile(mat) if mat else _JsonFiles(files)
        root = data if data.is_dir() else data.parent
        if data.is_file() and not (root / "images").is_dir():
            root = root.parent
        people = list(found.people())
        names = found.without_joints | {person.image for person in people}
        paths = {name: find_picture(root, name, FOLDERS) for name in names}
        absent = sorted({person.image for person in people if paths[person.image] is None})
        omissions = found.omissions + [Omission(name, "no such file") for name in absent]
        listed = []
        for person in people:
            path = paths[person.image]
            if path is None:
                continue
            name = path.relative_to(root).as_posix()
            try:
                listed.append(_annotation(person, path, name))
            except DataError as error:
                omissions.append(Omission(name, str(error)))
        annotations, doubles = separate(listed)
        omissions += doubles
        notes = tuple(found.notes())
        if not annotations:
            raise nothing_left(root, omissions, notes)
        if data.is_dir():
            omissions.extend(strays(root, {path for path in paths.values() if path}))
        return DataListing(root, self.name, annotations, tuple(omissions), notes, skeleton=SKELETON)


class _MatFile:
    """The structure RELEASE of the MATLAB file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        release = load_mat(file, "RELEASE")
        release = release if isinstance(release, dict) else {}
        self._pictures = _items(release.get("annolist"))
        self._train = _items(release.get("img_train"))
        if not self._pictures or len(self._train) != len(self._pictures):
            raise DataError(
                f"{file}: RELEASE must hold annolist and img_train of the same length, got "
                f"{len(self._pictures)} and {len(self._train)}"
            )
        self.omissions: list[Omission] = []
        self.without_joints: set[str] = set()
        self._counts: Counter[str] = Counter()

    def people(self) -> Iterator[_Person]:
        """Everybody with joints."""
        for number, (entry, train) in enumerate(
            zip(self._pictures, self._train, strict=True), start=1
        ):
            picture = entry.get("image") if isinstance(entry, dict) else None
            name = picture.get("name") if isinstance(picture, dict) else None
            if not isinstance(name, str) or not name:
                shown = f"{self._file.name} annolist({number})"
                self.omissions.append(Omission(shown, "it names no picture"))
                continue
            if not train:
                self._counts["test"] += 1
                self.without_joints.add(name)
                continue
            rectangles = [r for r in _items(entry.get("annorect")) if isinstance(r, dict)]
            people = [person for person in rectangles if _joints(person)]
            self._counts["people"] += len(rectangles) - len(people)
            if not people:
                self.without_joints.add(name)
                self.omissions.append(Omission(name, "nobody in it has joints"))
            video = _float(entry.get("vididx"))
            group = None if video is None else f"video {video:.0f}"
            yield from (_person_of_mat(person, name, group) for person in people)

    def notes(self) -> Iterator[str]:
        """What has no joints, in numbers."""
        if self._counts["test"]:
            yield (
                f"{self._file.name}: {self._counts['test']} pictures of the test split have no "
                "joints and are left out"
            )
        if self._counts["people"]:
            yield f"{self._file.name}: {self._counts['people']} people have no joints"


class _JsonFiles:
    """``train.json``, ``valid.json`` and ``test.json``."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files
        self.omissions: list[Omission] = []
        self.without_joints: set[str] = set()
        self._counts: Counter[str] = Counter()

    def people(self) -> Iterator[_Person]:
        """Everybody with joints."""
        for file in self._files:
            side = _SIDES[_json_side(file) or "trainval"]
            entries = load_json(file)
            if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
                raise DataError(
                    f"{file} must hold a list of people, each with 'image' and 'joints'"
                )
            for number, entry in enumerate(entries):
                name = entry.get("image")
                if not isinstance(name, str) or not name:
                    shown = f"{file.name} entry {number}"
                    self.omissions.append(Omission(shown, "it names no picture"))
                elif "joints" not in entry:
                    self._counts[file.name] += 1
                    self.without_joints.add(name)
                else:
                    try:
                        yield _person_of_json(entry, name, side if len(self._files) > 1 else None)
                    except DataError as error:
                        self.without_joints.add(name)
                        reason = f"{file.name} entry {number}: {error}"
                        self.omissions.append(Omission(name, reason))

    def notes(self) -> Iterator[str]:
        """What has no joints, in numbers."""
        for name, count in sorted(self._counts.items()):
            yield f"{name}: {count} people have no joints and are left out"


def _annotation(person: _Person, path: Path, name: str) -> Annotation:
    """The person with places that count from 0.

    Raises:
        DataError: a number is not finite.
    """
    triples = [person.points.get(at, NO_LABEL) for at in range(len(NAMES))]
    numbers = [*(n for triple in triples for n in triple), *(person.centre or ())]
    if not all(map(math.isfinite, [*numbers, *(person.head or ())])):
        raise DataError("a joint, the centre or the head of a person is no finite number")
    fields = {POINTS: points_text([(x - 1, y - 1, v) for x, y, v in triples])}
    if person.head is not None:
        x1, y1, x2, y2 = person.head
        fields[HEAD] = f"{HEAD_SHARE * math.dist((x1, y1), (x2, y2)):.8g}"
    return Annotation(path, name, fields, person.side, person.group, _box(person))


def _box(person: _Person) -> Box | None:
    """The square around the centre; None without a centre and a scale."""
    if person.centre is None:
        return None
    x, y, scale = person.centre
    side = PERSON_HEIGHT * scale
    # 1 is the middle of the first pixel, which lies half a pixel from the corner.
    return (x - 0.5 - side / 2, y - 0.5 - side / 2, side, side) if side > 0 else None


def _joints(person: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    points = person.get("annopoints")
    found = _items(points.get("point")) if isinstance(points, dict) else []
    return [point for point in found if isinstance(point, dict)]


def _person_of_mat(person: Mapping[str, Any], image: str, group: str | None) -> _Person:
    points: dict[int, Triple] = {}
    for point in _joints(person):
        at = _float(point.get("id"))
        if at is not None and at in range(len(NAMES)):
            x, y = _float(point.get("x")), _float(point.get("y"))
            # Nobody judged the joints without a mark, such as the top of the head.
            hidden = _float(point.get("is_visible")) == 0
            points[int(at)] = (_or_nan(x), _or_nan(y), 1 if hidden else 2)
    place = person.get("objpos")
    place = place if isinstance(place, dict) else {}
    centre = [_float(place.get("x")), _float(place.get("y")), _float(person.get("scale"))]
    head = [_float(person.get(side)) for side in ("x1", "y1", "x2", "y2")]
    x, y, scale = centre
    x1, y1, x2, y2 = head
    return _Person(
        image,
        points,
        None if x is None or y is None or scale is None else (x, y, scale),
        None if x1 is None or y1 is None or x2 is None or y2 is None else (x1, y1, x2, y2),
        "train",
        group,
    )


def _person_of_json(entry: Mapping[str, Any], image: str, side: Split | None) -> _Person:
    """A person of a JSON file.

    Raises:
        DataError: it does not have a place and a mark for each joint.
    """
    joints, marks = entry["joints"], entry.get("joints_vis", [])
    for name, values in (("joints", joints), ("joints_vis", marks)):
        if not isinstance(values, list) or len(values) != len(NAMES):
            count = len(values) if isinstance(values, list) else "no"
            raise DataError(f"it has {count} {name} instead of {len(NAMES)}")
    if not all(isinstance(xy, list) and len(xy) == 2 and all(map(is_number, xy)) for xy in joints):
        raise DataError("a joint is not two finite numbers")
    points = {
        at: (float(x), float(y), 2)
        for at, ((x, y), mark) in enumerate(zip(joints, marks, strict=True))
        if mark
    }
    centre, scale = entry.get("center"), entry.get("scale")
    if not isinstance(centre, list) or len(centre) != 2 or not is_number(scale):
        return _Person(image, points, None, None, side)
    x, y = centre
    # (-1, -1) stands for a centre that is not known.
    known = is_number(x) and is_number(y) and x != -1
    return _Person(image, points, (x, y, float(scale or 0)) if known else None, None, side)


def _items(value: Any) -> list[Any]:
    """What a field of a MATLAB structure holds: one thing comes without a list around it."""
    if isinstance(value, list):
        return value
    if hasattr(value, "ravel"):  # an array; an empty one stands for nothing
        return list(value.ravel().tolist())
    return [] if value is None else [value]


def _float(value: Any) -> float | None:
    """A number or the text of one; None for an empty array or text."""
    try:
        return None if hasattr(value, "ravel") and value.size == 0 else float(value)
    except (TypeError, ValueError):
        return None


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _is_mat(file: Path) -> bool:
    name = file.name.lower()
    return name.startswith("mpii_human_pose") and name.endswith(".mat") and file.is_file()


def _mat(folder: Path) -> Path | None:
    """The MATLAB file in the folder, or in one of its folders as it is unpacked."""
    if not folder.is_dir():
        return None
    found = [*folder.glob("mpii_human_pose*.mat"), *folder.glob("*/mpii_human_pose*.mat")]
    return min(found, default=None)


def _json_side(file: Path) -> str | None:
    named = _JSON_NAME.fullmatch(file.stem) if file.suffix.lower() == ".json" else None
    return named[1].lower() if named else None


def _json_files(folder: Path) -> list[Path]:
    """The files of the sides; that of training and validation together only when alone."""
    for place in _ANNOTATION_FOLDERS:
        if (folder / place).is_dir():
            files = sorted(file for file in (folder / place).iterdir() if _json_side(file))
            parts = [file for file in files if _SIDES[_json_side(file) or ""] in ("train", "val")]
            return [f for f in files if not parts or _SIDES[_json_side(f) or ""] is not None]
    return []


def _has_joints(file: Path) -> bool:
    return begins_with_any(file, [b'"joints_vis"'])


READER = Mpii()
