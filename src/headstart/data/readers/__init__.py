"""Readers: one module for each layout on disk, found by listing this package.

A reader knows folders and files, not tasks: it says which pictures there are and which fields are
given for each. Its module holds one object ``READER`` that fulfils ``Reader``.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path
from typing import Protocol, cast

from headstart.config import DatasetOptions
from headstart.errors import DataError
from headstart.runtime.images import iter_images
from headstart.tasks.protocol import NO_OPTIONS
from headstart.types import DataListing, Split

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
"""Names of folders and CSV values that mean a side of the split, in lower case."""


def side_in(name: str) -> Split | None:
    """The side that a file's name speaks of, such as ``person_keypoints_train2017``."""
    words = name.lower().replace("-", "_").split("_")
    found = [SPLIT_NAMES.get(word.rstrip("0123456789")) for word in words]
    return next((side for side in reversed(found) if side), None)


class Reader(Protocol):
    """Reads one layout."""

    name: str
    priority: int
    """Readers are asked in falling order; the first one that claims the data reads it."""

    layout: str
    """What the layout looks like, for the message when no reader claims the data."""

    def claims(self, data: Path, options: DatasetOptions = NO_OPTIONS) -> bool:
        """Whether the data has this layout; looks at names only and opens no picture.

        Args:
            data: folder or file.
            options: of ``dataset.yaml`` or of the command line, which can ask for a layout.
        """

    def read(self, data: Path, options: DatasetOptions) -> DataListing:
        """Lists every picture with its fields.

        Raises:
            DataError: the layout is broken; says where.
        """


def readers() -> tuple[Reader, ...]:
    """All readers, those that are asked first first."""
    modules = (
        importlib.import_module(f"{__name__}.{entry.name}")
        for entry in pkgutil.iter_modules(__path__)
    )
    found = [cast("Reader", module.READER) for module in modules]
    return tuple(sorted(found, key=lambda reader: (-reader.priority, reader.name)))


def read(data: Path, options: DatasetOptions) -> DataListing:
    """Reads data of any known layout.

    Raises:
        DataError: the path does not exist, or no reader knows its layout.
    """
    if not data.exists():
        raise DataError(f"{data} does not exist")
    for reader in readers():
        if reader.claims(data, options):
            return reader.read(data, options)
    layouts = "; ".join(reader.layout for reader in readers())
    raise DataError(f"{data} has no layout that is known{_hint(data)}. Known are: {layouts}")


def _hint(data: Path) -> str:
    """What may be missing, as the middle of a sentence."""
    if data.is_file():
        return ""
    from headstart.data.readers.csv_table import why_unread

    reason = why_unread(data)
    if reason is not None:
        return f" ({reason})"
    first = next(iter_images(data), None)
    if first is None:
        return " and holds no pictures"
    return f" (if names such as {first.relative_to(data).as_posix()} say the class: --label-from)"
