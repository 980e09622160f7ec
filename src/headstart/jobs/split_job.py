"""Says which picture trains, which validates and which tests, and writes it into a file."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headstart.config import train_config
from headstart.data.manifest import look_into, parse_data
from headstart.data.near_duplicates import near_duplicates
from headstart.data.split import assign_splits
from headstart.data.split_table import HEADER, splits_table, summary_rows
from headstart.errors import DataError
from headstart.progress import Progress, QuietProgress
from headstart.storage import write_text
from headstart.types import SPLITS, Manifest, Omission


@dataclasses.dataclass(frozen=True)
class SplitResult:
    """Which pictures are on which side.

    Attributes:
        task: name of the task.
        rows: (name, train, val, test): pictures of each side, then what the task counts.
        notes: sentences that the person should read.
        omissions: pictures that are on no side, and why.
        out: the file that was written, or None.
    """

    task: str
    rows: Sequence[tuple[str, ...]]
    notes: tuple[str, ...]
    omissions: tuple[Omission, ...]
    out: Path | None

    def to_json(self) -> dict[str, Any]:
        """What ``split --json`` prints."""
        return {
            "task": self.task,
            "splits": {
                side: {name: counts[at] for name, *counts in self.rows}
                for at, side in enumerate(SPLITS)
            },
            "notes": list(self.notes),
            "omissions": [dataclasses.asdict(omission) for omission in self.omissions],
            "out": str(self.out) if self.out else None,
        }


def split(
    data: str | Path,
    *,
    out: str | Path | None = None,
    group: str | None = None,
    task: str | None = None,
    anew: bool = False,
    progress: Progress | None = None,
) -> SplitResult:
    """Decides the side of every picture as ``train`` would, and writes it into a file.

    Sides are recorded outside the data, which is not changed. Training copies of what is on two
    sides are left out.

    Args:
        data: folder or CSV file with pictures and labels.
        out: CSV file to write: image, fingerprint, group, split. None writes none.
        group: what stays on one side: a column's name, ``folder:N``, ``name:REGEX`` or
            ``burst:SECONDS``.
        task: name of the task; None infers it from the labels.
        anew: decide although the data gives sides.
        progress: told what happens; None is silent.

    Raises:
        ConfigError: the rule for groups is none.
        DataError: a side has no picture, or ``out`` lies in the data or is another kind of file.
    """
    shown = progress or QuietProgress()
    config = train_config({"data": Path(data), "group": group, "task": task})
    target = Path(out) if out is not None else None
    if target is not None:
        _check_target(target, config.data)
    parsed = parse_data(config.data, task=config.task, group=config.group)
    if anew:
        entries = [(dataclasses.replace(a, split=None), wanted) for a, wanted in parsed.entries]
        parsed = dataclasses.replace(parsed, entries=tuple(entries))
    manifest = look_into(parsed, None, shown, across_sides=True)
    twins = near_duplicates(manifest.contents, shown)
    manifest = assign_splits(manifest, twins, "drop")
    if target is not None:
        write_text(target, splits_table(manifest))
    return _result(manifest, target)


def _result(manifest: Manifest, out: Path | None) -> SplitResult:
    rows = summary_rows(manifest)
    return SplitResult(manifest.task, rows, manifest.notes, manifest.omissions, out)


def _check_target(out: Path, data: Path) -> None:
    folder = data if data.is_dir() else data.parent
    if out.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"--out {out} lies in {folder}: the data is not changed, say another place")
    if not out.exists():
        return
    try:
        with out.open(encoding="utf-8") as file:
            known = file.readline().strip() == ",".join(HEADER)
    except (OSError, UnicodeDecodeError):
        known = False
    if not known:
        raise DataError(f"--out {out} exists and is no table of sides: say another name")
