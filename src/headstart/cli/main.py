"""``headstart``: collects the verbs and turns errors into exit statuses."""

from __future__ import annotations

import gc
import importlib
import pkgutil
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType
from typing import Annotated

import typer

from headstart import __version__, cli
from headstart.errors import HeadstartError

USERS_MISTAKE = 2
OUR_DEFECT = 1
INTERRUPTED = 130
"""What typer returns after Ctrl-C, as shells do."""

COLLECT_AFTER = (100_000, 50, 50)
"""Thresholds of Python's garbage collection. Importing torch and converting a network make millions
of objects that stay: with the usual thresholds, looking through them over and over took a fifth of
the time of both."""

app = typer.Typer(
    name="headstart",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="From a folder of pictures to a tested model.",
    epilog="Start with: headstart train photos/   (folders named after the classes)",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"headstart {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Options of all verbs."""


def verb_modules() -> dict[str, ModuleType]:
    """Every module of this package with a function ``register`` is a verb, by the verb's name."""
    names = [entry.name for entry in pkgutil.iter_modules(cli.__path__)]
    modules = {name: importlib.import_module(f"{cli.__name__}.{name}") for name in names}
    return {
        name.replace("_", "-"): module
        for name, module in modules.items()
        if hasattr(module, "register")
    }


def run(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits: 0 done, 2 a user's mistake, 1 a defect of headstart."""
    gc.set_threshold(*COLLECT_AFTER)
    for module in verb_modules().values():
        module.register(app)
    given = sys.argv[1:] if arguments is None else arguments
    try:
        status = app(given or ["--help"], standalone_mode=False)
    except typer.TyperException as error:
        _fail(error.format_message())
    except HeadstartError as error:
        _fail(str(error))
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does: nothing is wrong.
        sys.stderr.close()
        sys.exit(0)
    except Exception:  # noqa: BLE001 - whatever else happens is ours, and says so
        traceback.print_exc()
        typer.echo("this is a defect of headstart: please report it with the lines above", err=True)
        sys.exit(OUR_DEFECT)
    if status == INTERRUPTED:
        typer.echo(_stopped(given), err=True)
    sys.exit(status if isinstance(status, int) else 0)


def _stopped(given: Sequence[str]) -> str:
    """How the verb goes on, as its module says; not every verb can."""
    verb = next((text for text in given if not text.startswith("-")), "main")
    name = f"{cli.__name__}.{verb.replace('-', '_')}"
    advice = getattr(sys.modules.get(name), "AFTER_STOP", "start it again")
    return f"stopped: {advice}"


def _fail(message: str) -> None:
    typer.echo(f"headstart: {' '.join(message.split())}", err=True)
    sys.exit(USERS_MISTAKE)
