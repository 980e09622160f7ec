"""From a listing to a manifest: targets parsed, files looked into, what is unusable left out."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart import tasks
from headstart.config import DATASET_FILE, DatasetOptions, class_names, dataset_options
from headstart.data import readers
from headstart.data.grouping import column_of, grouped
from headstart.data.scan import scan
from headstart.errors import DataError
from headstart.progress import Progress
from headstart.storage import fraction_from
from headstart.tasks.protocol import TaskSpec
from headstart.types import Annotation, DataListing, Manifest, Omission, Record, Split

if TYPE_CHECKING:
    from headstart.data.image_cache import ImageCache

MAX_UNREADABLE = 0.2
"""With a larger share of unusable pictures the data set itself is suspected."""

EXAMPLES = 5

LISTED = 20
"""Unusable pictures that are named when there are too many of them."""

NO_OVERRIDES: Mapping[str, Any] = {}

ODD_SHARE = 0.01
"""Files whose format has no larger share than this are named."""

JPEG_SUFFIXES = {".jpeg": ".jpg", ".jpe": ".jpg", ".jfif": ".jpg"}


@dataclasses.dataclass(frozen=True)
class ParsedData:
    """A data set whose pictures have not been opened yet.

    Attributes:
        root: folder that relative paths are relative to.
        task: name of the task.
        schema: the task's description of its targets.
        options: of ``dataset.yaml``.
        entries: annotations with their targets.
        omissions: what was left out so far, and why.
        notes: sentences that the person should read.
    """

    root: Path
    task: str
    schema: Any
    options: DatasetOptions
    entries: tuple[tuple[Annotation, Any], ...]
    omissions: tuple[Omission, ...]
    notes: tuple[str, ...]

    def only_tested(self) -> frozenset[Path]:
        """Files that the given sides leave to the test: nothing trains or validates on them."""
        sides: dict[Path, set[Split | None]] = defaultdict(set)
        for annotation, _ in self.entries:
            sides[annotation.path].add(annotation.split)
        tested = tested_side(set().union(*sides.values()))
        return frozenset(path for path, found in sides.items() if tested and found == {tested})


def tested_side(given: Collection[Split | None]) -> Split | None:
    """The side whose pictures are the test; None where no given side says which."""
    if "test" in given:
        return "test"
    return "val" if "val" in given and "train" in given else None


def parse_data(
    data: Path,
    *,
    task: str | None = None,
    schema: Any = None,
    limit: int | None = None,
    overrides: Mapping[str, Any] = NO_OVERRIDES,
    group: str | None = None,
) -> ParsedData:
    """Lists a data set of any layout and parses its targets.

    Args:
        data: folder or file.
        task: name of the task; None takes that of ``dataset.yaml``, else infers it.
        schema: of a trained model whose targets these are; None makes one.
        limit: keep at most this many pictures, spread evenly over the targets.
        overrides: entries that win over those of ``dataset.yaml``; None is no entry.
        group: what stays on one side of the split; None takes the rule of ``dataset.yaml``.

    Raises:
        DataError: there is nothing to work with.
    """
    given = {entry: value for entry, value in overrides.items() if value is not None}
    options = dataset_options(data if data.is_dir() else data.parent)
    options, listing = _read_groups(data, options.model_copy(update=given), group)
    name = task or _named_task(options, listing.annotations) or tasks.infer(listing.annotations)
    spec = tasks.spec(name)
    if task is not None and options.task not in (None, task):
        options = _for_another_task(options, spec)
    options = options.model_copy(update=given)
    classes = () if schema is not None else _classes(options, listing, spec)
    parsed = spec.parse(
        listing.annotations,
        schema=schema,
        classes=classes,
        options=options,
        skeleton=listing.skeleton,
    )
    usable = [
        (annotation, target)
        for annotation, target in zip(listing.annotations, parsed.targets, strict=True)
        if target is not None
    ]
    entries = _limited(usable, limit, spec, parsed.schema)
    notes = (*listing.notes, *parsed.notes, *_limit_note(limit, len(entries)))
    used = ("task", *listing.options, *spec.options)
    return ParsedData(
        root=listing.root,
        task=name,
        schema=parsed.schema,
        options=options,
        entries=tuple(entries),
        omissions=(*listing.omissions, *parsed.omissions),
        notes=(*notes, *_unused_options(options, used, given)),
    )


def _read_groups(
    data: Path, options: DatasetOptions, group: str | None
) -> tuple[DatasetOptions, DataListing]:
    """Reads the data, with groups from a column (the reader's work) or by another rule."""
    rule = group or options.group
    column = column_of(rule)
    rest = {name: getattr(options, name) for name in options.model_fields_set - {"group"}}
    if column is not None:
        rest["group"] = column
    options = DatasetOptions(**rest)
    listing = readers.read(data, options)
    if group is not None and column is not None and "group" not in listing.options:
        raise DataError(
            f"--group {group} names a column, and {data} is no table: "
            "say folder:N, name:REGEX or burst:SECONDS"
        )
    if rule is None or column is not None:
        return options, listing
    annotations, notes = grouped(listing.annotations, rule)
    return options, dataclasses.replace(
        listing, annotations=annotations, notes=(*listing.notes, *notes)
    )


def _classes(options: DatasetOptions, listing: DataListing, spec: TaskSpec) -> tuple[str, ...]:
    """Class names that a file gives or, for tasks that read classes from files, the layout."""
    found = class_names(options, listing.root, spec.class_files)
    return found or (listing.classes if spec.class_files else ())


def _for_another_task(options: DatasetOptions, spec: TaskSpec) -> DatasetOptions:
    """What still holds where the file describes the data for another task than the one asked for.

    Which points belong together is true for any task with points; the classes of one task are none
    of another's.
    """
    known = options.task in tasks.task_names()
    described = tasks.spec(str(options.task)).options if known else ()
    kept = {"group", "label_from"} | (set(described) & set(spec.options) - {"classes"})
    return DatasetOptions(**{name: getattr(options, name) for name in kept})


def _named_task(options: DatasetOptions, annotations: Sequence[Annotation]) -> str | None:
    """The task of ``dataset.yaml``, unless these annotations plainly belong to another one."""
    if options.task is None:
        return None
    fields = [annotation.fields for annotation in annotations]
    if not tasks.spec(options.task).claims(fields):
        better = tasks.infer(annotations)
        raise DataError(
            f"{DATASET_FILE} says task: {options.task}, but the fields "
            f"{', '.join(sorted({key for entry in fields for key in entry}))} are those of "
            f"{better}: say --task {better} or --task {options.task}"
        )
    return options.task


def look_into(
    parsed: ParsedData,
    cache: ImageCache | None,
    progress: Progress,
    *,
    across_sides: bool = False,
    unkept: Collection[Path] = (),
) -> Manifest:
    """Opens every picture.

    Args:
        parsed: the data set.
        cache: where decoded pictures are kept; None only checks that they decode.
        progress: shows a bar.
        across_sides: whether copies of a file on several given sides stay, for the split to judge.
        unkept: files of which the cache keeps nothing, see ``ParsedData.only_tested``.

    Returns:
        The manifest; records have a side only where the layout assigns one.

    Raises:
        DataError: too many pictures are unreadable, or none is left.
    """
    spec = tasks.spec(parsed.task)
    paths = [annotation.path for annotation, _ in parsed.entries]
    found = scan(paths, cache, progress, unkept)
    boxes = Counter(annotation.path for annotation, _ in parsed.entries)
    records: list[Record] = []
    omissions = list(parsed.omissions)
    for annotation, wanted in parsed.entries:
        seen = found.files[annotation.path]
        try:
            if seen.error is not None:
                raise DataError(seen.error)
            target = spec.fit(wanted, seen.frame, parsed.options)
        except DataError as error:
            omissions.append(Omission(annotation.image, str(error)))
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
                size=seen.frame.size,
                box=seen.frame.box_to_upright(annotation.box) if annotation.box else None,
                alone=boxes[annotation.path] < 2,
            )
        )
    _check_share(len(parsed.entries) - len(records), len(parsed.entries), omissions)
    records, repeated = _drop_repeats(records, across_sides)
    return Manifest(
        root=parsed.root,
        task=parsed.task,
        schema=parsed.schema,
        records=tuple(records),
        omissions=tuple(omissions + repeated),
        notes=(*parsed.notes, *_odd_formats(records)),
        white_level=found.white_level,
    )


