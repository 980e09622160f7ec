"""``headstart show``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from headstart import jobs
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
    data: Annotated[Path, typer.Argument(help="Folder or CSV, as for train.")],
    *,
    out: Annotated[
        Path | None, typer.Option(help="PNG file to write  [default: runs/NAME-batch.png]")
    ] = None,
    count: Annotated[int | None, typer.Option(help="Views  [default: a batch]")] = None,
    task: Annotated[str | None, typer.Option(help="[default: from the data]")] = None,
    image_size: Annotated[str | None, typer.Option(metavar="N|HxW", help="In pixels.")] = None,
    resize: Annotated[str | None, typer.Option(help="letterbox, crop or squash.")] = None,
    views: Annotated[int | None, typer.Option(help="Augmented views of each picture.")] = None,
    augment: Annotated[str | None, typer.Option(help="none, light, standard or strong.")] = None,
    flip: Annotated[str | None, typer.Option(help="none, horizontal or both.")] = None,
    limit: Annotated[int | None, typer.Option(help="Use at most N pictures.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides views and order.")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file; flags win over it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Draw a batch as training sees it, with its targets."""
    settings: dict[str, Any] = {
        "task": task,
        "image_size": image_size,
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
