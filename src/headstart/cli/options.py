"""Options that several verbs share: spelled and explained once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from headstart import tasks

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Augment = Annotated[str | None, typer.Option(help="none, light, standard or strong.")]
Backbone = Annotated[
    str | None,
    typer.Option(metavar="NAME,...", help="Names of timm  [default: efficientnet_lite0]"),
]
BatchSize = Annotated[int | None, typer.Option(help="Pictures a step.")]
ConfigFile = Annotated[Path | None, typer.Option(help="YAML file; flags win over it.")]
Data = Annotated[Path, typer.Argument(help="Folder or CSV, as for train.")]
Flip = Annotated[str | None, typer.Option(help="none, horizontal or both.")]
Group = Annotated[
    str | None,
    typer.Option(
        metavar="RULE",
        help="What stays on one side: COLUMN, folder:N, name:REGEX or burst:SECONDS.",
    ),
]
ImageSize = Annotated[str | None, typer.Option(metavar="N|HxW", help="In pixels.")]
LabelFrom = Annotated[
    str | None, typer.Option(metavar="REGEX", help="Label in brackets, of a picture's path.")
]
Limit = Annotated[int | None, typer.Option(help="Use at most N pictures.")]
ModelFolder = Annotated[Path, typer.Argument(help="Model folder, such as runs/photos/model.")]
Resize = Annotated[str | None, typer.Option(help="letterbox, crop or squash.")]
Seed = Annotated[int | None, typer.Option(help="Decides views, order and the head.")]
SplitStage = Annotated[int | None, typer.Option(help="First stage that trains.")]
StartFrom = Annotated[
    Path | None, typer.Option("--from", metavar="MODEL", help="Go on from an earlier model.")
]
Strategy = Annotated[
    str | None, typer.Option(help="features (head only), finetune or full  [default: finetune]")
]
Task = Annotated[
    str | None, typer.Option(help=f"{', '.join(tasks.task_names())}  [default: from the data]")
]
TaskName = Annotated[str | None, typer.Option(help="[default: from the data]")]
TrainSize = Annotated[
    str | None,
    typer.Option(metavar="N|HxW", help="Of views for training  [default: the image size]"),
]
Views = Annotated[int | None, typer.Option(help="Augmented views of each picture.")]
Weights = Annotated[
    str | None,
    typer.Option(metavar="FILE", help="Of the backbone; NAME=FILE,... for several."),
]
