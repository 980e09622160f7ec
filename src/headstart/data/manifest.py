"""From a listing to a manifest: targets parsed, files looked into, what is unusable left out."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart import tasks
from headstart.config import DATASET_FILE, DatasetOptions, class_names, dataset_options
from headstart.data import readers
from headstart.data.scan import scan
from headstart.errors import DataError
from headstart.progress import Progress
from headstart.storage import fraction_from
from headstart.tasks.protocol import TaskSpec
from headstart.types import Annotation, Manifest, Omission, Record

if TYPE_CHECKING:
    from headstart.data.image_cache import ImageCache

MAX_UNREADABLE = 0.2
"""With a larger share of unreadable pictures the data set itself is suspected."""

EXAMPLES = 5

ODD_SHARE = 0.01
"""Files whose format has no larger share than this are named."""

JPEG_SUFFIXES = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg"}


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
    usable = _limited(usable, limit, spec, parsed.schema)
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
    return Manifest(
        root=listing.root,
        task=name,
        schema=parsed.schema,
        records=tuple(records),
        omissions=tuple(omissions + repeated),
        notes=(
            *listing.notes,
            *parsed.notes,
            *_limit_note(limit, len(records)),
            *_odd_formats(records),
            *_unused_options(options, ("task", *listing.options, *spec.options)),
        ),
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
    order = {"test": 0, "val": 1, "train": 2}
    # A picture without a side trains where the others have one.
    sides = [record.split or "train" for record in records]
    kept: dict[str, list[int]] = {}
    dropped: dict[int, str] = {}
    for at in sorted(range(len(records)), key=lambda at: order[sides[at]]):
        copies = kept.setdefault(records[at].fingerprint, [])
        twins = [other for other in copies if records[other].target == records[at].target]
        if copies and sides[copies[0]] != sides[at]:
            dropped[at] = f"the same file is {records[copies[0]].image} in {sides[copies[0]]}"
        elif twins:
            dropped[at] = f"the same file as {records[twins[0]].image}"
        else:
            copies.append(at)
    left = [record for at, record in enumerate(records) if at not in dropped]
    return left, [Omission(records[at].image, reason) for at, reason in sorted(dropped.items())]


def _limited(
    usable: list[tuple[Annotation, Any]], limit: int | None, spec: TaskSpec, schema: Any
) -> list[tuple[Annotation, Any]]:
    """Takes pictures from every side and stratum in proportion, before any file is opened."""
    if limit is None or len(usable) <= limit:
        return usable
    strata: dict[tuple[str, str], list[int]] = {}
    order = sorted(range(len(usable)), key=lambda at: fraction_from("limit", usable[at][0].image))
    for at in order:
        annotation, target = usable[at]
        key = (annotation.split or "", spec.stratum(schema, target))
        strata.setdefault(key, []).append(at)
    ranked = sorted(
        ((rank + 0.5) / len(members), key, at)
        for key, members in strata.items()
        for rank, at in enumerate(members)
    )
    return [usable[at] for at in sorted(at for _, _, at in ranked[:limit])]


def _limit_note(limit: int | None, count: int) -> tuple[str, ...]:
    return (f"--limit: {count} pictures are used",) if limit is not None else ()


def _odd_formats(records: Sequence[Record]) -> tuple[str, ...]:
    """Names the few files of another format than the rest: a placeholder is often among them."""
    by_format: dict[str, list[str]] = defaultdict(list)
    for record in records:
        suffix = record.path.suffix.lower()
        by_format[JPEG_SUFFIXES.get(suffix, suffix)].append(record.image)
    odd = [
        image
        for images in by_format.values()
        if len(images) <= ODD_SHARE * len(records)
        for image in images
    ]
    if not odd:
        return ()
    shown = ", ".join(odd[:EXAMPLES]) + (f" and {len(odd) - EXAMPLES} more" * (len(odd) > EXAMPLES))
    return (f"of another format than the rest, look whether they belong: {shown}",)


def _unused_options(options: DatasetOptions, used: Sequence[str]) -> tuple[str, ...]:
    unused = sorted(options.model_fields_set - set(used))
    return (f"{DATASET_FILE}: {', '.join(unused)} has no effect here",) if unused else ()


def with_splits(manifest: Manifest, records: Sequence[Record], *notes: str) -> Manifest:
    """The same manifest with other records and further notes."""
    return dataclasses.replace(manifest, records=tuple(records), notes=(*manifest.notes, *notes))
