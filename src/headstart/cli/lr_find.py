"""``headstart lr-find``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from headstart import jobs
from headstart.cli.options import (
    AsJson,
    Backbone,
    BatchSize,
    ImageSize,
    Limit,
    Seed,
    SplitStage,
    StartFrom,
    Strategy,
    Task,
    TrainSize,
    Views,
    Weights,
)
from headstart.progress import ConsoleProgress

EXAMPLES = """Examples:

  headstart lr-find photos/

  headstart lr-find photos/ --plot rates.svg

  headstart lr-find photos/ --config runs/photos/config.yaml --json
"""

NO_SETTINGS = frozenset({"data", "plot", "config", "as_json"})
"""Parameters of the verb that are no field of the configuration."""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("lr-find", epilog=EXAMPLES)(lr_find)


def lr_find(
    data: Annotated[Path, typer.Argument(help="Folder with pictures, or a CSV, as for train.")],
    *,
    task: Task = None,
    backbone: Backbone = None,
    weights: Weights = None,
    start_from: StartFrom = None,
    strategy: Strategy = None,
    batch_size: BatchSize = None,
    image_size: ImageSize = None,
    train_size: TrainSize = None,
    split_stage: SplitStage = None,
    views: Views = None,
    limit: Limit = None,
    seed: Seed = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the curve into this SVG file.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file with more settings; flags win over it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Suggest a learning rate."""
    settings = {name: value for name, value in locals().items() if name not in NO_SETTINGS}
    result = jobs.lr_find(data, plot=plot, config=config, progress=ConsoleProgress(), **settings)
    if as_json:
        typer.echo(json.dumps(result.to_json(), ensure_ascii=False))
        return
    typer.echo(
        f"Suggested {result.setting}: {result.suggestion:.2g} (train would take {result.default:g})"
    )
    if result.plot is not None:
        typer.echo(f"Curve: {result.plot}")
