"""``headstart predict``."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from headstart import jobs
from headstart.cli.options import ModelFolder
from headstart.errors import HeadstartError
from headstart.progress import ConsoleProgress
from headstart.runtime.predictor import DEFAULT_BATCH, Answer

EXAMPLES = """Examples:

  headstart predict runs/photos/model picture.jpg

  headstart predict runs/photos/model new/ "more/*.png" --json > answers.jsonl

  headstart predict runs/photos/model new/ --csv --top-k 3 > answers.csv

  headstart predict runs/streets/model new/ --draw drawn/

  headstart predict runs/people/model crowd.jpg --boxes people.csv --draw drawn/
"""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("predict", epilog=EXAMPLES)(predict)


def predict(
    model: ModelFolder,
    images: Annotated[list[str], typer.Argument(help="Files, folders or patterns.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One CSV row a picture.")] = False,
    top_k: Annotated[int | None, typer.Option(min=1, help="Keep the K best scores.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures at once.")] = DEFAULT_BATCH,
    precision: Annotated[
        str, typer.Option(help="fp32, or bf16 where model.json lists it as verified.")
    ] = "fp32",
    boxes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="CSV: image,x,y,width,height.")
    ] = None,
    draw: Annotated[
        Path | None, typer.Option(metavar="OUT/", help="Folder for pictures with the answers.")
    ] = None,
) -> None:
    """Predict for pictures, without torch."""
    if as_json and as_csv:
        raise HeadstartError("--json and --csv exclude each other: give one of them")
    answers = jobs.predict(
        model,
        images,
        top_k=top_k,
        batch_size=batch_size,
        draw=draw,
        boxes=boxes,
        precision=precision,
        progress=ConsoleProgress(),
    )
    if as_csv:
        good, total = _print_csv(answers)
    else:
        good, total = _print_lines(answers, as_json)
    if not good:
        raise HeadstartError(f"none of the {total} pictures could be read")


def _print_lines(answers: Iterable[Answer], as_json: bool) -> tuple[int, int]:
    good = total = 0
    for answer in answers:
        total += 1
        good += answer.prediction is not None
        if as_json:
            typer.echo(json.dumps(answer.to_json(), ensure_ascii=False))
        elif answer.prediction is not None:
            typer.echo(f"{answer.image}: {answer.prediction.headline}")
        else:
            typer.echo(f"{answer.image}: {answer.error}", err=True)
    return good, total


def _print_csv(answers: Iterable[Answer]) -> tuple[int, int]:
    """The columns are those of ``--json``; nested values are written as JSON.

    The first prediction tells the columns: errors that come before it wait for it.
    """
    good = total = 0
    writer: csv.DictWriter[str] | None = None
    waiting: list[dict[str, Any]] = []
    for answer in answers:
        total += 1
        good += answer.prediction is not None
        waiting.append(answer.to_json())
        if writer is None and answer.prediction is not None:
            columns = ["image", *(name for name in waiting[-1] if name != "image"), "error"]
            writer = csv.DictWriter(sys.stdout, columns, restval="", lineterminator="\n")
            writer.writeheader()
        if writer is not None:
            for row in waiting:
                writer.writerow(
                    {k: json.dumps(v) if isinstance(v, dict | list) else v for k, v in row.items()}
                )
            waiting.clear()
    for row in waiting:
        typer.echo(f"{row['image']}: {row['error']}", err=True)
    return good, total
