"""``headstart check``."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from headstart import jobs
from headstart.jobs.check_job import CheckResult
from headstart.progress import ConsoleProgress
from headstart.tasks.inspection import SEVERITIES

EXAMPLES = """Examples:

  headstart check photos/

  headstart check photos/ --page check.html

  headstart check photos/ --json --strict
"""

SHOWN = 3
"""Issues of a check that the terminal lists."""

SHOWN_PICTURES = 4
"""Names of one issue that the terminal lists."""

STRICT_STATUS = 1


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("check", epilog=EXAMPLES)(check)


def check(
    data: Annotated[Path, typer.Argument(help="Folder or CSV file with pictures.")],
    *,
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="Task; inferred when not given.")
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page that shows the pictures."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with status 1 when there are errors.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all issues as JSON.")] = False,
) -> None:
    """Look for what is wrong with pictures and labels; changes nothing."""
    result = jobs.check(data, task=task, progress=ConsoleProgress())
    if as_json:
        typer.echo(json.dumps(result.to_json(), ensure_ascii=False))
    else:
        typer.echo(_summary(result))
    if page is not None:
        written = result.write_page(page)
        typer.echo(f"Pictures: {written}", err=as_json)
    if strict and result.count("error"):
        raise typer.Exit(STRICT_STATUS)


def _summary(result: CheckResult) -> str:
    counts = {severity: result.count(severity) for severity in SEVERITIES}
    lines = [
        (
            f"{result.n_images} pictures: {counts['error']} errors, {counts['warning']} warnings, "
            f"{counts['info']} notes"
        )
    ]
    kinds = Counter((issue.severity, issue.check) for issue in result.issues)
    for (severity, name), count in kinds.items():
        lines.append(f"{severity:<8} {name}: {count}")
        chosen = [i for i in result.issues if (i.severity, i.check) == (severity, name)][:SHOWN]
        for issue in chosen:
            images = ", ".join(issue.images[:SHOWN_PICTURES])
            if len(issue.images) > SHOWN_PICTURES:
                images += f" and {len(issue.images) - SHOWN_PICTURES} more"
            lines.append(f"           {images}{': ' * bool(images)}{issue.message}")
        if count > SHOWN:
            lines.append(f"           and {count - SHOWN} more (--page FILE shows them)")
    lines += [f"skipped  {name}: {reason}" for name, reason in result.skipped.items()]
    return "\n".join(lines)
