"""COCO JSON with categories and, where they are given, outlines; without keypoints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headstart.config import DatasetOptions
from headstart.data.coco_files import (
    check_unique,
    coco_files,
    file_sides,
    is_coco,
    is_cut_off,
    key_of,
    load_coco,
    looks_like_coco,
    picture_paths,
    root_of,
)
from headstart.data.originals import Originals
from headstart.data.poses import begins_with_any, nothing_left, strays
from headstart.data.shapes import MAX_VALUE, Shape, mask_file
from headstart.errors import DataError
from headstart.tasks.protocol import NO_OPTIONS
from headstart.types import IGNORED, Annotation, DataListing, Omission, Split

LABELS = "labels"
MASK = "mask"
BACKGROUND = "background"
OUTLINE = "segmentation"
"""What COCO calls the polygons or run lengths of one thing."""


class Coco:
    """``instances.json`` beside the pictures, or one file for each side.

    Each picture has the names of its categories, and a mask where outlines are given. Boxes alone
    say which categories a picture shows.
    """

    name = "coco"
    priority = 39
    layout = "a COCO JSON file with categories (or a folder with one) beside its pictures"

    def claims(self, data: Path, options: DatasetOptions = NO_OPTIONS) -> bool:
        """A COCO file, or a folder with some in it or in ``annotations``."""
        return is_coco(data, _has_categories)

    def read(self, data: Path, options: DatasetOptions) -> DataListing:
        """Lists every picture with the fields ``labels`` and, with outlines, ``mask``."""
        files = [data] if data.is_file() else coco_files(data, _has_categories)
        root = root_of(data)
        found = [_CocoFile(file, root, side) for file, side in file_sides(root, files).items()]
        if len({file.categories for file in found}) > 1:
            raise DataError(f"the COCO files of {root} do not have the same categories")
        outlined = any(file.outlined for file in found)
        annotations = tuple(a for file in found for a in file.annotations(outlined))
        omissions = [omission for file in found for omission in file.omissions]
        if not annotations:
            raise nothing_left(root, omissions, ())
        if data.is_dir():
            mentioned = {path for file in found for path in file.paths.values() if path}
            omissions.extend(strays(root, mentioned))
        names = tuple(name for _, name in found[0].categories)
        return DataListing(
            root,
            self.name,
            annotations,
            tuple(omissions),
            classes=(BACKGROUND, *names) if outlined else (),
        )


class _CocoFile:
    """One JSON file, checked."""

    def __init__(self, file: Path, root: Path, side: Split | None) -> None:
        self._file, self._root, self._side = file, root, side
        content = load_coco(file)
        check_unique(file, "image", [entry["id"] for entry in content["images"]])
        check_unique(file, "category", [entry.get("id") for entry in content["categories"]])
        self._images: dict[Any, Mapping[str, Any]] = {e["id"]: e for e in content["images"]}
        self.categories = tuple((c.get("id"), str(c.get("name"))) for c in content["categories"])
        self._value = {key: at for at, (key, _) in enumerate(self.categories, start=1)}
        names = {key: str(entry.get("file_name", "")) for key, entry in self._images.items()}
        self.paths = picture_paths(root, file, names)
        self.omissions: list[Omission] = []
        self._things: dict[Any, list[Mapping[str, Any]]] = defaultdict(list)
        for number, thing in enumerate(content["annotations"]):
            reason = self._objection(thing)
            if reason is None:
                self._things[thing["image_id"]].append(thing)
            else:
                named = f"{file.name} annotation {thing.get('id', number)}"
                self.omissions.append(Omission(named, reason))
        self.outlined = any(thing.get(OUTLINE) for thing in content["annotations"])

    def annotations(self, outlined: bool) -> Iterator[Annotation]:
        """Every picture that is there, also those that show nothing; fills ``omissions``."""
        originals = Originals(self._file)
        names = dict(self.categories)
        for key, entry in self._images.items():
            path = self.paths[key]
            if path is None:
                named = str(entry.get("file_name") or f"{self._file.name} image {key}")
                self.omissions.append(Omission(named, "no such file"))
                continue
            image = path.relative_to(self._root).as_posix()
            shown = {names[thing["category_id"]] for thing in self._things[key]}
            fields = {LABELS: "|".join(sorted(shown))}
            try:
                if outlined:
                    fields[MASK] = self._mask(originals, image, entry, self._things[key])
            except DataError as error:
                self.omissions.append(Omission(image, str(error)))
                continue
            yield Annotation(path, image, fields, self._side)

    def _objection(self, thing: Mapping[str, Any]) -> str | None:
        """Why an annotation cannot be used."""
        if key_of(thing.get("image_id")) not in self._images:
            return f"there is no image with the id {thing.get('image_id')!r}"
        if key_of(thing.get("category_id")) not in self._value:
            return f"there is no category with the id {thing.get('category_id')!r}"
        return None

    def _mask(
        self,
        originals: Originals,
        image: str,
        entry: Mapping[str, Any],
        things: list[Mapping[str, Any]],
    ) -> str:
        height, width = entry.get("height"), entry.get("width")
        if not (isinstance(height, int) and isinstance(width, int) and min(height, width) > 0):
            raise DataError(f"its height and width must be given, got {height!r} and {width!r}")
        shapes = []
        for thing in things:
            if not thing.get(OUTLINE):
                raise DataError(f"annotation {thing.get('id')} has no outline")
            value = IGNORED if thing.get("iscrowd") else self._value[thing["category_id"]]
            if MAX_VALUE < value != IGNORED:
                raise DataError(f"more than {MAX_VALUE} categories do not fit into a mask")
            shapes.append(Shape(value, thing[OUTLINE]))
        return mask_file(originals, image, (height, width), shapes)


def _has_categories(file: Path) -> bool:
    """Whether a COCO file has categories; one of captions has none.

    One that is cut off may have lost them: reading it says so.
    """
    if not looks_like_coco(file):
        return False
    return begins_with_any(file, [b'"categories"'], end=True) or is_cut_off(file)


READER = Coco()
