"""No verb uses the network unless it was asked for: each runs in a process without one."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import headstart as package
from cli.processes import WITHOUT_NETWORK, headstart
from headstart.cli.main import verb_modules
from pictures import write_class_folders

USED = 97
"""Status of a process that touched the network."""

Arguments = Callable[[Path, Path, Path], Sequence[object]]

SMALL = ("--image-size", "64", "--views", "1", "--epochs", "1", "--freeze-epochs", "1")

# Data, model and a new folder become the arguments: a new verb adds its line.
VERBS: dict[str, Arguments] = {
    "augment": lambda data, model, new: (data, "--into", new, "--times", "1"),
    "cache": lambda data, model, new: (),
    "check": lambda data, model, new: (data, "--page", new / "check.html"),
    "convert": lambda data, model, new: (data, "--to", "coco", "--into", new),
    "evaluate": lambda data, model, new: (model, data),
    "export": lambda data, model, new: (model, "--to", "onnx", "--data", data, "--out", new),
    "lr-find": lambda data, model, new: (data, "--image-size", "64"),
    "predict": lambda data, model, new: (model, data),
    "show": lambda data, model, new: (data, "--out", new / "batch.png", "--image-size", "64"),
    "split": lambda data, model, new: (data, "--out", new / "splits.csv"),
    "train": lambda data, model, new: (data, "--out", new / "run", *SMALL),
}

ASKS_FOR_IT = {"collect": lambda data, model, new: ("urls.csv", "--into", new)}
"""Verbs whose work is on the network."""


def run(folder: Path, verb: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    own = {f"HEADSTART_{name}": str(folder / name.lower()) for name in ("CACHE", "STATE")}
    return headstart(verb, *arguments, forbid=WITHOUT_NETWORK, cwd=folder, environment=own)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_class_folders(tmp_path_factory.mktemp("network") / "photos", 12)


@pytest.fixture(scope="module")
def model(data: Path) -> Path:
    found = run(data.parent, "train", data, "--out", "run", *SMALL)
    assert found.returncode == 0, found.stderr
    return data.parent / "run/model"


def test_every_verb_is_here() -> None:
    assert set(verb_modules()) == {*VERBS, *ASKS_FOR_IT}
    assert {verb.replace("-", "_") for verb in verb_modules()} <= set(package.__all__)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_verb_ends_well_without_a_network(
    verb: str, data: Path, model: Path, tmp_path: Path
) -> None:
    found = run(data.parent, verb, *VERBS[verb](data, model, tmp_path / "new"))
    assert found.returncode == 0, found.stderr
    assert "the network was used" not in found.stderr


@pytest.mark.parametrize("verb", sorted(ASKS_FOR_IT))
def test_what_asks_for_the_network_is_seen_to(verb: str, tmp_path: Path) -> None:
    (tmp_path / "urls.csv").write_text("url\nhttp://127.0.0.1:9/a.jpg\n", encoding="utf-8")
    arguments = (*ASKS_FOR_IT[verb](tmp_path, tmp_path, tmp_path / "new"), "--allow-private")
    found = run(tmp_path, verb, *arguments)
    assert found.returncode == USED, found.stderr
