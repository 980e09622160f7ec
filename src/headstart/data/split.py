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
from typing import Literal

from headstart import tasks
from headstart.data.manifest import tested_side, with_splits
from headstart.errors import DataError, RunError
from headstart.storage import content_key, exclusive_lock, fraction_from, state_dir, write_text
from headstart.types import SPLITS, Manifest, Omission, Record, Split

RATIOS: Mapping[Split, float] = {"train": 0.7, "val": 0.2, "test": 0.1}
"""When the layout names no sides."""

CUT_RATIOS: Mapping[Split, float] = {"train": 0.9, "val": 0.1}
"""When it names train and test: validation is cut from train."""

_FIRST: tuple[Split, ...] = ("test", "val", "train")
"""Of copies on several sides, the one on the side that comes first here stays."""

EXAMPLES = 3


Leaks = Literal["refuse", "drop", "keep"]

Twins = Sequence[Sequence[Path]]
"""Groups of files that show the same: see ``data.near_duplicates``."""


def assign_splits(manifest: Manifest, twins: Twins = (), leaks: Leaks = "refuse") -> Manifest:
    """Gives every record a side and records the decisions.

    Args:
        manifest: of the pictures; sides that their layout gives are kept.
        twins: near-duplicates, which stay on one side where sides are decided here.
        leaks: what happens when the given sides tear a group or the copies of a file: an error, the
            training copies are left out, or nothing.

    Raises:
        DataError: a side has no picture, or the given sides leak.
    """
    given = Counter(record.split for record in manifest.records)
    records, notes = _arranged(manifest.records, given)
    sides = {record.split for record in records}
    ratios = RATIOS if "test" not in sides else CUT_RATIOS
    if ratios is RATIOS:
        records = [dataclasses.replace(record, split=None) for record in records]
    else:
        records, left_out = _mended(records, manifest.root, leaks)
        manifest = left_out_of(manifest, left_out)
        if "val" not in sides:
            notes.append(f"validation is {CUT_RATIOS['val']:.0%} of the training pictures")
            records = [
                dataclasses.replace(r, split=None) if r.split == "train" else r for r in records
            ]
        notes += _twins_apart(records, twins)
    undecided = [record for record in records if record.split is None]
    if undecided:
        spec = tasks.spec(manifest.task)
        strata = {record.image: spec.strata(manifest.schema, record.target) for record in undecided}
        decided = _decide_with_ledger(manifest.root, undecided, strata, ratios, twins)
        kept, left_out = _without_conflicts(decided, _units_of(decided, twins))
        manifest = left_out_of(manifest, left_out)
        # In the manifest's order.
        settled = iter(decided)
        records = [record if record.split else next(settled) for record in records]
        stays = {id(record) for record in kept}
        gone = {id(record) for record in decided} - stays
        records = [record for record in records if id(record) not in gone]
    if ratios is RATIOS:
        notes.append(
            "split 70/20/10 by content; recorded, so that it stays when pictures are added"
        )
    _check(records)
    notes.extend(_absent(manifest, records))
    return with_splits(manifest, records, *notes)


def left_out_of(manifest: Manifest, conflicts: Sequence[Conflict]) -> Manifest:
    """The manifest with what is said about pictures that no side may use."""
    return dataclasses.replace(
        manifest,
        withheld=(*manifest.withheld, *(conflict.record for conflict in conflicts)),
        omissions=(
            *manifest.omissions,
            *(Omission(conflict.record.image, conflict.reason) for conflict in conflicts),
        ),
    )


def leaked(manifest: Manifest) -> tuple[Record, ...]:
    """Test pictures of which a copy, or a picture of the same group, is on another side."""
    learned = {
        unit for record in manifest.on("train", "val") for unit in _units_of([record], ())[0]
    }
    return tuple(
        record for record in manifest.on("test") if learned.intersection(_units_of([record], ())[0])
    )


