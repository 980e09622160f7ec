"""``headstart split``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from headstart import jobs
from headstart.cli.options import AsJson, Data, Group, TaskName
from headstart.jobs.split_job import SplitResult
from headstart.progress import ConsoleProgress
from headstart.types import SPLITS

EXAMPLES = """Examples:

  headstart split photos/

  headstart split photos/ --group folder:2 --out splits.csv

  headstart split photos/ --group "name:^([0-9]+)_" --out splits.csv

  headstart split photos/ --group burst:5 --json

  headstart train photos/ --splits splits.csv
"""

SHOWN_ROWS = 20
"""Classes and left-out pictures that the terminal lists; ``--json`` lists all."""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("split", epilog=EXAMPLES)(split)


def split(
    data: Data,
    *,
    out: Annotated[Path | None, typer.Option(help="CSV file to write.")] = None,
    group: Group = None,
    task: TaskName = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Decide although the data gives sides.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Say which picture trains, validates and tests."""
    result = jobs.split(
        data, out=out, group=group, task=task, anew=anew, progress=ConsoleProgress()
    )
    if as_json:
        typer.echo(json.dumps(result.to_json(), ensure_ascii=False))
        return
    for line in _lines(result):
        typer.echo(line)


def _lines(result: SplitResult) -> list[str]:
    rows = [(result.task, *SPLITS), *result.rows[:SHOWN_ROWS]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *counts in rows:
        cells = [f"{count:>{width}}" for count, width in zip(counts, widths[1:], strict=True)]
        lines.append("  ".join([f"{name:<{widths[0]}}", *cells]))
    if len(result.rows) > SHOWN_ROWS:
        lines.append(f"and {len(result.rows) - SHOWN_ROWS} more")
    lines += [f"Note: {note}." for note in result.notes]
    if result.omissions:
        lines.append(f"Left out {len(result.omissions)}:")
        lines += [f"  {o.image}: {o.reason}" for o in result.omissions[:SHOWN_ROWS]]
        if len(result.omissions) > SHOWN_ROWS:
            lines.append(f"  and {len(result.omissions) - SHOWN_ROWS} more")
    if result.out is not None:
        lines.append(f"Wrote {result.out}: headstart train DATA --splits {result.out}")
    return lines
