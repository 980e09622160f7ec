"""``headstart collect``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from headstart import jobs
from headstart.cli.options import AsJson
from headstart.collecting.limits import Limits
from headstart.config import parse_bytes
from headstart.errors import ConfigError
from headstart.jobs.collect_job import CollectResult
from headstart.progress import ConsoleProgress

EXAMPLES = """Examples:

  headstart collect urls.csv --into photos/

  headstart collect cats.csv dogs.csv --into photos/ --contact me@example.org

  headstart collect urls.csv --into photos/ --per-host 1 --max-size 5MB

  headstart collect urls.csv --into photos/ --again --json

  headstart train photos/
"""

AFTER_STOP = "repeat the command, and it goes on: what is done is not fetched again"

SHOWN_ROWS = 20
"""Classes and reasons that the terminal lists; ``--json`` lists all."""

DEFAULTS = Limits()


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("collect", epilog=EXAMPLES)(collect)


def collect(
    urls: Annotated[
        list[Path],
        typer.Argument(help="Lists: url[,label,licence,source], or a URL a line for one class."),
    ],
    *,
    into: Annotated[Path, typer.Option(help="Folder to write, with one folder a class.")],
    contact: Annotated[
        str, typer.Option(help="Mail or page for whoever runs a server; in the User-Agent.")
    ] = DEFAULTS.contact,
    max_size: Annotated[str, typer.Option(metavar="SIZE", help="Refuse larger pictures.")] = "20MB",
    timeout: Annotated[
        float, typer.Option(help="Seconds to wait for a connection or the next bytes.")
    ] = DEFAULTS.timeout,
    retries: Annotated[
        int, typer.Option(help="Repetitions after a fault that may pass.")
    ] = DEFAULTS.retries,
    workers: Annotated[int, typer.Option(help="Downloads at a time.")] = DEFAULTS.workers,
    per_host: Annotated[
        int, typer.Option(help="Downloads at a time from one host.")
    ] = DEFAULTS.per_host,
    allow_private: Annotated[
        bool,
        typer.Option("--allow-private", help="Also ask hosts of the local net and this machine."),
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Ask also for what was refused before.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Download pictures from lists of URLs into class folders."""
    try:
        max_bytes = parse_bytes(max_size)
    except ValueError as error:
        raise ConfigError([f"--max-size {error}, got {max_size!r}"]) from error
    result = jobs.collect(
        list(urls),
        into,
        again=again,
        progress=ConsoleProgress(),
        contact=contact,
        max_bytes=max_bytes,
        timeout=timeout,
        retries=retries,
        workers=workers,
        per_host=per_host,
        allow_private=allow_private,
    )
    if as_json:
        typer.echo(json.dumps(result.to_json(), ensure_ascii=False))
        return
    for line in _lines(result):
        typer.echo(line)


def _lines(result: CollectResult) -> list[str]:
    counts = ", ".join(
        f"{result.count(status)} {word}"
        for status, word in (
            ("kept", "kept"),
            ("duplicate", "duplicates"),
            ("refused", "refused"),
            ("failed", "failed"),
        )
    )
    lines = [f"{len(result.outcomes)} URLs: {counts}"]
    lines += _table(result.classes)
    if result.reasons:
        lines += ["No picture because:", *_table(result.reasons)]
    lines += [f"Note: {note}." for note in result.notes]
    lines.append(f"Wrote {result.results}, one row a URL")
    if result.count("failed"):
        lines.append("The same command tries those that failed again.")
    if result.count("kept"):
        lines.append(f"Next: headstart check {result.into}, headstart train {result.into}")
    return lines


def _table(counts: dict[str, int]) -> list[str]:
    rows = [f"{count:>7,}  {name}" for name, count in counts.items()]
    more = len(rows) - SHOWN_ROWS
    return rows[:SHOWN_ROWS] + [f"         and {more} more"] * (more > 0)
