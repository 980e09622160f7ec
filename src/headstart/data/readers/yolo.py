"""YOLO text files: ``images/train/a.jpg``, ``labels/train/a.txt`` and a YAML file with names."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from headstart.config import DATASET_FILE, DatasetOptions
from headstart.data.originals import Originals
from headstart.data.poses import POINTS, is_file, nothing_left, points_text, separate, strays
from headstart.data.shapes import Shape, mask_file
from headstart.errors import DataError, UnreadableImageError
from headstart.runtime.images import iter_images, measure
from headstart.tasks.protocol import NO_OPTIONS
from headstart.types import SPLITS, Annotation, Box, DataListing, Omission, Size, Skeleton, Split

LABELS = "labels"
MASK = "mask"
BACKGROUND = "background"
ENDINGS = (".yaml", ".yml")

Row = tuple[int, list[float]]
"""Number of the line, and its values."""


class Yolo:
    """What the Ultralytics tools read (https://docs.ultralytics.com/datasets).

    Rows of five values are boxes, which say what a picture shows; longer rows are outlines, or
    points where the YAML file has ``kpt_shape``. Values are shares of the picture's width and
    height; x times the width is taken as COCO's pixels are, from which the tools convert.
    """

    name = "yolo"
    priority = 40
    layout = "YOLO text files in labels/ beside images/, with a YAML file that has 'names'"

    def claims(self, data: Path, options: DatasetOptions = NO_OPTIONS) -> bool:
        """A YAML file with names and sides, or a folder with exactly one."""
        return _description(data) is not None

    def read(self, data: Path, options: DatasetOptions) -> DataListing:
        """Lists pictures with ``labels`` and, for outlines, ``mask``; or things with ``points``."""
        file = _description(data)
        if file is None:
            raise DataError(f"{data} holds no YAML file with names and train")
        found = _Dataset.load(file)
        omissions: list[Omission] = []
        every = list(found.annotations(omissions))
        annotations, doubles = separate(every)
        omissions += doubles
        if not annotations:
            raise nothing_left(file, omissions, ())
        listed = {path for _, folder in found.folders for path in iter_images(folder)}
        omissions.extend(strays(found.root, listed))
        return DataListing(
            found.root,
            self.name,
            annotations,
            tuple(omissions),
            skeleton=found.skeleton,
            classes=(BACKGROUND, *found.names) if found.outlines else (),
        )


@dataclasses.dataclass(frozen=True)
class _Dataset:
    """The YAML file, checked.

    Attributes:
        file: where it lies.
        names: of the classes.
        folders: of the pictures, with their sides.
        points: number of points, 0 for boxes or outlines, and values of each (2 or 3).
        skeleton: of the points.
    """

    file: Path
    names: tuple[str, ...]
    folders: tuple[tuple[Split, Path], ...]
    points: tuple[int, int] = (0, 0)
    skeleton: Skeleton | None = None

    @classmethod
    def load(cls, file: Path) -> _Dataset:
        """Reads the YAML file.

        Raises:
            DataError: an entry is not what it must be, or names a folder that is not there.
        """
        content = _load(file)
        names = content["names"]
        if isinstance(names, dict):
            if sorted(names) != list(range(len(names))):
                raise DataError(f"{file}: the names must have the numbers 0 to {len(names) - 1}")
            names = [names[at] for at in range(len(names))]
        if not isinstance(names, list) or not names:
            raise DataError(f"{file}: names must be a list of the classes, got {names!r:.60}")
        folders: dict[Path, Split] = {}
        for side in SPLITS:
            for value in _texts(content.get(side)):
                folders.setdefault(_folder(file, side, value), side)
        shape = content.get("kpt_shape")
        found = cls(file, tuple(map(str, names)), tuple((s, f) for f, s in folders.items()))
        if shape is None:
            return found
        if not (isinstance(shape, list) and len(shape) == 2 and shape[0] and shape[1] in (2, 3)):
            raise DataError(f"{file}: kpt_shape must be [points, 2 or 3], got {shape!r:.60}")
        skeleton = _skeleton(file, content, int(shape[0]))
        return dataclasses.replace(found, points=(int(shape[0]), shape[1]), skeleton=skeleton)

    @property
    def root(self) -> Path:
        """The folder of the YAML file."""
        return self.file.parent

    @functools.cached_property
    def outlines(self) -> bool:
        """Whether the first row that there is draws an outline."""
        if self.points[0]:
            return False
        for _, folder in self.folders:
            for path in iter_images(folder):
                # A file that cannot be read is named with its picture.
                with contextlib.suppress(DataError):
                    for line in _lines(_label_file(path)):
                        return len(line.split()) > 5
        return False

    def annotations(self, omissions: list[Omission]) -> Iterator[Annotation]:
        """Every usable picture or thing; adds the others to ``omissions``."""
        originals = Originals(self.file)
        for side, folder in self.folders:
            for path in iter_images(folder):
                image = path.relative_to(self.root).as_posix()
                try:
                    yield from self._of(path, image, side, originals)
                except DataError as error:
                    omissions.append(Omission(image, str(error)))

    def _of(
        self, path: Path, image: str, side: Split, originals: Originals
    ) -> Iterator[Annotation]:
        labels = _label_file(path)
        rows = list(self._rows(labels))
        if self.points[0]:
            if not rows:
                raise DataError(f"it has no points (looked into {labels.name})")
            size = _stored_size(path)
            for _, values in rows:
                box, points = _box(values[1:5], size), self._points(values[5:], size)
                yield Annotation(path, image, {POINTS: points}, side, None, box)
            return
        shown = sorted({int(values[0]) for _, values in rows})
        fields = {LABELS: "|".join(self.names[number] for number in shown)}
        if self.outlines:
            size = _stored_size(path)
            shapes = [Shape(1 + int(v[0]), [_pixels(v[1:], size)]) for _, v in rows]
            fields[MASK] = mask_file(originals, image, size, shapes)
        boxes = () if self.outlines else self._boxes(path, rows)
        yield Annotation(path, image, fields, side, boxes=boxes)

    def _boxes(self, path: Path, rows: Sequence[Row]) -> tuple[tuple[str, Box], ...]:
        """Boxes that only other programs use: a picture whose size is unknown has none."""
        with contextlib.suppress(DataError, UnreadableImageError):
            size = _stored_size(path) if rows else (0, 0)
            return tuple((self.names[int(v[0])], _box(v[1:], size)) for _, v in rows)
        return ()

    def _rows(self, file: Path) -> Iterator[Row]:
        """Checked rows.

        Raises:
            DataError: names the file and the line.
        """
        for number, line in enumerate(_lines(file), start=1):
            if line.strip():
                try:
                    yield number, self._checked(line)
                except ValueError as error:
                    raise DataError(f"{file.name} line {number}: {error}") from error

    def _checked(self, line: str) -> list[float]:
        values = [float(text) for text in line.split()]
        if not all(map(math.isfinite, values)):
            raise ValueError(f"a value is not finite: {line.strip()[:60]!r}")
        if int(values[0]) != values[0] or not 0 <= values[0] < len(self.names):
            raise ValueError(f"the class must be 0 to {len(self.names) - 1}, got {values[0]:g}")
        count, each = self.points
        right = len(values) == 5
        wanted = "5 values for a box"
        if count:
            right, wanted = len(values) == 5 + count * each, f"{5 + count * each} values for points"
        elif self.outlines:
            right = len(values) >= 7 and len(values) % 2 == 1
            wanted = "7, 9, 11, ... values for an outline"
        if not right:
            raise ValueError(f"must have {wanted}, got {len(values)}")
        # Tools write a little more than 1 for what reaches the border.
        places = values[1:] if not count else values[1:5]
        if places and (min(places) < -0.01 or max(places) > 1.01):
            raise ValueError("places must be shares from 0 to 1 of the width and height")
        return values

    def _points(self, values: Sequence[float], size: Size) -> str:
        count, each = self.points
        height, width = size
        triples = []
        for at in range(0, count * each, each):
            x, y = values[at : at + 2]
            # Without a third value a point at the corner stands for one without a label.
            seen = int(values[at + 2]) if each == 3 else 2 * ((x, y) != (0, 0))
            triples.append((x * width, y * height, min(2, max(0, seen))))
        return points_text(triples)


def _description(data: Path) -> Path | None:
    """The YAML file with the names."""
    if data.is_file():
        return data if data.suffix.lower() in ENDINGS and _describes(data) else None
    if not data.is_dir():
        return None
    files = [path for path in sorted(data.iterdir()) if path.suffix.lower() in ENDINGS]
    found = [path for path in files if path.name != DATASET_FILE and _describes(path)]
    return found[0] if len(found) == 1 else None


def _describes(file: Path) -> bool:
    try:
        content = _load(file)
    except DataError:
        return False
    return "names" in content and any(side in content for side in SPLITS)


def _load(file: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(f"{file} is no readable YAML: {' '.join(str(error).split())}") from error
    return content if isinstance(content, dict) else {}


def _texts(value: Any) -> list[str]:
    return [str(text) for text in (value if isinstance(value, list) else [value]) if text]


def _folder(file: Path, side: str, value: str) -> Path:
    """The folder that the YAML file names; exports often say one level too many."""
    name = value.replace("\\", "/")
    for place in (name, name.removeprefix("../"), name.removeprefix("./")):
        folder = file.parent / place
        if folder.is_dir() and folder.resolve().is_relative_to(file.parent.resolve()):
            return folder
    raise DataError(f"{file}: {side} names {value!r}, which is no folder beside the file")


def _skeleton(file: Path, content: Mapping[str, Any], count: int) -> Skeleton:
    """Names of the points, and the pairs that a mirror swaps."""
    named = content.get("kpt_names")
    named = next(iter(named.values()), None) if isinstance(named, dict) else named
    names = tuple(map(str, named)) if isinstance(named, list) else ()
    flips = content.get("flip_idx") or list(range(count))
    if sorted(map(str, flips)) != sorted(map(str, range(count))):
        raise DataError(f"{file}: flip_idx must hold each of 0 to {count - 1} once, got {flips}")
    pairs = tuple((at, other) for at, other in enumerate(flips) if at < other)
    if len(names) != count:
        names = tuple(f"point{at}" for at in range(count))
    return Skeleton(names, (), pairs)


def _label_file(path: Path) -> Path:
    """The text file of a picture: ``labels`` in place of the last folder ``images``."""
    parts = list(path.parts)
    for at in range(len(parts) - 2, -1, -1):
        if parts[at] == "images":
            parts[at] = LABELS
            break
    return Path(*parts).with_suffix(".txt")


def _lines(file: Path) -> list[str]:
    """Lines of a text file; a picture without one shows nothing."""
    if not is_file(file):
        return []
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file.name} cannot be read as UTF-8 text: {error}") from error


def _stored_size(path: Path) -> Size:
    frame = measure(path)
    if frame.orientation != 1:
        raise DataError(
            "its EXIF entry turns it, and YOLO files do not say which way their places lie: "
            "save it upright"
        )
    return frame.size


def _pixels(shares: Sequence[float], size: Size) -> list[float]:
    """x, y, x, y, ... in pixels."""
    return [share * size[1 - at % 2] for at, share in enumerate(shares)]


def _box(shares: Sequence[float], size: Size) -> Box:
    x, y, width, height = _pixels(shares, size)
    if width <= 0 or height <= 0:
        raise DataError("a box has no area")
    return (x - width / 2, y - height / 2, width, height)


READER = Yolo()
