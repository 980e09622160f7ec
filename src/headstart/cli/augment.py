"""``headstart augment``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from headstart import jobs
from headstart.cli.options import AsJson, Data, Group, Limit, TaskName
from headstart.progress import ConsoleProgress

EXAMPLES = """Examples:

  headstart augment photos/ --into more-photos/

  headstart augment photos/ --into more-photos/ --times 5 --operations rotate,zoom,noise

  headstart train more-photos/ --augment none
"""

SHOWN_OMISSIONS = 20


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("augment", epilog=EXAMPLES)(augment)


def augment(
    data: Data,
    *,
    into: Annotated[Path, typer.Option(metavar="DIR", help="New folder to write.")],
    times: Annotated[int, typer.Option(help="Copies of each training picture.")] = 10,
    operations: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="rotate, shift, shear, zoom, flip, contrast, channel-shift, channel-inversion, "
            "blur, sharpen, noise, cutout. [default: all but channel-inversion]",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Decides the copies.")] = 0,
    task: TaskName = None,
    group: Group = None,
    limit: Limit = None,
    as_json: AsJson = False,
) -> None:
    """Write augmented copies of training pictures."""
    result = jobs.augment(
        data,
        into=into,
        times=times,
        operations=operations,
        progress=ConsoleProgress(),
        seed=seed,
        task=task,
        group=group,
        limit=limit,
    )
    if as_json:
        typer.echo(json.dumps(result.to_json(), ensure_ascii=False))
        return
    counts = ", ".join(f"{count} {side}" for side, count in result.originals.items())
    typer.echo(f"Originals: {counts}; copies for training: {result.copies}")
    typer.echo(f"Operations: {', '.join(result.operations)}")
    for note in result.notes:
        typer.echo(f"Note: {note}.")
    if result.omissions:
        typer.echo(f"Left out {len(result.omissions)}:")
        for omission in result.omissions[:SHOWN_OMISSIONS]:
            typer.echo(f"  {omission.image}: {omission.reason}")
        if len(result.omissions) > SHOWN_OMISSIONS:
            typer.echo(f"  and {len(result.omissions) - SHOWN_OMISSIONS} more")
    typer.echo(f"Look at {result.sheet}, then: headstart train {result.into}")
