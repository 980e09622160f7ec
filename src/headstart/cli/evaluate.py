"""``headstart evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from headstart import jobs
from headstart.cli.options import LabelFrom, ModelFolder
from headstart.progress import ConsoleProgress

EXAMPLES = """Examples:

  headstart evaluate runs/photos/model photos/

  headstart evaluate runs/photos/model new-photos/ --json
"""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("evaluate", epilog=EXAMPLES)(evaluate)


def evaluate(
    model: ModelFolder,
    data: Annotated[Path, typer.Argument(help="Labelled pictures.")],
    label_from: LabelFrom = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
) -> None:
    """Score a model on labelled pictures that it has not learned from."""
    result = jobs.evaluate(model, data, label_from=label_from, progress=ConsoleProgress())
    if as_json:
        typer.echo(json.dumps(result.to_json(), ensure_ascii=False))
        return
    typer.echo(
        f"{result.n_images} pictures scored, {result.n_seen} left out as seen in training, "
        f"{result.n_omitted} left out for other reasons"
    )
    width = max(len(name) for name in result.evaluation.metrics)
    for name, metric in result.evaluation.metrics.items():
        interval = ""
        if metric.low is not None and metric.high is not None:
            interval = f"  95 % {metric.low:.4g} to {metric.high:.4g}"
        typer.echo(f"{name:<{width}}  {metric.value:.4g}{interval}")
    for finding in result.evaluation.findings:
        if finding.spoken:
            typer.echo(f"{finding.title}: {finding.text}")