def _arranged(
    records: Sequence[Record], given: Counter[Split | None]
) -> tuple[list[Record], list[str]]:
    """Settles what the layout's sides mean when some are missing."""
    notes: list[str] = []
    sides = {side for side in given if side is not None}
    rename: dict[Split | None, Split | None] = {}
    if tested_side(sides) == "val":
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
    keys: Sequence[str],
    strata: Mapping[str, Sequence[str]],
    ratios: Mapping[Split, float],
    known: Mapping[str, Split],
) -> dict[str, Split]:
    """The side of every cluster of pictures.

    Clusters without a side are taken in the order of their hash; each goes to the side that its
    strata fill least so far, relative to the side's quota.

    Args:
        records: pictures that need a side.
        keys: name of the cluster of each.
        strata: by ``Record.image``; where it has several, their gaps are averaged.
        ratios: share of each side.
        known: sides of clusters that have one; they never change.

    Returns:
        Sides by name of the cluster.
    """
    members: dict[str, list[Record]] = defaultdict(list)
    for key, record in zip(keys, records, strict=True):
        members[key].append(record)
    totals = Counter(name for record in records for name in strata[record.image])
    filled: Counter[tuple[str, Split]] = Counter()
    overall: Counter[Split] = Counter()
    decided: dict[str, Split] = {}

    def place(cluster: str, side: Split) -> None:
        decided[cluster] = side
        overall[side] += len(members[cluster])
        filled.update((name, side) for record in members[cluster] for name in strata[record.image])

    for cluster in members:
        if cluster in known:
            place(cluster, known[cluster])
    for cluster in sorted(members, key=lambda key: (fraction_from("side", key), key)):
        if cluster in decided:
            continue

        def need(side: Split, cluster: str = cluster) -> tuple[float, float]:
            gaps = [
                1.0 - filled[(name, side)] / (ratios[side] * totals[name])
                for record in members[cluster]
                for name in strata[record.image]
            ]
            rest = 1.0 - overall[side] / (ratios[side] * len(records))
            return round(sum(gaps) / len(gaps), 9), round(rest, 9)

        place(cluster, max(ratios, key=need))
    return decided


def _decide_with_ledger(
    root: Path,
    records: Sequence[Record],
    strata: Mapping[str, Sequence[str]],
    ratios: Mapping[Split, float],
    twins: Twins,
) -> list[Record]:
    """The records with their sides; what is new is recorded, by content and by group."""
    where = root.resolve()
    key = content_key(str(where), sorted(ratios))[:12]
    path = state_dir() / "splits" / f"{where.name}-{key}.csv"
    try:
        with exclusive_lock(
            path.with_suffix(".lock"), f"another process is splitting {root}; try again"
        ):
            known = _read_ledger(path)
            sides = _sides(records, strata, ratios, known, twins)
            fresh: dict[str, Split] = {}
            for record, side in zip(records, sides, strict=True):
                fresh[record.fingerprint] = side
                fresh.setdefault(record.group_key, side)
            if fresh.keys() - known.keys():
                text = io.StringIO()
                # Quoted throughout: the name of a group may hold anything, line ends included.
                writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
                writer.writerow(("group", "side"))
                writer.writerows(sorted({**fresh, **known}.items()))
                write_text(path, text.getvalue())
    except OSError as error:
        raise RunError(
            f"cannot write the split ledger in {path.parent}: {error.strerror or error}; "
            "set HEADSTART_STATE to a folder that can be written"
        ) from error
    return [
        dataclasses.replace(record, split=side) for record, side in zip(records, sides, strict=True)
    ]


def _sides(
    records: Sequence[Record],
    strata: Mapping[str, Sequence[str]],
    ratios: Mapping[Split, float],
    known: Mapping[str, Split],
    twins: Twins,
) -> list[Split]:
    """Recorded sides stay; what joins a cluster with sides takes the one that is tested most."""
    clusters = _clusters(records, _units_of(records, twins))
    recorded = [
        side if (side := known.get(r.fingerprint, known.get(r.group_key))) in ratios else None
        for r in records
    ]
    found: dict[str, Split] = {}
    for cluster, side in zip(clusters, recorded, strict=True):
        if side is not None:
            found[cluster] = min(side, found.get(cluster, side), key=_FIRST.index)
    decided = decide(records, clusters, strata, ratios, found)
    return [side or decided[cluster] for side, cluster in zip(recorded, clusters, strict=True)]


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


