"""Boxes around what is meant in pictures, from a file."""

from __future__ import annotations

import csv
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from headstart.errors import DataError
from headstart.types import Box

COLUMNS = ("image", "x", "y", "width", "height")


def with_boxes(paths: Sequence[Path], file: Path | None) -> list[tuple[Path, Box | None]]:
    """Pictures with their boxes, in the order of the pictures.

    Args:
        paths: the pictures.
        file: CSV with the columns ``COLUMNS``; names of pictures are relative to it or to the
            present folder. None for whole pictures.

    Raises:
        DataError: the file cannot be read, a row is wrong, or no row belongs to a picture.
    """
    if file is None:
        return [(path, None) for path in paths]
    boxes = _read(file)
    found: list[tuple[Path, Box | None]] = []
    for path in paths:
        own = boxes.get(path.resolve(), ())
        found += [(path, box) for box in own] or [(path, None)]
    if not any(box for _, box in found):
        raise DataError(f"{file}: none of its {len(boxes)} pictures is among those to predict for")
    return found


def _read(file: Path) -> dict[Path, list[Box]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(
                    f"{file}: the columns {', '.join(missing)} are missing; needed are "
                    f"{', '.join(COLUMNS)}"
                )
            boxes: dict[Path, list[Box]] = defaultdict(list)
            for row in reader:
                path = file.parent / row["image"]
                path = path if path.is_file() else Path(row["image"])
                boxes[path.resolve()].append(_box(row, f"{file} line {reader.line_num}"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} cannot be read: {error}") from error
    return boxes


def _box(row: dict[str, str], where: str) -> Box:
    try:
        x, y, width, height = (float(row[name]) for name in COLUMNS[1:])
    except (TypeError, ValueError):
        raise DataError(f"{where}: x, y, width and height must be numbers, got {row}") from None
    if not all(map(math.isfinite, (x, y, width, height))) or min(width, height) <= 0:
        raise DataError(f"{where}: width and height must be above 0, got {width:g} and {height:g}")
    return (x, y, width, height)
