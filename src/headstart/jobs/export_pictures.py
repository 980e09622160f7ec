"""Finds the pictures that exported files are compared on, and those that give int8 its ranges."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from headstart.config import TrainConfig, train_config
from headstart.data.manifest import ParsedData, look_into, parse_data
from headstart.errors import DataError, HeadstartError
from headstart.jobs.run_folder import RunFolder
from headstart.progress import Progress
from headstart.runtime.images import iter_images
from headstart.runtime.model_folder import ModelDescription
from headstart.storage import fraction_from
from headstart.types import Record, Split

COMPARED = 1000
"""Pictures on which answers are compared, of all sides together."""

PER_SIDE = 400
"""Of these, validation pictures at most, and test pictures at most."""

CALIBRATION = 256
"""Training pictures that give int8 its ranges."""

MAX_READ = 4000
"""Pictures of ``--data`` that are looked at."""


@dataclasses.dataclass(frozen=True)
class Pictures:
    """Pictures for a comparison.

    Attributes:
        compared: answers are compared on them; those of ``val`` and ``test`` that have a target are
            scored.
        calibration: their values give int8 its ranges.
    """

    compared: Sequence[Record]
    calibration: Sequence[Record]


def pictures_of(
    folder: Path, description: ModelDescription, data: Path | None, progress: Progress
) -> Pictures:
    """The pictures of the run that a model lies in, or of a data set.

    Args:
        folder: the model folder.
        description: of the model.
        data: pictures to take instead of those of the run.
        progress: shows bars.

    Raises:
        DataError: there are none.
    """
    run = RunFolder(folder.resolve().parent)
    if data is not None:
        records = _of_data(data, description, _table(run), progress)
    elif run.splits.is_file() and run.config.is_file():
        records = _of_run(run, description, progress)
    else:
        raise DataError(
            f"there are no pictures to compare answers on: {folder} lies in no run folder; say "
            f"which with: headstart export {folder} --data PICTURES/"
        )
    if not records:
        raise DataError(f"no picture of {data or run.path} can be used: say others with --data")
    return _chosen(records)


def _of_run(run: RunFolder, description: ModelDescription, progress: Progress) -> list[Record]:
    config = train_config({}, run.config)
    try:
        parsed = _parse(config.data, description, config)
    except HeadstartError as error:
        raise DataError(
            f"the pictures of the run cannot be read ({error}): say where they are with --data"
        ) from error
    sides = _table(run)
    named = [
        (dataclasses.replace(annotation, split=sides[annotation.image]), target)
        for annotation, target in parsed.entries
        if annotation.image in sides
    ]
    # Only what is needed is opened: a data set can have millions of pictures.
    kept = [entry for side in ("val", "test") for entry in _some(named, side, PER_SIDE)]
    kept += _some(named, "train", COMPARED + CALIBRATION - len(kept))
    manifest = look_into(dataclasses.replace(parsed, entries=tuple(kept)), None, progress)
    seen = _seen(description)
    return [
        record
        for record in manifest.records
        if seen.get(record.fingerprint, "test") == record.split
    ]


def _of_data(
    data: Path, description: ModelDescription, table: dict[str, Split], progress: Progress
) -> list[Record]:
    """Pictures of any data set: those that the model has learned from keep their side.

    Of the others, what the layout or the run calls test stays test; the rest is new, and one half
    of it helps to choose, the other reports.
    """
    try:
        parsed = _parse(data, description, None)
    except DataError as error:
        found = list(iter_images(data)) if data.is_dir() else []
        if not found:
            raise
        progress.say(f"Only answers are compared, because there are no labels: {error}")
        return [
            Record(path, path.relative_to(data).as_posix(), "", "", None)
            for path in found[:MAX_READ]
        ]
    manifest = look_into(parsed, None, progress)
    seen = _seen(description)
    records = []
    for record in manifest.records:
        side = seen.get(record.fingerprint)
        if side is None and "test" in (record.split, table.get(record.image)):
            side = "test"
        if side is None:
            side = "val" if fraction_from("export", record.group_key) < 0.5 else "test"
        records.append(dataclasses.replace(record, split=side))
    return records


def _parse(data: Path, description: ModelDescription, config: TrainConfig | None) -> ParsedData:
    overrides = {}
    if config is not None:
        overrides = {"normalise_by": config.normalise_by, "label_from": config.label_from}
    return parse_data(
        data,
        task=description.task,
        schema=description.schema,
        limit=MAX_READ if config is None else config.limit,
        overrides=overrides,
        group=None if config is None else config.group,
    )


def _table(run: RunFolder) -> dict[str, Split]:
    """Side of each picture of a run, by its name; empty where there is no run."""
    if not run.splits.is_file():
        return {}
    known: dict[str, Split] = {"train": "train", "val": "val", "test": "test"}
    with run.splits.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {row["image"]: known[row["split"]] for row in rows if row["split"] in known}


def _seen(description: ModelDescription) -> dict[str, Split]:
    """Side of the pictures that the model was trained or validated on, by fingerprint."""
    sides: tuple[Split, ...] = ("train", "val")
    return {found: side for side in sides for found in description.seen.get(side, ())}


def _some(entries: Sequence, side: Split, count: int) -> list:  # type: ignore[type-arg]
    chosen = [entry for entry in entries if entry[0].split == side]
    chosen.sort(key=lambda entry: fraction_from("export", entry[0].image))
    return chosen[: max(0, count)]


def _chosen(records: Sequence[Record]) -> Pictures:
    """Validation and test first; training pictures fill up, those without calibration first."""
    order = sorted(records, key=lambda record: fraction_from("export", record.image))
    scored = [
        record
        for side in ("val", "test")
        for record in [found for found in order if found.split == side][:PER_SIDE]
    ]
    train = [record for record in order if record.split not in ("val", "test")]
    calibration = train[:CALIBRATION] or [r for r in scored if r.split == "val"][:CALIBRATION]
    rest = [*train[CALIBRATION:], *train[:CALIBRATION]]
    return Pictures([*scored, *rest[: COMPARED - len(scored)]], calibration)
