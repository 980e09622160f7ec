"""``headstart cache``."""

from __future__ import annotations

import datetime as dt
import json
from typing import Annotated

import typer

from headstart import jobs
from headstart.config import sides_text
from headstart.data.cache import CachedStore, removed_text, size_text

EXAMPLES = """Examples:

  headstart cache

  headstart cache --cache-size 10GB

  headstart cache --clear

  headstart cache --json
"""


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("cache", epilog=EXAMPLES)(cache)


def cache(
    *,
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove all that is not in use, without asking.")
    ] = False,
    cache_size: Annotated[
        str | None,
        typer.Option(metavar="SIZE", help="Remove what was used longest ago, down to this size."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List what can be computed again, and remove it."""
    result = jobs.cache(clear=clear, cache_size=cache_size)
    if as_json:
        typer.echo(json.dumps(result.to_json(), ensure_ascii=False))
        return
    if clear or cache_size is not None:
        typer.echo(
            f"Removed {removed_text(result.removed)}" if result.removed else "Removed nothing"
        )
        for store in result.removed:
            typer.echo(f"  {_line(store)}")
    typer.echo(
        f"{result.folder}: {len(result.stores)} stores, {size_text(result.bytes)} of at most "
        f"{size_text(result.limit)}"
    )
    for store in result.stores:
        typer.echo(f"  {_line(store)}")


def _line(store: CachedStore) -> str:
    """The last use first, because the list is in its order."""
    used = dt.datetime.fromtimestamp(store.last_used).astimezone()
    count = "?" if store.arrays is None else f"{store.arrays:,}"
    return (
        f"{used:%Y-%m-%d %H:%M}  {size_text(store.bytes):>7}  {count:>9} arrays  "
        f"{store.kind:<8}  {_content(store) or store.path.name}{'  in use' * store.in_use}"
    )


def _content(store: CachedStore) -> str:
    found = store.description
    if "side" in found:
        return f"shorter side {found['side']} px"
    if {"backbone", "stage", "size", "engine"} <= found.keys():
        size = sides_text(found["size"])
        return f"{found['backbone']} before stage {found['stage']}, {size} px, {found['engine']}"
    return ""
