"""A table with one row a thing: holds everything that headstart reads."""

from __future__ import annotations

import csv
import io

import numpy as np

from headstart.data.placing import Folder, png
from headstart.data.readers.csv_table import BOX, GROUP, IMAGE, SPLIT
from headstart.data.writers import Content

TABLE = "labels.csv"
PICTURES = "pictures"
# Not "masks": beside a folder of pictures that would be another layout, without sides.
MASKS = "targets"


class CsvWriter:
    """``labels.csv``, ``pictures/`` and, for masks, ``targets/``."""

    name = "csv"

    def losses(self, content: Content) -> list[str]:
        """Boxes of things that only have a class."""
        count = sum(len(thing.boxes) for thing in content.things)
        return [f"tables have no boxes of classes: {count} are lost"] if count else []

    def write(self, content: Content, folder: Folder) -> None:
        """One row a thing."""
        rows = []
        for things in content.pictures().values():
            name = folder.picture(things[0], PICTURES, flat=False)
            for thing in things:
                row = {IMAGE: f"{PICTURES}/{name}", SPLIT: thing.split or ""}
                row[GROUP] = thing.group or ""
                row[BOX] = ",".join(f"{side:.8g}" for side in thing.box or ())
                for field, value in thing.row().items():
                    row[field] = value if isinstance(value, str) else f"{MASKS}/{name}.png"
                    if isinstance(value, np.ndarray):
                        folder.bytes(row[field], png(value))
                rows.append(row)
        used = [name for name in rows[0] if name == IMAGE or any(row[name] for row in rows)]
        used += [name for name in rows[0] if name in content.fields and name not in used]
        text = io.StringIO()
        table = csv.DictWriter(text, used, extrasaction="ignore", restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        folder.options(content.options)
        folder.text(TABLE, text.getvalue())


WRITER = CsvWriter()
