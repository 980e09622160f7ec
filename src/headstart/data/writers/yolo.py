"""YOLO: class folders for classes, else text files in ``labels/`` beside ``images/``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import yaml

from headstart.data.outlines import outlines
from headstart.data.placing import Folder
from headstart.data.readers import SPLIT_NAMES
from headstart.data.writers import (
    LABEL,
    LABELS,
    MASK,
    POINTS,
    Content,
    Thing,
    boxed_labels,
    common_losses,
    layout_options,
    mask_classes,
    refuse_numbers,
)
from headstart.errors import DataError
from headstart.types import IGNORED, Box, Size

OBJECT = "object"
"""Name of the one class of points."""


class YoloWriter:
    """What the Ultralytics tools read (https://docs.ultralytics.com/datasets)."""

    name = "yolo"

    def losses(self, content: Content) -> list[str]:
        """Groups, labels that are not known, pictures without a side, lengths and areas."""
        refuse_numbers(content, "YOLO", (LABEL, LABELS, MASK, POINTS))
        found = common_losses(content, "YOLO", hides_unknown=True)
        if LABEL in content.fields:
            _check_folders(content)
            return [loss for loss in found if "no box" not in loss]
        if not content.sides:
            found.append("YOLO needs sides of the split: all pictures become training pictures")
        if MASK in content.fields and mask_classes(content)[2] == 0:
            found.append("YOLO ignores no pixels: those that counted for nothing become background")
        if POINTS not in content.fields:
            return found
        bare = sum(thing.box is None for thing in content.things)
        if bare:
            found.append(f"YOLO needs boxes: {bare} pictures without one get that of all of it")
        lengths = sorted(content.fields & {"area", "head"})
        if lengths:
            found.append(f"YOLO has no {' and '.join(lengths)} of a thing: scores that need it end")
        return found

    def write(self, content: Content, folder: Folder) -> None:
        """Class folders, or a text file for each picture and ``data.yaml``."""
        options = layout_options(content)
        pictures = content.pictures().values()
        if LABEL in content.fields:
            for things in pictures:
                first = things[0]
                side = f"{first.split or 'train'}/" if content.sides else ""
                folder.picture(first, f"{side}{first.row()[LABEL]}", flat=True)
            folder.options(options)
            return
        for things in pictures:
            side = things[0].split or "train"
            name = folder.picture(things[0], f"images/{side}", flat=True)
            lines = [line for thing in things for line in _lines(thing, content)]
            stem = name.rpartition(".")[0]
            text = "".join(f"{line}\n" for line in lines)
            folder.bytes(f"labels/{side}/{stem}.txt", text.encode())
        if MASK in content.fields:
            options["classes"] = mask_classes(content)[1]
        folder.options(options)
        text = yaml.safe_dump(_description(content), sort_keys=False, allow_unicode=True)
        folder.text("data.yaml", text)


def _description(content: Content) -> dict[str, Any]:
    sides = content.sides or ("train",)
    found: dict[str, Any] = {side: f"images/{side}" for side in sides}
    if POINTS not in content.fields:
        names = mask_classes(content)[0] if MASK in content.fields else content.parts
        return {**found, "names": dict(enumerate(names))}
    flips = list(range(len(content.parts)))
    for first, second in content.options.get("flip_pairs", ()):
        flips[first], flips[second] = second, first
    return {
        **found,
        "kpt_shape": [len(flips), 3],
        "flip_idx": flips,
        "names": {0: OBJECT},
        "kpt_names": {0: list(content.parts)},
    }


def _lines(thing: Thing, content: Content) -> Iterator[str]:
    row, size = thing.row(), thing.frame.size
    if POINTS in row:
        yield _pose(thing, str(row[POINTS]))
    elif isinstance(mask := row.get(MASK), np.ndarray):
        shift = mask_classes(content)[2]
        for value in np.unique(mask).tolist():
            if value != IGNORED and value + shift:
                for outline in outlines(mask == value):
                    yield _row(value + shift - 1, outline.ravel().tolist(), size)
    else:
        for name, box, unknown in boxed_labels(thing, content):
            if not unknown:
                yield _row(content.parts.index(name), _centred(box, size), size)


def _pose(thing: Thing, points: str) -> str:
    height, width = thing.frame.size
    box = thing.box or (0.0, 0.0, float(width), float(height))
    texts = [_row(0, _centred(box, thing.frame.size), thing.frame.size)]
    for point in points.split():
        x, y, seen = map(float, point.split(","))
        texts.append(f"{x / width:.9g} {y / height:.9g} {int(seen)}")
    return " ".join(texts)


def _centred(box: Box, size: Size) -> list[float]:
    """X and y of the centre, width and height in pixels; cut at the picture's border."""
    left, top, width, height = box
    right, bottom = min(left + width, size[1]), min(top + height, size[0])
    left, top = max(left, 0.0), max(top, 0.0)
    return [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]


def _row(number: int, pixels: Sequence[float], size: Size) -> str:
    """A class with x, y, x, y, ... as shares of the width and height."""
    shares = [value / size[1 - at % 2] for at, value in enumerate(pixels)]
    return " ".join([str(number), *(f"{share:.9g}" for share in shares)])


def _check_folders(content: Content) -> None:
    """Refuses classes that cannot be folders."""
    for name in content.parts:
        odd = name.lower() in SPLIT_NAMES or name.startswith(".") or name != name.strip()
        if odd or set(name) & set('/\\:*?"<>|'):
            raise DataError(
                f"YOLO needs a folder for each class, and {name!r} cannot be one: "
                "rename the class, or say --to csv"
            )


WRITER = YoloWriter()
