"""Pictures whose names say their labels: ``images/great_pyrenees_12.jpg``."""

from __future__ import annotations

import re
from pathlib import Path

from headstart.config import DatasetOptions
from headstart.data.readers import SPLIT_NAMES
from headstart.errors import DataError
from headstart.runtime.images import iter_images
from headstart.tasks.protocol import NO_OPTIONS
from headstart.types import Annotation, DataListing, Omission

FIELD = "label"
GROUP = "group"
SPLIT = "split"


class FileNames:
    """Any nesting of folders, read with a regular expression.

    The expression is searched for in each picture's path below the folder, with forward slashes on
    every system. Its group ``label``, or its first one, is the label; groups named ``group`` and
    ``split`` may stand beside it.
    """

    name = "file-names"
    # A person asked for it: above everything that is recognised.
    priority = 100
    layout = "pictures whose names say the class, read with --label-from REGEX"

    def claims(self, data: Path, options: DatasetOptions = NO_OPTIONS) -> bool:
        """A folder with a picture, and an expression for its name."""
        return options.label_from is not None and data.is_dir() and any(iter_images(data))

    def read(self, data: Path, options: DatasetOptions) -> DataListing:
        """Lists every picture whose path the expression matches, with the field ``label``."""
        if options.label_from is None:
            raise DataError(f"{data}: labels of file names need --label-from REGEX")
        pattern = re.compile(options.label_from)
        key: int | str = FIELD if FIELD in pattern.groupindex else 1
        annotations: list[Annotation] = []
        omissions: list[Omission] = []
        for path in iter_images(data):
            image = path.relative_to(data).as_posix()
            found = pattern.search(image)
            if found is None or not found[key]:
                omissions.append(Omission(image, f"{options.label_from!r} finds no label in it"))
                continue
            named = found.groupdict()
            side = (named.get(SPLIT) or "").lower()
            if side and side not in SPLIT_NAMES:
                known = ", ".join(SPLIT_NAMES)
                raise DataError(f"{image}: the split must be one of {known}, got {side!r}")
            annotations.append(
                Annotation(
                    path, image, {FIELD: found[key]}, SPLIT_NAMES.get(side), named.get(GROUP)
                )
            )
        if not annotations:
            example = omissions[0].image if omissions else "none"
            raise DataError(
                f"--label-from {options.label_from!r} finds no label in any of {len(omissions)} "
                f"pictures, such as {example}"
            )
        used = ("label_from",)
        return DataListing(data, self.name, tuple(annotations), tuple(omissions), options=used)


READER = FileNames()
