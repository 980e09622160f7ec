"""From a listing to a manifest: targets parsed, files looked into, what is unusable left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart import tasks
from headstart.config import DatasetOptions, class_names, dataset_options
from headstart.data import readers
from headstart.data.scan import scan
from headstart.errors import DataError
from headstart.progress import Progress
from headstart.storage import fraction_from
from headstart.types import DataListing, Manifest, Omission, Record

if TYPE_CHECKING:
    from headstart.data.image_cache import ImageCache

MAX_UNREADABLE = 0.2
"""With a larger share of unreadable pictures the data set itself is suspected."""

EXAMPLES = 5


def build_manifest(
    data: Path,
    *,
    task: str | None = None,
    schema: Any = None,
    limit: int | None = None,
    cache: ImageCache | None = None,
    progress: Progress,
) -> Manifest:
    """Reads a data set of any layout.

    Args:
        data: folder or file.
        task: name of the task; None takes that of ``dataset.yaml``, else infers it.
        schema: of a trained model whose targets these are; None makes one.
        limit: keep at most this many pictures, spread evenly over the targets.
        cache: where decoded pictures are kept; None only checks that they decode.
        progress: shows a bar.

    Returns:
        The manifest; records have a side only where the layout assigns one.

    Raises:
        DataError: there is nothing to work with.
    """
    options = dataset_options(data if data.is_dir() else data.parent)
    listing = readers.read(data, options)
    name = task or options.task or tasks.infer(listing.annotations)
    spec = tasks.spec(name)
    parsed = spec.parse(
        listing.annotations, schema=schema, classes=_classes(options, listing.root, schema)
    )
    usable = [
        (annotation, target)
        for annotation, target in zip(listing.annotations, parsed.targets, strict=True)
        if target is not None
    ]
    found = scan([annotation.path for annotation, _ in usable], cache, progress)
    records: list[Record] = []
    omissions = [*listing.omissions, *parsed.omissions]
    for annotation, target in usable:
        seen = found.files[annotation.path]
        if seen.error is not None:
            omissions.append(Omission(annotation.image, seen.error))
            continue
        records.append(
            Record(
                path=annotation.path,
                image=annotation.image,
                fingerprint=seen.fingerprint,
                pixels=found.pixels_key(annotation.path),
                target=target,
                split=annotation.split,
                group=annotation.group,
            )
        )
    _check_share(len(usable) - len(records), len(usable), omissions)
    records, repeated = _drop_repeats(records)
    records = _limited(records, limit, name, parsed.schema)
    return Manifest(
        root=listing.root,
        task=name,
        schema=parsed.schema,
        records=tuple(records),
        omissions=tuple(omissions + repeated),
        notes=_notes(listing, parsed.notes, limit, len(records)),
        white_level=found.white_level,
    )


def _classes(options: DatasetOptions, root: Path, schema: Any) -> tuple[str, ...]:
    return () if schema is not None else class_names(options, root)


def _check_share(unreadable: int, total: int, omissions: Sequence[Omission]) -> None:
    if unreadable > MAX_UNREADABLE * total:
        shown = ", ".join(f"{o.image} ({o.reason})" for o in omissions[-unreadable:][:EXAMPLES])
        raise DataError(
            f"{unreadable} of {total} pictures cannot be read (more than {MAX_UNREADABLE:.0%}): "
            f"{shown}"
        )


def _drop_repeats(records: Sequence[Record]) -> tuple[list[Record], list[Omission]]:
    """Leaves out copies: of equal files on one side the first stays, across sides the tested one.

    Copies with different targets stay where they are on one side: which one is right, only a person
    can say.
    """
    order = {"test": 0, "val": 1, "train": 2, None: 2}
    kept: dict[str, Record] = {}
    dropped: dict[str, str] = {}
    for record in sorted(records, key=lambda r: order[r.split]):
        first = kept.setdefault(record.fingerprint, record)
        if first is record:
            continue
        if first.split != record.split:
            dropped[record.image] = f"the same file is {first.image} in {first.split}"
        elif first.target == record.target:
            dropped[record.image] = f"the same file as {first.image}"
    left = [record for record in records if record.image not in dropped]
    return left, [Omission(image, reason) for image, reason in sorted(dropped.items())]


def _limited(records: list[Record], limit: int | None, task: str, schema: Any) -> list[Record]:
    """Takes pictures in turn from every (side, stratum), in an order that depends on content."""
    if limit is None or len(records) <= limit:
        return records
    spec = tasks.spec(task)
    strata: dict[tuple[str, str], list[Record]] = {}
    for record in sorted(records, key=lambda r: fraction_from("limit", r.fingerprint)):
        key = (record.split or "", spec.stratum(schema, record.target))
        strata.setdefault(key, []).append(record)
    ranked = [
        (rank / len(members), key, record)
        for key, members in strata.items()
        for rank, record in enumerate(members)
    ]
    ranked.sort(key=lambda entry: entry[:2])
    chosen = {record.image for _, _, record in ranked[:limit]}
    return [record for record in records if record.image in chosen]


def _notes(
    listing: DataListing, parsed: tuple[str, ...], limit: int | None, count: int
) -> tuple[str, ...]:
    limited = (f"--limit: {count} pictures are used",) if limit is not None else ()
    return (*listing.notes, *parsed, *limited)


def with_splits(manifest: Manifest, records: Sequence[Record], *notes: str) -> Manifest:
    """The same manifest with other records and further notes."""
    return dataclasses.replace(manifest, records=tuple(records), notes=(*manifest.notes, *notes))
