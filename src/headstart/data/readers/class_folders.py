"""Folders named after the classes, with or without folders for the sides of the split."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from headstart.config import DatasetOptions
from headstart.data.readers import SPLIT_NAMES
from headstart.errors import DataError
from headstart.runtime.images import is_image_path, iter_images
from headstart.types import Annotation, DataListing, Omission, Split

FIELD = "label"


class ClassFolders:
    """``photos/<class>/*.jpg`` or ``photos/train/<class>/*.jpg`` with val and test beside it."""

    name = "class-folders"
    priority = 10
    layout = "folders named after the classes, with or without train/ val/ test/ above them"

    def claims(self, data: Path) -> bool:
        """Some folder for a class, here or under a side of the split, holds a picture."""
        if not data.is_dir():
            return False
        return any(
            is_image_path(path)
            for _, parent in _sides(data)
            for folder in _folders(parent)
            for path in folder.iterdir()
        )

    def read(self, data: Path, options: DatasetOptions) -> DataListing:
        """Lists every picture with the field ``label``."""
        annotations: list[Annotation] = []
        sides = _sides(data)
        omissions = list(_beside(data, [parent for _, parent in sides]))
        for side, parent in sides:
            for path in sorted(parent.iterdir()):
                if path.is_file() and is_image_path(path):
                    name = path.relative_to(data).as_posix()
                    omissions.append(Omission(name, "it lies in no class folder"))
            for folder in _folders(parent):
                # One for all: a data set may have very many pictures.
                fields = {FIELD: folder.name}
                for path in iter_images(folder):
                    image = path.relative_to(data).as_posix()
                    annotations.append(Annotation(path, image, fields, side))
                omissions.extend(_other_files(folder, data))
        if not annotations:
            raise DataError(f"{data} holds no pictures")
        return DataListing(data, self.name, tuple(annotations), tuple(omissions))


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


def _beside(data: Path, parents: Sequence[Path]) -> Iterator[Omission]:
    """Pictures that lie beside the folders of the sides."""
    if list(parents) == [data]:
        return
    for path in iter_images(data):
        if not any(path.is_relative_to(parent) for parent in parents):
            yield Omission(path.relative_to(data).as_posix(), "it lies in no folder of a split")


def _folders(parent: Path) -> list[Path]:
    return sorted(p for p in parent.iterdir() if p.is_dir() and not p.name.startswith("."))


def _other_files(folder: Path, data: Path) -> Iterator[Omission]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not is_image_path(path) and not path.name.startswith("."):
            name = path.relative_to(data).as_posix()
            yield Omission(name, f"its ending {path.suffix!r} is not a picture's")


READER = ClassFolders()
