"""``headstart export``."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headstart import jobs
from headstart.cli.options import ModelFolder
from headstart.progress import ConsoleProgress

if TYPE_CHECKING:
    from headstart.jobs.export_job import ExportResult

EXAMPLES = """Examples:

  headstart export runs/photos/model

  headstart export runs/photos/model --to onnx,openvino --precision fp32,int8

  headstart export runs/photos/model --precision int8 --tolerance 1 --data photos/ --json
"""

NOTHING_ACCEPTED = 1

UNCUT = 200
"""Columns for a table that goes into a file or a pipe."""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("export", epilog=EXAMPLES)(export)


def export(
    model: ModelFolder,
    *,
    to: Annotated[str, typer.Option(metavar="FORMATS", help="Separated by commas.")] = "onnx",
    precision: Annotated[
        str, typer.Option(metavar="PRECISIONS", help="Separated by commas.")
    ] = "fp32,fp16,int8",
    tolerance: Annotated[
        float, typer.Option(help="Percentage points of the metric that a file may lose.")
    ] = 0.5,
    data: Annotated[
        Path | None, typer.Option(help="Pictures to compare on; else those of the run.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the files; else beside the model.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a file.")] = False,
) -> None:
    """Export a model to files that are run and scored before they are handed over."""
    result = jobs.export(
        model,
        to=to,
        precision=precision,
        tolerance=tolerance,
        data=data,
        out=out,
        progress=ConsoleProgress(),
    )
    if as_json:
        for line in result.to_json():
            typer.echo(json.dumps(line, ensure_ascii=False))
    else:
        _show(result)
    if result.refused:
        raise typer.Exit(NOTHING_ACCEPTED)


def _show(result: ExportResult) -> None:
    """The tables, and a sentence for each file that is not plainly ok."""
    rows = [row.to_json() for row in result.rows]
    metric = next((row["metric"] for row in rows if row["metric"]), "metric")
    columns = ("file", "size", "agreement", metric, "drop (95 %)", "latency", "verdict")
    _print_table(columns, [_cells(row) for row in rows], left=("file", "verdict"))
    for row in rows:
        if row["reason"]:
            name = f"{row['format']} {row['precision']}"
            typer.echo(f"{name}: {row['verdict']}: {row['reason']}")
    if result.resizers:
        typer.echo("\nThe same model in float32 after other ways of resizing:")
        drops = [(cost, cost.drop.to_json()) for cost in result.resizers]
        _print_table(
            ("resizing", "agreement", metric, "drop (95 %)"),
            [
                [cost.name, f"{cost.agreement:.1%}", _number(drop["value"]), _drop(drop)]
                for cost, drop in drops
            ],
            left=("resizing",),
        )
    if not result.refused:
        typer.echo(f"\nFiles   {result.out}")


def _print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], left: Collection[str]
) -> None:
    """Right-justified but for ``left``; as wide as it must be where no terminal cuts it."""
    from rich.console import Console
    from rich.table import Table

    console = Console() if sys.stdout.isatty() else Console(width=UNCUT)
    table = Table(box=None, pad_edge=False)
    for title in columns:
        table.add_column(title, justify="left" if title in left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _cells(row: dict[str, Any]) -> list[str]:
    drop = row["drops"].get(row["split"])
    latency = row["latency_ms"]
    return [
        f"{row['format']} {row['precision']}",
        f"{row['size_bytes'] / 1e6:.1f} MB",
        "-" if row["agreement"] is None else f"{row['agreement']:.1%}",
        "-" if drop is None else _number(row["value"]),
        "-" if drop is None else _drop(drop),
        "-" if latency is None else f"{latency:.1f} ms",
        row["verdict"],
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _drop(drop: dict[str, Any]) -> str:
    if drop["drop_points"] is None:
        return "-"
    interval = ""
    if drop["low"] is not None:
        interval = f" ({drop['low']:+.2f} to {drop['high']:+.2f})"
    return f"{drop['drop_points']:+.2f}{interval}"
