"""COCO keypoint JSON: several people a picture, each with a box and points."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.config import DatasetOptions
from headstart.data.poses import POINTS, pairs_from_names, points_text
from headstart.data.readers import SPLIT_NAMES
from headstart.errors import DataError
from headstart.types import Annotation, Box, DataListing, Omission, Skeleton, Split

SIGN = b'"keypoints"'
LOOKED_AT = 1 << 18
"""Bytes at either end of a JSON file in which the sign of keypoints is looked for."""

EXAMPLES = 3


class CocoKeypoints:
    """``person_keypoints.json`` beside the pictures, or one file for each side.

    Points count from the centre of the top-left pixel (0, 0), as pycocotools takes them; boxes are
    (x, y, width, height) of the corner. The format: https://cocodataset.org/#format-data.
    """

    name = "coco-keypoints"
    priority = 45
    layout = "a COCO keypoint JSON file (or a folder with one) beside its pictures"

    def claims(self, data: Path) -> bool:
        """A JSON file with keypoints, or a folder with some in it or in ``annotations``."""
        if data.is_file():
            return data.suffix.lower() == ".json" and _has_sign(data)
        return bool(_files(data))

    def read(self, data: Path, options: DatasetOptions) -> DataListing:
        """Lists every person with the fields ``points`` and ``area``."""
        files = [data] if data.is_file() else _files(data)
        root = data.parent if data.is_file() else data
        if root.name == "annotations" and data.is_file():
            root = root.parent
        sides = {file: _side(file) if len(files) > 1 else None for file in files}
        if len(files) > 1 and None in sides.values():
            names = ", ".join(file.name for file in files)
            raise DataError(
                f"{root} holds several keypoint files ({names}), whose names do not all say a side "
                "of the split: give one of them"
            )
        annotations: list[Annotation] = []
        omissions: list[Omission] = []
        notes: list[str] = []
        skeletons: set[Skeleton] = set()
        for file, side in sides.items():
            found = _CocoFile(file, root, side)
            skeletons.add(found.skeleton)
            annotations += found.annotations()
            omissions += found.omissions
            notes += found.notes()
        if len(skeletons) != 1:
            raise DataError(f"the keypoint files of {root} do not have the same keypoints")
        if not annotations:
            shown = "; ".join(f"{o.image}: {o.reason}" for o in omissions[:EXAMPLES])
            raise DataError(f"{root} holds no usable keypoints ({shown or 'no annotation'})")
        return DataListing(
            root,
            self.name,
            tuple(annotations),
            tuple(omissions),
            tuple(notes),
            ("flip_pairs",),
            skeletons.pop(),
        )


class _CocoFile:
    """One JSON file, checked."""

    def __init__(self, file: Path, root: Path, side: Split | None) -> None:
        self._file, self._root, self._side = file, root, side
        content = _load(file)
        self._images = {entry["id"]: entry for entry in content["images"]}
        self._people: Sequence[Mapping[str, Any]] = content["annotations"]
        _check_unique(file, "image", [entry["id"] for entry in content["images"]])
        _check_unique(file, "annotation", [a["id"] for a in self._people if "id" in a])
        self.skeleton = _skeleton(file, content["categories"])
        self.omissions: list[Omission] = []
        self._skipped: Counter[str] = Counter()

    def annotations(self) -> Iterator[Annotation]:
        """Every usable person; fills ``omissions``."""
        paths = {key: self._path(entry) for key, entry in self._images.items()}
        used = set()
        for person in self._people:
            key = person.get("image_id")
            if key not in self._images:
                named = f"annotation {person.get('id', '?')}"
                self.omissions.append(Omission(named, f"there is no image with the id {key!r}"))
                continue
            used.add(key)
            if person.get("iscrowd"):
                self._skipped["of crowds"] += 1
                continue
            image = self._name(key)
            path = paths[key]
            try:
                points = self._points(person)
                box = _box(person)
            except DataError as error:
                self.omissions.append(Omission(image, str(error)))
                continue
            if not points:
                self._skipped["without a labelled point"] += 1
            elif path is not None:
                fields = {POINTS: points, "area": str(person.get("area", ""))}
                name = path.relative_to(self._root).as_posix()
                yield Annotation(path, name, fields, self._side, None, box)
        for key, path in paths.items():
            if path is None:
                self.omissions.append(Omission(self._name(key), "no such file"))
            elif key not in used:
                self.omissions.append(Omission(self._name(key), "it has no annotation"))

    def notes(self) -> Iterator[str]:
        """What was skipped, in numbers."""
        for kind, count in self._skipped.items():
            yield f"{self._file.name}: {count} annotations {kind} are skipped"

    def _name(self, key: Any) -> str:
        return str(self._images[key].get("file_name", key))

    def _path(self, entry: Mapping[str, Any]) -> Path | None:
        """Where the picture lies: as it is named, or in ``images``, or in the folder of a side."""
        named = Path(str(entry.get("file_name", "")).replace("\\", "/"))
        side = self._file.stem.rpartition("_")[2]
        folders = (".", "images", side, f"images/{side}")
        for candidate in (named, Path(named.name)):
            for folder in folders:
                path = self._root / folder / candidate
                if named.name and path.is_file():
                    return path
        return None

    def _points(self, person: Mapping[str, Any]) -> str:
        """The field; empty when no point has a label."""
        values = person.get("keypoints") or []
        wanted = 3 * len(self.skeleton.names)
        if len(values) != wanted:
            raise DataError(f"an annotation has {len(values)} keypoint values instead of {wanted}")
        triples = [(values[i], values[i + 1], values[i + 2]) for i in range(0, wanted, 3)]
        if not all(_is_number(value) for triple in triples for value in triple):
            raise DataError("an annotation has keypoints that are no finite numbers")
        if not any(v for _, _, v in triples):
            return ""
        return points_text([(float(x), float(y), int(v)) for x, y, v in triples])


def _load(file: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is no readable JSON: {error}") from error
    missing = [
        name
        for name in ("images", "annotations", "categories")
        if not isinstance(content, dict) or not isinstance(content.get(name), list)
    ]
    if missing:
        raise DataError(f"{file} lacks the lists {', '.join(missing)} of a COCO file")
    if any("id" not in entry for entry in content["images"]):
        raise DataError(f"{file}: an image has no id")
    found: Mapping[str, Any] = content
    return found


def _check_unique(file: Path, kind: str, keys: Sequence[Any]) -> None:
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        shown = ", ".join(map(str, twice[:EXAMPLES]))
        raise DataError(f"{file}: {len(twice)} {kind} ids occur more than once, such as {shown}")


def _skeleton(file: Path, categories: Sequence[Mapping[str, Any]]) -> Skeleton:
    named = [category for category in categories if category.get("keypoints")]
    if len(named) != 1:
        found = ", ".join(str(category.get("name")) for category in named) or "none"
        raise DataError(f"{file}: exactly one category must have keypoints, found {found}")
    names = tuple(str(name) for name in named[0]["keypoints"])
    # Bones count from 1.
    bones = tuple((int(a) - 1, int(b) - 1) for a, b in named[0].get("skeleton") or ())
    if any(not 0 <= at < len(names) for bone in bones for at in bone):
        raise DataError(f"{file}: the skeleton names keypoints that do not exist")
    return Skeleton(names, bones, pairs_from_names(names))


def _box(person: Mapping[str, Any]) -> Box | None:
    values = person.get("bbox")
    if values is None:
        return None
    if len(values) != 4 or not all(map(_is_number, values)) or min(values[2:]) <= 0:
        raise DataError(f"an annotation has the box {values}, which has no area")
    x, y, width, height = map(float, values)
    return (x, y, width, height)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _side(file: Path) -> Split | None:
    words = file.stem.lower().replace("-", "_").split("_")
    found = [
        SPLIT_NAMES[w.rstrip("0123456789")] for w in words if w.rstrip("0123456789") in SPLIT_NAMES
    ]
    return found[-1] if found else None


def _files(folder: Path) -> list[Path]:
    """JSON files with keypoints in the folder, or in its folder ``annotations``."""
    if not folder.is_dir():
        return []
    for place in (folder, folder / "annotations"):
        found = [path for path in sorted(place.glob("*.json")) if _has_sign(path)]
        if found:
            return found
    return []


def _has_sign(file: Path) -> bool:
    """Whether a JSON file speaks of keypoints, near its start or its end."""
    try:
        with file.open("rb") as stream:
            start = stream.read(LOOKED_AT)
            stream.seek(max(0, file.stat().st_size - LOOKED_AT))
            return SIGN in start or SIGN in stream.read(LOOKED_AT)
    except OSError:
        return False


READER = CocoKeypoints()
