"""Puts accepted files where they were asked for, with the description and the golden examples."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.exporting.trial import Candidate, Trial
from headstart.exporting.verdict import Verdict
from headstart.runtime.model_folder import DESCRIPTION, GOLDEN, GRAPH, ModelDescription
from headstart.storage import read_json, write_json
from headstart.types import Split

EXPORTS = "exports"
"""Entry of the exported folder's ``model.json``: one for each file."""


@dataclasses.dataclass(frozen=True)
class ExportRow:
    """One line of the table: a file, what was seen of it, and the verdict.

    Attributes:
        candidate: the file that was tried.
        path: where it lies now; None where it was refused.
        trial: what was seen.
        verdict: the outcome.
    """

    candidate: Candidate
    path: Path | None
    trial: Trial
    verdict: Verdict

    @property
    def reported(self) -> Split:
        """The side whose metric stands in the line: test where there is one."""
        return "test" if "test" in self.trial.drops else "val"

    def to_json(self) -> dict[str, Any]:
        """What ``export --json`` prints."""
        trial, verdict = self.trial, self.verdict
        checked = verdict.judgement != "not checked"
        drop = trial.drops.get(self.reported)
        seen = bool(trial.n)
        return {
            "format": self.candidate.file_format.name,
            "precision": self.candidate.precision,
            "path": str(self.path) if self.path is not None else None,
            "size_bytes": trial.size_bytes,
            "agreement": trial.agreement if seen else None,
            "metric": drop.metric if drop else None,
            "value": drop.to_json()["value"] if drop else None,
            "reference": drop.to_json()["reference"] if drop else None,
            "latency_ms": trial.latency_ms,
            "verdict": verdict.judgement,
            "checked_by": self.candidate.file_format.checked_by if checked else None,
            "reason": verdict.reason,
            "split": self.reported if drop else None,
            "n_images": trial.n,
            "max_difference": trial.difference if seen else None,
            "mean_difference": trial.shift if seen else None,
            "drops": {side: found.to_json() for side, found in trial.drops.items()},
        }


def hand_over(
    out: Path,
    source: Path,
    description: ModelDescription,
    tried: Sequence[tuple[Candidate, Trial, Verdict]],
) -> list[ExportRow]:
    """Moves accepted files into a folder and describes them there.

    Files of earlier exports of the same model stay, except those that were made anew: a refused
    one leaves nothing behind.

    Args:
        out: the folder; made when missing, and only when something is accepted.
        source: the model folder, whose golden examples are copied.
        description: of the model.
        tried: the files, what was seen of them, and the verdicts.
    """
    earlier = _earlier(out, description)
    rows = []
    replaced = False
    for candidate, trial, verdict in tried:
        target = out / candidate.path.name
        known = earlier.pop(target.name, None) is not None
        replaced = replaced or known
        if verdict.handed_over:
            out.mkdir(parents=True, exist_ok=True)
            # The file itself last: with it there, its companions are too.
            for file in reversed(candidate.files):
                file.replace(out / file.name)
        elif known:
            for file in candidate.files:
                (out / file.name).unlink(missing_ok=True)
        rows.append(ExportRow(candidate, target if verdict.handed_over else None, trial, verdict))
    made = {row.path.name: _entry(row) for row in rows if row.path is not None}
    if made or replaced:
        _describe(out, source, description, {**earlier, **made})
    return rows


def _earlier(out: Path, description: ModelDescription) -> dict[str, Any]:
    """Entries of files that lie there already, by name, where they are of the same model."""
    try:
        content = read_json(out / DESCRIPTION)
        of = content["exported_from"]
        entries = {entry["path"]: entry for entry in content[EXPORTS]}
    except (OSError, ValueError, LookupError, TypeError):
        return {}
    same = of == description.files.get(GRAPH)
    return {name: e for name, e in entries.items() if same and (out / name).is_file()}


def _entry(row: ExportRow) -> dict[str, Any]:
    name = row.path.name if row.path is not None else ""
    return {**row.to_json(), "path": name, "files": [file.name for file in row.candidate.files]}


def _describe(
    out: Path, source: Path, description: ModelDescription, entries: Mapping[str, Any]
) -> None:
    if (source / GOLDEN).is_dir():
        shutil.copytree(source / GOLDEN, out / GOLDEN, dirs_exist_ok=True)
    names = {name for entry in entries.values() for name in entry["files"]}
    names |= {path.relative_to(out).as_posix() for path in (out / GOLDEN).glob("*")}
    files = {name: hashlib.sha256((out / name).read_bytes()).hexdigest() for name in sorted(names)}
    content = {
        **description.to_json(),
        "files": files,
        "exported_from": description.files.get(GRAPH),
        EXPORTS: list(entries.values()),
    }
    write_json(out / DESCRIPTION, content)
