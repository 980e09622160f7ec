"""COCO keypoint JSON: several people a picture, each with a box and points."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.config import DatasetOptions
from headstart.data.coco_files import (
    check_unique,
    coco_files,
    file_sides,
    is_coco,
    key_of,
    load_coco,
    looks_like_coco,
    picture_paths,
    root_of,
)
from headstart.data.poses import (
    AREA,
    POINTS,
    begins_with_any,
    box_of,
    is_number,
    nothing_left,
    pairs_from_names,
    points_text,
    separate,
    strays,
)
from headstart.errors import DataError
from headstart.tasks.protocol import NO_OPTIONS
from headstart.types import Annotation, Box, DataListing, Omission, Skeleton, Split

SIGN = b'"keypoints"'


class CocoKeypoints:
    """``person_keypoints.json`` beside the pictures, or one file for each side.

    Points are 0-indexed places of pixels (https://cocodataset.org/#format-data) and are taken as
    they are, (0, 0) being the centre of the top-left pixel, as pycocotools compares them; boxes are
    (x, y, width, height) "measured from the top left image corner", which is the form wanted here.
    The bones of a category count points from 1.
    """

    name = "coco-keypoints"
    priority = 45
    layout = "a COCO keypoint JSON file (or a folder with one) beside its pictures"

    def claims(self, data: Path, options: DatasetOptions = NO_OPTIONS) -> bool:
        """A JSON file with keypoints, or a folder with some in it or in ``annotations``."""
        return is_coco(data, _has_sign)

    def read(self, data: Path, options: DatasetOptions) -> DataListing:
        """Lists every person with the fields ``points`` and ``area``."""
        files = [data] if data.is_file() else coco_files(data, _has_sign)
        root = root_of(data)
        found = [_CocoFile(file, root, side) for file, side in file_sides(root, files).items()]
        annotations, doubles = separate(a for file in found for a in file.annotations())
        omissions = [omission for file in found for omission in file.omissions] + doubles
        notes = [note for file in found for note in file.notes()]
        if len({file.skeleton for file in found}) > 1:
            raise DataError(f"the COCO files of {root} do not have the same keypoints")
        if not annotations:
            raise nothing_left(root, omissions, notes)
        if data.is_dir():  # beside one file of several lie the pictures of the others
            mentioned = {path for file in found for path in file.paths.values() if path}
            omissions.extend(strays(root, mentioned))
        return DataListing(
            root,
            self.name,
            annotations,
            tuple(omissions),
            tuple(notes),
            skeleton=found[0].skeleton,
        )


class _CocoFile:
    """One JSON file, checked."""

    def __init__(self, file: Path, root: Path, side: Split | None) -> None:
        self._file, self._root, self._side = file, root, side
        content = load_coco(file)
        check_unique(file, "image", [entry["id"] for entry in content["images"]])
        check_unique(file, "annotation", [a["id"] for a in content["annotations"] if "id" in a])
        self._images = {entry["id"]: str(entry.get("file_name", "")) for entry in content["images"]}
        self._people: Sequence[Mapping[str, Any]] = content["annotations"]
        self._category, self.skeleton = _category(file, content["categories"])
        self.paths = picture_paths(root, file, self._images)
        self.omissions: list[Omission] = []
        self._skipped: Counter[str] = Counter()

    def annotations(self) -> Iterator[Annotation]:
        """Every usable person; fills ``omissions``."""
        settled, skipped = set(), set()
        for person in self._people:
            key = key_of(person.get("image_id"))
            if key not in self._images:
                named = f"{self._file.name} annotation {person.get('id', '?')}"
                reason = f"there is no image with the id {person.get('image_id')!r}"
                self.omissions.append(Omission(named, reason))
                continue
            path = self.paths[key]
            if path is None:
                continue
            kind = self._reason_to_skip(person)
            if kind is not None:
                self._skipped[kind] += 1
                skipped.add(key)
                continue
            settled.add(key)
            name = path.relative_to(self._root).as_posix()
            try:
                fields = {POINTS: self._points(person), **_area(person)}
                yield Annotation(path, name, fields, self._side, None, _box(person))
            except DataError as error:
                self.omissions.append(Omission(name, f"annotation {person.get('id')}: {error}"))
        for key, path in self.paths.items():
            if path is None:
                named = self._images[key] or f"{self._file.name} image {key}"
                self.omissions.append(Omission(named, "no such file"))
            elif key not in settled:
                name = path.relative_to(self._root).as_posix()
                reason = "all of its annotations are skipped" if key in skipped else ""
                self.omissions.append(Omission(name, reason or "it has no annotation"))

    def notes(self) -> Iterator[str]:
        """What was skipped, in numbers."""
        for kind, count in sorted(self._skipped.items()):
            yield f"{self._file.name}: {count} annotations {kind} are skipped"

    def _reason_to_skip(self, person: Mapping[str, Any]) -> str | None:
        if person.get("category_id", self._category) != self._category:
            return "of categories without keypoints"
        if person.get("iscrowd"):
            return "of crowds"
        values = person.get("keypoints")
        if values is None or (isinstance(values, list) and values and not any(values[2::3])):
            return "without a labelled point"
        return None

    def _points(self, person: Mapping[str, Any]) -> str:
        """The field.

        Raises:
            DataError: the values are not three for each point, or no numbers.
        """
        values, wanted = person["keypoints"], 3 * len(self.skeleton.names)
        if not isinstance(values, list) or len(values) != wanted:
            count = len(values) if isinstance(values, list) else "no"
            raise DataError(f"it has {count} keypoint values instead of {wanted}")
        wrong = [value for value in values if not is_number(value)]
        if wrong:
            raise DataError(f"its keypoints are no finite numbers, got {wrong[0]!r:.40}")
        unknown = [v for v in values[2::3] if v not in (0, 1, 2)]
        if unknown:
            raise DataError(f"visibility must be 0, 1 or 2, got {unknown[0]}")
        return points_text(
            [(values[i], values[i + 1], int(values[i + 2])) for i in range(0, wanted, 3)]
        )


def _category(file: Path, categories: Sequence[Mapping[str, Any]]) -> tuple[Any, Skeleton]:
    """Id and points of the one category that has points."""
    named = [category for category in categories if category.get("keypoints")]
    if len(named) != 1:
        found = ", ".join(str(category.get("name")) for category in named) or "none"
        raise DataError(f"{file}: exactly one category must have keypoints, found {found}")
    names = tuple(str(name) for name in named[0]["keypoints"])
    if len(set(names)) < len(names):
        raise DataError(f"{file}: two keypoints have the same name; found {', '.join(names)}")
    bones = named[0].get("skeleton") or []
    for bone in bones:
        ends = bone if isinstance(bone, list) else []
        if len(ends) != 2 or any(end not in range(1, len(names) + 1) for end in ends):
            raise DataError(
                f"{file}: the skeleton names keypoints that do not exist: a bone must be two "
                f"numbers from 1 to {len(names)}, got {bone}"
            )
    pairs = tuple((int(first) - 1, int(second) - 1) for first, second in bones)
    return named[0].get("id"), Skeleton(names, pairs, pairs_from_names(names))


def _box(person: Mapping[str, Any]) -> Box | None:
    values = person.get("bbox")
    if values is None:
        return None
    box = box_of(values)
    if box is None:
        raise DataError(f"it has the box {values}, which has no area")
    return box


def _area(person: Mapping[str, Any]) -> dict[str, str]:
    area: Any = person.get("area")
    return {AREA: f"{area:.8g}"} if is_number(area) and area > 0 else {}


def _has_sign(file: Path) -> bool:
    """Whether a JSON file looks like COCO and speaks of keypoints, in its name or at an end."""
    if not looks_like_coco(file):
        return False
    return "keypoints" in file.stem.lower() or begins_with_any(file, [SIGN], end=True)


READER = CocoKeypoints()
