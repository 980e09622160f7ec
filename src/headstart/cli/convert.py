"""``headstart convert``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from headstart import jobs
from headstart.cli.options import AsJson, Group, TaskName
from headstart.progress import ConsoleProgress

EXAMPLES = """Examples:

  headstart convert photos/ --to coco --into photos-coco/

  headstart convert streets/ --to yolo --into streets-yolo/ --pictures hardlink

  headstart convert coco/ --to csv --into table/ --task multilabel
"""

SHOWN_OMISSIONS = 20


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("convert", epilog=EXAMPLES)(convert)


def convert(
    data: Annotated[Path, typer.Argument(help="Folder or file in any known layout.")],
    *,
    to: Annotated[str, typer.Option(metavar="FORMAT", help="coco, csv, voc or yolo.")],
    into: Annotated[Path, typer.Option(metavar="DIR", help="New folder to write.")],
    pictures: Annotated[
        str, typer.Option(metavar="WAY", help="copy, hardlink or symlink.")
    ] = "copy",
    task: TaskName = None,
    group: Group = None,
    as_json: AsJson = False,
) -> None:
    """Write a data set in the format of other programs."""
    result = jobs.convert(
        data,
        to=to,
        into=into,
        pictures=pictures,
        task=task,
        group=group,
        progress=ConsoleProgress(),
    )
    if as_json:
        typer.echo(json.dumps(result.to_json(), ensure_ascii=False))
        return
    for note in result.notes:
        typer.echo(f"Note: {note}.")
    if result.omissions:
        typer.echo(f"Left out {len(result.omissions)}:")
        for omission in result.omissions[:SHOWN_OMISSIONS]:
            typer.echo(f"  {omission.image}: {omission.reason}")
        if len(result.omissions) > SHOWN_OMISSIONS:
            typer.echo(f"  and {len(result.omissions) - SHOWN_OMISSIONS} more")
    ways = {"copy": "copies", "hardlink": "hard links", "symlink": "symbolic links"}
    typer.echo(
        f"Wrote {result.pictures} pictures ({ways[result.pictures_are]}) for {result.task} as "
        f"{result.format} into {result.into}"
    )
