"""Which picture trains, which validates, which tests; decided once and recorded.

A group's side is decided from the hash of its content, with quotas that only steer groups that have
no side yet. Decisions are kept in a ledger outside the pictures' folder: relabelling pictures or
adding new ones moves no recorded one.
"""

from __future__ import annotations

import csv
import dataclasses
import io
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from headstart import tasks
from headstart.data.manifest import with_splits
from headstart.errors import DataError, RunError
from headstart.storage import content_key, exclusive_lock, fraction_from, state_dir, write_text
from headstart.types import SPLITS, Manifest, Record, Split

RATIOS: Mapping[Split, float] = {"train": 0.7, "val": 0.2, "test": 0.1}
"""When the layout names no sides."""

CUT_RATIOS: Mapping[Split, float] = {"train": 0.85, "val": 0.15}
"""When it names train and test: validation is cut from train."""

EXAMPLES = 5


def assign_splits(manifest: Manifest) -> Manifest:
    """Gives every record a side and records the decisions.

    Raises:
        DataError: a side has no picture.
    """
    given = Counter(record.split for record in manifest.records)
    records, notes = _arranged(manifest.records, given)
    sides = {record.split for record in records}
    if "test" not in sides:
        ratios = RATIOS
        open_records = [dataclasses.replace(record, split=None) for record in records]
    elif "val" not in sides:
        ratios = CUT_RATIOS
        notes.append(f"validation is {CUT_RATIOS['val']:.0%} of the training pictures")
        open_records = [
            dataclasses.replace(r, split=None) if r.split == "train" else r for r in records
        ]
    else:
        ratios, open_records = CUT_RATIOS, records
    undecided = [record for record in open_records if record.split is None]
    if undecided:
        spec = tasks.spec(manifest.task)
        strata = {record.image: spec.strata(manifest.schema, record.target) for record in undecided}
        decided = _decide_with_ledger(manifest.root, undecided, strata, ratios)
        open_records = [
            record if record.split else dataclasses.replace(record, split=decided[record.group_key])
            for record in open_records
        ]
    if ratios is RATIOS:
        notes.append(
            "split 70/20/10 by content; recorded, so that it stays when pictures are added"
        )
    _check(open_records)
    notes.extend(_leaks(open_records))
    notes.extend(_absent(manifest, open_records))
    return with_splits(manifest, open_records, *notes)


def _arranged(
    records: Sequence[Record], given: Counter[Split | None]
) -> tuple[list[Record], list[str]]:
    """Settles what the layout's sides mean when some are missing."""
    notes: list[str] = []
    sides = {side for side in given if side is not None}
    rename: dict[Split | None, Split | None] = {}
    if sides == {"train", "val"}:
        rename["val"] = "test"
        notes.append(
            "there is no test split: the validation pictures become it, "
            "and validation is cut from train"
        )
    if sides and sides != {"train"}:
        if "train" not in sides:
            raise DataError(
                f"the data has {' and '.join(sorted(sides))} but no train split: add one"
            )
        rename[None] = "train"
        if given[None]:
            notes.append(f"{given[None]} pictures without a side are used for training")
    return [
        dataclasses.replace(record, split=rename.get(record.split, record.split))
        for record in records
    ], notes


def decide(
    records: Sequence[Record],
    strata: Mapping[str, Sequence[str]],
    ratios: Mapping[Split, float],
    known: Mapping[str, Split],
) -> dict[str, Split]:
    """The side of every group.

    Groups without a side are taken in the order of their hash; each goes to the side that its
    strata fill least so far, relative to the side's quota.

    Args:
        records: pictures whose groups need a side.
        strata: by ``Record.image``; where it has several, their gaps are averaged.
        ratios: share of each side.
        known: recorded sides by ``Record.group_key``; they never change.

    Returns:
        Sides by ``Record.group_key``.
    """
    members: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        members[record.group_key].append(record)
    totals = Counter(name for record in records for name in strata[record.image])
    filled: Counter[tuple[str, Split]] = Counter()
    overall: Counter[Split] = Counter()
    decided: dict[str, Split] = {}

    def place(group: str, side: Split) -> None:
        decided[group] = side
        overall[side] += len(members[group])
        filled.update((name, side) for record in members[group] for name in strata[record.image])

    for group in members:
        if known.get(group) in ratios:
            place(group, known[group])
    for group in sorted(members, key=lambda key: (fraction_from("side", key), key)):
        if group in decided:
            continue

        def need(side: Split, group: str = group) -> tuple[float, float]:
            gaps = [
                1.0 - filled[(name, side)] / (ratios[side] * totals[name])
                for record in members[group]
                for name in strata[record.image]
            ]
            rest = 1.0 - overall[side] / (ratios[side] * len(records))
            return round(sum(gaps) / len(gaps), 9), round(rest, 9)

        place(group, max(ratios, key=need))
    return decided


