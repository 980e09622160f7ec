"""Options that several verbs share: spelled and explained once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Augment = Annotated[str | None, typer.Option(help="none, light, standard or strong.")]
BatchSize = Annotated[int | None, typer.Option(help="Pictures a step.")]
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
Limit = Annotated[int | None, typer.Option(help="Use at most N pictures.")]
ModelFolder = Annotated[Path, typer.Argument(help="Model folder, such as runs/photos/model.")]
Resize = Annotated[str | None, typer.Option(help="letterbox, crop or squash.")]
TaskName = Annotated[str | None, typer.Option(help="[default: from the data]")]
Views = Annotated[int | None, typer.Option(help="Augmented views of each picture.")]
