"""``splits.csv``: which picture is on which side, as a file that people and runs pass on."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping
from pathlib import Path

from headstart import tasks
from headstart.data.manifest import ParsedData, tested_side, with_splits
from headstart.errors import DataError, RunError
from headstart.types import SPLITS, Manifest, Omission, Split

HEADER = ("image", "fingerprint", "group", "split")

_BY_NAME: Mapping[str, Split] = {side: side for side in SPLITS}


def splits_table(manifest: Manifest) -> str:
    """The content of ``splits.csv``: image, fingerprint, group, split.

    Pictures that no side may use have an empty split.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for record in manifest.records:
        writer.writerow((record.image, record.fingerprint, record.group or "", record.split))
    for record in manifest.withheld:
        writer.writerow((record.image, record.fingerprint, record.group or "", ""))
    return text.getvalue()


def apply_table(manifest: Manifest, table: Path) -> Manifest:
    """Gives every record the side that a run recorded; used to resume it.

    Raises:
        RunError: the table is damaged, or pictures were added, removed or changed since, or given
            to the test.
    """
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        sides = {(row["image"], row["fingerprint"]): _side(row["split"]) for row in rows}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"{table} cannot be read ({error}): start a new run") from error
    present = {(record.image, record.fingerprint) for record in manifest.records}
    if present != sides.keys():
        changed = sorted(image for image, _ in present ^ sides.keys())
        raise RunError(
            f"the pictures changed since {table.parent} was started ({changed[0]} and "
            f"{len(changed) - 1} more): start a new run instead of resuming"
        )
    tested = tested_side({record.split for record in manifest.records})
    records = []
    for record in manifest.records:
        side = sides[(record.image, record.fingerprint)]
        if tested and record.split == tested and side not in ("test", None):
            raise RunError(
                f"{record.image} is on the {side} side of {table.parent}, and is given to the test "
                "now: start a new run instead of resuming"
            )
        records.append(dataclasses.replace(record, split=side))
    withheld = tuple(record for record in records if record.split is None)
    manifest = dataclasses.replace(manifest, withheld=withheld)
    return with_splits(manifest, [record for record in records if record.split is not None])


def give_sides(parsed: ParsedData, table: Path) -> ParsedData:
    """Gives pictures the sides, and the groups where it has some, of a table that a person chose.

    Args:
        parsed: the data set; sides of its layout are replaced.
        table: with the columns ``image`` and ``split``, and perhaps ``group``. A picture with an
            empty split is left out, one that is not in the table has no side.

    Raises:
        DataError: the table is damaged, or names none of the pictures.
    """
    rows = _read(table)
    entries = []
    omissions = list(parsed.omissions)
    for annotation, target in parsed.entries:
        side, group = rows.get(annotation.image, (None, None))
        if annotation.image in rows and side is None:
            omissions.append(Omission(annotation.image, f"{table.name} leaves it out"))
            continue
        group = group or annotation.group
        entries.append((dataclasses.replace(annotation, split=side, group=group), target))
    named = {annotation.image for annotation, _ in parsed.entries} & rows.keys()
    if not named:
        raise DataError(
            f"{table} names none of the {len(parsed.entries)} pictures of {parsed.root}: "
            "the column 'image' must hold paths relative to it"
        )
    return dataclasses.replace(parsed, entries=tuple(entries), omissions=tuple(omissions))


def summary_rows(manifest: Manifest) -> list[tuple[str, ...]]:
    """Rows (name, train, val, test): pictures of each side, then what the task counts."""
    spec = tasks.spec(manifest.task)
    columns = [
        dict(spec.summarise(manifest.schema, [r.target for r in manifest.on(side)]))
        for side in SPLITS
    ]
    # A side may lack what another one has, such as pictures without a label.
    names = dict.fromkeys(name for column in columns for name in column)
    rows = [(name, *(column.get(name, "0") for column in columns)) for name in names]
    return [("pictures", *(str(len(manifest.on(side))) for side in SPLITS)), *rows]


def _read(table: Path) -> dict[str, tuple[Split | None, str | None]]:
    """Side and group by picture."""
    found: dict[str, tuple[Split | None, str | None]] = {}
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = {"image", "split"}.difference(reader.fieldnames or ())
            if missing:
                raise DataError(
                    f"{table}: the column {min(missing)!r} is missing; "
                    f"found {', '.join(reader.fieldnames or ())}"
                )
            for row in reader:
                side = _side(row["split"])
                image = row["image"].replace("\\", "/")
                if image in found and found[image][0] != side:
                    raise DataError(f"{table} line {reader.line_num}: {image} has two sides")
                found[image] = (side, row.get("group") or None)
    except KeyError as error:
        raise DataError(
            f"{table} line {reader.line_num}: split must be {', '.join(SPLITS)} or empty, "
            f"got {error.args[0]!r}"
        ) from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} cannot be read: {error}") from error
    return found


def _side(text: str | None) -> Split | None:
    return _BY_NAME[text.strip()] if text and text.strip() else None