def splits_table(manifest: Manifest) -> str:
    """The content of a run's ``splits.csv``: image, fingerprint, group, split."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("image", "fingerprint", "group", "split"))
    for record in manifest.records:
        writer.writerow((record.image, record.fingerprint, record.group or "", record.split))
    return text.getvalue()


def apply_table(manifest: Manifest, table: Path) -> Manifest:
    """Gives every record the side that a run recorded; used to resume it.

    Raises:
        RunError: the table is damaged, or pictures were added, removed or changed since.
    """
    by_name: dict[str, Split] = {side: side for side in SPLITS}
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        sides = {(row["image"], row["fingerprint"]): by_name[row["split"]] for row in rows}
    except (OSError, KeyError, UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"{table} cannot be read ({error}): start a new run") from error
    present = {(record.image, record.fingerprint) for record in manifest.records}
    if present != sides.keys():
        changed = sorted(image for image, _ in present ^ sides.keys())
        raise RunError(
            f"the pictures changed since {table.parent} was started ({changed[0]} and "
            f"{len(changed) - 1} more): start a new run instead of resuming"
        )
    records = [
        dataclasses.replace(record, split=sides[(record.image, record.fingerprint)])
        for record in manifest.records
    ]
    return with_splits(manifest, records)


def _decide_with_ledger(
    root: Path,
    records: Sequence[Record],
    strata: Mapping[str, Sequence[str]],
    ratios: Mapping[Split, float],
) -> dict[str, Split]:
    where = root.resolve()
    key = content_key(str(where), sorted(ratios))[:12]
    path = state_dir() / "splits" / f"{where.name}-{key}.csv"
    try:
        with exclusive_lock(
            path.with_suffix(".lock"), f"another process is splitting {root}; try again"
        ):
            known = _read_ledger(path)
            decided = decide(records, strata, ratios, known)
            if decided.items() - known.items():
                text = io.StringIO()
                # Quoted throughout: the name of a group may hold anything, line ends included.
                writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
                writer.writerow(("group", "side"))
                writer.writerows(sorted({**known, **decided}.items()))
                write_text(path, text.getvalue())
    except OSError as error:
        raise RunError(
            f"cannot write the split ledger in {path.parent}: {error.strerror or error}; "
            "set HEADSTART_STATE to a folder that can be written"
        ) from error
    return decided


def _read_ledger(path: Path) -> dict[str, Split]:
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    by_name: dict[str, Split] = {side: side for side in SPLITS}
    return {row["group"]: by_name[row["side"]] for row in rows if row["side"] in by_name}


def _check(records: Sequence[Record]) -> None:
    counts = Counter(record.split for record in records)
    for side in SPLITS:
        if not counts[side]:
            raise DataError(
                f"there is no picture for the {side} split ({len(records)} pictures in all): "
                "add pictures"
            )


def _absent(manifest: Manifest, records: Sequence[Record]) -> list[str]:
    """Names the parts of the targets that some side lacks, because there are too few pictures."""
    spec = tasks.spec(manifest.task)
    parts = spec.parts(manifest.schema)
    present: dict[str, set[str]] = defaultdict(set)
    for record in records:
        present[str(record.split)].update(spec.strata(manifest.schema, record.target))
    some = set().union(*present.values())
    notes = []
    for side in SPLITS:
        absent = [name for name in parts if name in some - present[side]]
        if absent:
            shown = ", ".join(absent[:EXAMPLES]) + ", ..." * (len(absent) > EXAMPLES)
            notes.append(f"no picture of {shown} is on the {side} side: add pictures")
    return notes


def _leaks(records: Sequence[Record]) -> list[str]:
    sides: dict[str, set[str]] = defaultdict(set)
    for record in records:
        sides[record.group_key].add(str(record.split))
    torn = sorted(group for group, found in sides.items() if len(found) > 1)
    if not torn:
        return []
    name = torn[0].removeprefix("group:")
    return [
        (
            f"{len(torn)} groups (such as {name}) lie on several sides of the given split: "
            "the scores will look better than they are"
        )
    ]