@dataclasses.dataclass(frozen=True)
class Conflict:
    """A picture that would leak into a side that is tested more, and why."""

    record: Record
    reason: str


def _units_of(records: Sequence[Record], twins: Twins) -> list[tuple[str, ...]]:
    """What must not be torn, for each record: its content, its group, its near-duplicates."""
    by_path = {path: f"twins:{number}" for number, paths in enumerate(twins) for path in paths}
    return [
        tuple(
            dict.fromkeys(
                unit for unit in (r.fingerprint, r.group_key, by_path.get(r.path)) if unit
            )
        )
        for r in records
    ]


def _clusters(records: Sequence[Record], units: Sequence[Sequence[str]]) -> list[str]:
    """Name of the cluster of each record: records that share a unit are in one.

    It is the first in alphabetical order of the ``group_key`` of its pictures, so that one that
    shares nothing is named as it always was.
    """
    parent: dict[str, str] = {}

    def root(unit: str) -> str:
        while (above := parent.setdefault(unit, unit)) != unit:
            parent[unit] = parent[above]
            unit = parent[unit]
        return unit

    for shared in units:
        for unit in shared[1:]:
            parent[root(unit)] = root(shared[0])
    names: dict[str, str] = {}
    for record, (first, *_) in zip(records, units, strict=True):
        at = root(first)
        names[at] = min(record.group_key, names.get(at, record.group_key))
    return [names[root(first)] for first, *_ in units]


def _without_conflicts(
    records: Sequence[Record], units: Sequence[Sequence[str]]
) -> tuple[list[Record], list[Conflict]]:
    """Of what lies on several sides, the copies on the side that is tested less are left out."""
    best: dict[str, Record] = {}
    for record, shared in zip(records, units, strict=True):
        for unit in shared:
            rank = _rank(record)
            if unit not in best or rank < _rank(best[unit]):
                best[unit] = record
    kept, conflicts = [], []
    for record, shared in zip(records, units, strict=True):
        torn = [unit for unit in shared if _rank(best[unit]) < _rank(record)]
        if not torn:
            kept.append(record)
            continue
        other = best[torn[0]]
        conflicts.append(Conflict(record, f"{_shared(torn[0])} {other.image} in {other.split}"))
    return kept, conflicts


def _rank(record: Record) -> int:
    return _FIRST.index(record.split or "train")


def _shared(unit: str) -> str:
    if unit.startswith("twins:"):
        return "a near-duplicate of"
    if unit.startswith("group:"):
        return f"of the same group ({unit.removeprefix('group:')}) as"
    return "the same file as"


def _mended(records: list[Record], root: Path, leaks: Leaks) -> tuple[list[Record], list[Conflict]]:
    """What becomes of groups, and copies of a file, that given sides tear.

    Raises:
        DataError: there are some, and nobody said what to do with them.
    """
    kept, conflicts = _without_conflicts(records, _units_of(records, ()))
    if not conflicts or leaks == "keep":
        return records, []
    if leaks == "drop":
        return kept, conflicts
    shown = "; ".join(f"{c.record.image} is {c.reason}" for c in conflicts[:EXAMPLES])
    more = f" and {len(conflicts) - EXAMPLES} more" * (len(conflicts) > EXAMPLES)
    raise DataError(
        f"the given split leaks: {shown}{more}. The scores would look better than they are. "
        f"`headstart split {root} --out splits.csv` leaves these pictures out, and "
        "`train --splits splits.csv` takes the result; `train --allow-leak` trains with them "
        "and says what the leak is worth"
    )


def _twins_apart(records: Sequence[Record], twins: Twins) -> list[str]:
    """A sentence about near-duplicates on several given sides."""
    _, conflicts = _without_conflicts(records, _units_of(records, twins))
    near = [c for c in conflicts if c.reason.startswith("a near-duplicate")]
    if not near:
        return []
    note = (
        f"{len(near)} pictures have a near-duplicate on another side of the given split "
        f"(such as {near[0].record.image}: {near[0].reason})"
    )
    return [note]