def build_manifest(
    data: Path,
    *,
    task: str | None = None,
    schema: Any = None,
    limit: int | None = None,
    cache: ImageCache | None = None,
    progress: Progress,
) -> Manifest:
    """``parse_data`` and ``look_into`` in one: for their arguments see there."""
    return look_into(parse_data(data, task=task, schema=schema, limit=limit), cache, progress)


def _check_share(unreadable: int, total: int, omissions: Sequence[Omission]) -> None:
    if unreadable > MAX_UNREADABLE * total:
        found = omissions[-unreadable:]
        shown = ", ".join(f"{o.image} ({o.reason})" for o in found[:LISTED])
        rest = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
        raise DataError(
            f"{unreadable} of {total} pictures cannot be used (more than {MAX_UNREADABLE:.0%}): "
            f"{shown}{rest}"
        )


def _drop_repeats(
    records: Sequence[Record], across_sides: bool
) -> tuple[list[Record], list[Omission]]:
    """Leaves out copies: of equal files on one side the first stays, across sides the tested one.

    Copies with different targets stay where they are on one side: which one is right, only a person
    can say. With ``across_sides`` every side is looked at for itself.
    """
    order = {"test": 0, "val": 1, "train": 2}
    # A picture without a side trains where the others have one.
    sides = [record.split or "train" for record in records]
    kept: dict[tuple[str, str], list[int]] = {}
    dropped: dict[int, str] = {}
    for at in sorted(range(len(records)), key=lambda at: order[sides[at]]):
        place = sides[at] if across_sides else ""
        copies = kept.setdefault((records[at].fingerprint, place), [])
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
    counts = Counter(name for _, target in usable for name in spec.strata(schema, target))
    strata: dict[tuple[str, str], list[int]] = {}
    order = sorted(range(len(usable)), key=lambda at: fraction_from("limit", usable[at][0].image))
    for at in order:
        annotation, target = usable[at]
        # Of several strata the rarest one, which would be lost first.
        rarest = min(spec.strata(schema, target), key=lambda name: (counts[name], name))
        strata.setdefault((annotation.split or "", rarest), []).append(at)
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


def _unused_options(
    options: DatasetOptions, used: Sequence[str], given: Mapping[str, Any]
) -> tuple[str, ...]:
    unused = sorted(options.model_fields_set - set(used))
    flags = [f"--{name.replace('_', '-')}" for name in unused if name in given]
    entries = [name for name in unused if name not in given]
    notes = [f"{DATASET_FILE}: {', '.join(entries)} has no effect here"] if entries else []
    return (*notes, *(f"{flag} has no effect here" for flag in flags))


def with_splits(manifest: Manifest, records: Sequence[Record], *notes: str) -> Manifest:
    """The same manifest with other records and further notes."""
    return dataclasses.replace(manifest, records=tuple(records), notes=(*manifest.notes, *notes))
