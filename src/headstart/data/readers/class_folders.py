"""Folders named after the classes, with or without folders for the sides of the split."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from headstart.config import DatasetOptions
from headstart.data.readers import SPLIT_NAMES
from headstart.errors import DataError
from headstart.runtime.images import is_image_path, iter_images
from headstart.tasks.protocol import NO_OPTIONS
from headstart.types import Annotation, DataListing, Omission, Split

FIELD = "label"


@dataclasses.dataclass(frozen=True)
class _Place:
    """A folder whose pictures, at any depth, have one label and one side."""

    side: Split | None
    label: str
    folder: Path


class ClassFolders:
    """``photos/<class>/*.jpg``, ``photos/train/<class>/*.jpg`` or ``photos/<class>/train/*.jpg``.

    All of this may lie in further folders that hold nothing else.
    """

    name = "class-folders"
    priority = 10
    layout = (
        "folders named after the classes, with train/ val/ test/ above or below them or without"
    )

    def claims(self, data: Path, options: DatasetOptions = NO_OPTIONS) -> bool:
        """Some folder holds a picture."""
        if not data.is_dir():
            return False
        return any(next(iter_images(folder), None) is not None for folder in _folders(data))

    def read(self, data: Path, options: DatasetOptions) -> DataListing:
        """Lists every picture with the field ``label``."""
        annotations: list[Annotation] = []
        top = _unwrapped(data)
        sides = _sides(top)
        parents = [parent for _, parent in sides]
        omissions = list(_beside(data, top, parents))
        omissions += [
            Omission(_name(path, data), "it lies in no class folder")
            for parent in parents
            for path in _pictures_in(parent)
        ]
        for place in (place for side, parent in sides for place in _places(side, parent)):
            # One for all: a data set may have very many pictures.
            fields = {FIELD: place.label}
            annotations += [
                Annotation(path, _name(path, data), fields, place.side)
                for path in iter_images(place.folder)
            ]
            omissions.extend(_other_files(place.folder, data))
        if not annotations:
            raise DataError(f"{data} holds no pictures")
        return DataListing(data, self.name, tuple(annotations), tuple(omissions))


def _unwrapped(data: Path) -> Path:
    """The folder that holds more than one folder without pictures of its own."""
    folders = _folders(data)
    only = folders[0] if len(folders) == 1 else None
    if only is None or only.name.lower() in SPLIT_NAMES or _pictures_in(data):
        return data
    return data if _pictures_in(only) or not _folders(only) else _unwrapped(only)


def _sides(data: Path) -> list[tuple[Split | None, Path]]:
    """Sides with their folders; a folder without folders in it is a class, even if named train."""
    folders = _folders(data)
    named: list[tuple[Split | None, Path]] = [
        (SPLIT_NAMES[folder.name.lower()], folder)
        for folder in folders
        if folder.name.lower() in SPLIT_NAMES and _folders(folder)
    ]
    if any(side == "train" for side, _ in named) or (named and len(named) == len(folders)):
        return named
    return [(None, data)]


def _places(side: Split | None, parent: Path) -> list[_Place]:
    """The classes below a folder.

    Raises:
        DataError: the class may be said by folders of several levels.
    """
    folders = [folder for folder in _folders(parent) if next(iter_images(folder), None)]
    if not folders or any(_pictures_in(folder) for folder in folders):
        return [_Place(side, folder.name, folder) for folder in _folders(parent)]
    inner = [(folder, below) for folder in folders for below in _folders(folder)]
    if side is None and all(below.name.lower() in SPLIT_NAMES for _, below in inner):
        return [_Place(SPLIT_NAMES[b.name.lower()], folder.name, b) for folder, b in inner]
    example = next(iter_images(folders[0]))
    raise DataError(
        f"{parent}: the class of {example.relative_to(parent).as_posix()} may be "
        f"{folders[0].name!r} or {example.parent.name!r}: say --label-from '([^/]+)/[^/]+$' for "
        "the folder that a picture lies in, or another expression"
    )


def _beside(data: Path, top: Path, parents: Sequence[Path]) -> Iterator[Omission]:
    """Pictures that lie beside the folders of the sides."""
    if list(parents) == [top]:
        return
    for path in iter_images(data):
        if not any(path.is_relative_to(parent) for parent in parents):
            yield Omission(_name(path, data), "it lies in no folder of a split")


def _folders(parent: Path) -> list[Path]:
    return sorted(p for p in parent.iterdir() if p.is_dir() and not p.name.startswith("."))


def _pictures_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if is_image_path(path) and path.is_file())


def _other_files(folder: Path, data: Path) -> Iterator[Omission]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not is_image_path(path) and not path.name.startswith("."):
            yield Omission(_name(path, data), f"its ending {path.suffix!r} is not a picture's")


def _name(path: Path, data: Path) -> str:
    return path.relative_to(data).as_posix()


READER = ClassFolders()
