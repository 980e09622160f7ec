"""Every command line in the documentation is one that the program takes."""

from __future__ import annotations

import re
import shlex

import pytest
import typer

from docs.pages import ROOT, commands, pages
from headstart.cli.main import verb_modules


def problem_of(command: str) -> str:
    """What the real command line finds wrong with the words; empty when it takes them."""
    _, verb, *words = shlex.split(command)
    app = typer.Typer()
    for module in verb_modules().values():
        module.register(app)
    group = typer.main.get_command(app)
    found = getattr(group, "commands").get(verb)  # noqa: B009 - a group, whatever typer calls it
    if found is None:
        return f"no such command {verb}"
    try:
        found.make_context(verb, words)
    except Exception as error:  # noqa: BLE001 - typer's own kinds, which differ by version
        return f"{type(error).__name__}: {error}"
    return ""


def test_commands_parse() -> None:
    found = [(page, command) for page, text in pages().items() for command in commands(text)]
    # Names in capitals stand for what the reader puts there; `--help` would print.
    whole = [
        (page, c) for page, c in found if "VERB" not in c and "--help" not in c and "..." not in c
    ]
    assert len(whole) >= 20
    problems = {f"{page}: {c}": problem_of(c) for page, c in whole}
    assert not {where: problem for where, problem in problems.items() if problem}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("headstart tune photos/", "no such command"),
        ("headstart train photos/ --colour red", "--colour"),
        ("headstart train", "(?i)missing .*data"),
        ("headstart predict model a.jpg --top-k many", "BadParameter.*integer"),
    ],
)
def test_a_wrong_command_is_found(command: str, expected: str) -> None:
    assert re.search(expected, problem_of(command))


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    named = {
        name
        for text in pages().values()
        for name in re.findall(r"(?:`|^\$ )make ([a-z-]+)", text, flags=re.MULTILINE)
    }
    assert {"demo", "test"} <= named
    assert named <= targets


def test_named_files_of_the_repository_exist() -> None:
    named = {
        name
        for page, text in pages().items()
        if page != "CONTRIBUTING.md"
        for name in re.findall(r"\b(?:scripts|tests/architecture)/\w+\.py\b", text)
    }
    assert "scripts/leaves.py" in named
    assert not [name for name in named if not (ROOT / name).is_file()]
