"""Every verb explains itself."""

from __future__ import annotations

import pkgutil
import re

import pytest

import headstart
from headstart import cli, tasks
from headstart.cli.main import run

Captured = pytest.CaptureFixture[str]

VERBS = sorted(
    entry.name.replace("_", "-")
    for entry in pkgutil.iter_modules(cli.__path__)
    if entry.name in headstart.__all__
)


def output_of(capsys: Captured, *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        run(list(arguments))
    assert not caught.value.code
    return capsys.readouterr().out


def test_verbs_are_functions_of_the_package_of_the_same_name(capsys: Captured) -> None:
    assert len(VERBS) >= 8
    text = output_of(capsys, "--help")
    assert all(re.search(rf"^\s+{verb}\s", text, re.MULTILINE) for verb in VERBS)
    assert all(callable(getattr(headstart, verb.replace("-", "_"))) for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_an_example(verb: str, capsys: Captured) -> None:
    text = output_of(capsys, verb, "--help")
    assert text.startswith("Usage: ")
    _, _, examples = text.partition("Examples:")
    assert f"headstart {verb} " in examples


def test_train_has_the_promised_options(capsys: Captured) -> None:
    text = output_of(capsys, "train", "--help")
    promised = "task out backbone strategy epochs freeze-epochs lr batch-size image-size resize"
    promised += " cache-size split-stage views limit seed config resume json"
    missing = [name for name in promised.split() if f"--{name}" not in text]
    assert not missing
    assert all(name in text for name in tasks.task_names())


def test_predict_has_the_promised_options(capsys: Captured) -> None:
    text = output_of(capsys, "predict", "--help")
    assert all(option in text for option in ("--json", "--csv", "--top-k"))


def test_the_version_is_told(capsys: Captured) -> None:
    assert output_of(capsys, "--version") == f"headstart {headstart.__version__}\n"


def test_without_a_verb_the_help_is_shown(capsys: Captured) -> None:
    with pytest.raises(SystemExit) as caught:
        run([])
    assert caught.value.code == 0
    assert "train" in capsys.readouterr().out
