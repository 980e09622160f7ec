"""``headstart show``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from headstart import jobs
from headstart.cli.options import (
    AsJson,
    Augment,
    ConfigFile,
    Data,
    Flip,
    ImageSize,
    Limit,
    Resize,
    TaskName,
    TrainSize,
    Views,
)
from headstart.progress import ConsoleProgress

EXAMPLES = """Examples:

  headstart show photos/

  headstart show photos/ --augment strong --count 64 --out batch.png

  headstart show photos/ --config runs/photos/config.yaml --seed 1
"""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("show", epilog=EXAMPLES)(show)


def show(
    data: Data,
    *,
    out: Annotated[
        Path | None, typer.Option(help="PNG file to write  [default: runs/NAME-batch.png]")
    ] = None,
    count: Annotated[int | None, typer.Option(help="Views  [default: a batch]")] = None,
    task: TaskName = None,
    image_size: ImageSize = None,
    train_size: TrainSize = None,
    resize: Resize = None,
    views: Views = None,
    augment: Augment = None,
    flip: Flip = None,
    limit: Limit = None,
    seed: Annotated[int | None, typer.Option(help="Decides views and order.")] = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Draw a batch as training sees it, with its targets."""
    settings: dict[str, Any] = {
        "task": task,
        "image_size": image_size,
        "train_size": train_size,
        "resize": resize,
        "views": views,
        "augment": augment,
        "flip": flip,
        "limit": limit,
        "seed": seed,
    }
    result = jobs.show(
        data, out=out, count=count, config=config, progress=ConsoleProgress(), **settings
    )
    if as_json:
        typer.echo(json.dumps(result.to_json(), ensure_ascii=False))
    else:
        typer.echo(f"Drew {len(result.views)} views into {result.out}")
