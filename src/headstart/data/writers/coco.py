"""COCO JSON: one file for each side in ``annotations/``, pictures in ``images/``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.data.placing import Folder
from headstart.data.poses import is_number
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
from headstart.errors import needing_extra
from headstart.types import IGNORED

IMAGES = "images"
PERSON = "object"
"""Name of the one category of points."""

Entry = dict[str, Any]


class CocoWriter:
    """Masks become run lengths, one annotation for each class of a picture.

    Run lengths are exact where polygons are not.
    """

    name = "coco"

    def losses(self, content: Content) -> list[str]:
        """Groups, labels that are not known, and lengths of heads."""
        refuse_numbers(content, "COCO", (LABEL, LABELS, MASK, POINTS))
        found = common_losses(content, "COCO", hides_unknown=True)
        if len(content.sides) == 1:
            found.append(
                f"COCO says sides by several files, and here is only {content.sides[0]}: it is lost"
            )
        if "head" in content.fields:
            found.append("COCO has no lengths of heads: PCKh cannot be computed any more")
        return found

    def write(self, content: Content, folder: Folder) -> None:
        """One JSON file a side."""
        options = layout_options(content)
        if MASK in content.fields:
            options["classes"] = mask_classes(content)[1]
        sides: dict[str, dict[str, list[Entry]]] = {}
        kind = "keypoints" if POINTS in content.fields else "instances"
        for number, things in enumerate(content.pictures().values(), start=1):
            first = things[0]
            side = f"_{first.split or 'train'}" if content.sides else ""
            lists = sides.setdefault(side, {"images": [], "annotations": []})
            height, width = first.frame.size
            name = folder.picture(first, IMAGES, flat=False)
            lists["images"].append(
                {"id": number, "file_name": name, "width": width, "height": height}
            )
            for thing in things:
                for entry in _annotations(thing, content):
                    key = {"id": len(lists["annotations"]) + 1, "image_id": number}
                    lists["annotations"].append({**key, **entry})
        folder.options(options)
        for side, lists in sides.items():
            text = json.dumps({**lists, "categories": _categories(content)}, ensure_ascii=False)
            folder.text(f"annotations/{kind}{side}.json", text + "\n")


def _categories(content: Content) -> list[Entry]:
    if POINTS in content.fields:
        bones = [[first + 1, second + 1] for first, second in content.options.get("bones", ())]
        return [
            {"id": 1, "name": PERSON, "keypoints": list(content.parts), "skeleton": bones},
        ]
    names = mask_classes(content)[0] if MASK in content.fields else content.parts
    return [{"id": at, "name": name} for at, name in enumerate(names, start=1)]


def _annotations(thing: Thing, content: Content) -> Iterator[Entry]:
    row = thing.row()
    if POINTS in row:
        yield _pose(thing, row)
    elif isinstance(mask := row.get(MASK), np.ndarray):
        yield from _runs(mask, len(content.parts), mask_classes(content)[2])
    else:
        for name, box, unknown in boxed_labels(thing, content):
            if not unknown:
                category = content.parts.index(name) + 1
                area = box[2] * box[3]
                yield {"category_id": category, "bbox": list(box), "area": area, "iscrowd": 0}


def _pose(thing: Thing, row: Mapping[str, Any]) -> Entry:
    values = [float(value) for text in row[POINTS].split() for value in text.split(",")]
    seen = sum(value > 0 for value in values[2::3])
    points = [int(v) if at % 3 == 2 else v for at, v in enumerate(values)]
    found: Entry = {"category_id": 1, "keypoints": points, "num_keypoints": seen, "iscrowd": 0}
    if thing.box is not None:
        found["bbox"] = list(thing.box)
    area = float(row["area"]) if row.get("area") else None
    return {**found, "area": area} if is_number(area) else found


def _runs(mask: npt.NDArray[np.uint8], count: int, shift: int) -> Iterator[Entry]:
    """An annotation for each class that the mask holds; ignored pixels are a crowd."""
    with needing_extra("Writing run lengths", "train"):
        from pycocotools import mask as coco
    for value in np.unique(mask).tolist():
        # Without a background what is ignored is what no outline covers.
        if value + shift == 0 or (value == IGNORED and shift) or count <= value != IGNORED:
            continue
        runs = coco.encode(np.asfortranarray(mask == value, dtype=np.uint8))
        yield {
            "category_id": 1 if value == IGNORED else value + shift,
            "segmentation": {"size": list(mask.shape), "counts": runs["counts"].decode()},
            "bbox": [float(side) for side in coco.toBbox(runs)],
            "area": float(coco.area(runs)),
            "iscrowd": int(value == IGNORED),
        }


WRITER = CocoWriter()
