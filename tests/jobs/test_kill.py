"""``kill -9`` at three moments: the resumed run ends as one that was left alone, bit for bit.

The run that was left alone had no network; its model then predicts and evaluates without one.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.processes import WITHOUT_NETWORK, headstart
from pictures import write_class_folders

OPTIONS = (
    *("--image-size", "64", "--views", "3", "--batch-size", "16"),
    *("--freeze-epochs", "2", "--epochs", "4"),
)
PATIENCE = 120.0
"""Seconds that a moment may take to come."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_class_folders(tmp_path_factory.mktemp("data") / "photos", 34)


def environment(folder: Path) -> dict[str, str]:
    """Cache and ledger of its own: a run must not find the views of another one."""
    return {
        "HEADSTART_CACHE": str(folder / "own-cache"),
        "HEADSTART_STATE": str(folder / "own-state"),
    }


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a run that nobody disturbed and that had no network."""
    folder = tmp_path_factory.mktemp("alone")
    found = headstart(
        *("train", data, *OPTIONS, "--json"),
        forbid=WITHOUT_NETWORK,
        cwd=folder,
        environment=environment(folder),
    )
    assert found.returncode == 0, found.stderr
    printed = json.loads(found.stdout)
    run = folder / "runs" / "photos"
    assert folder / printed["run"] == run
    assert printed["metrics"] == json.loads((run / "metrics.json").read_text())["metrics"]
    assert "Plan (finetune)" in found.stderr
    return run


def kill_when(moment: Callable[[], bool], data: Path, folder: Path, *more: str) -> None:
    """Starts training and ends it by SIGKILL as soon as the moment has come."""
    command = [sys.executable, "-m", "headstart", "train", str(data), *OPTIONS, *more]
    log = (folder / "log.txt").open("a+")
    with (
        log,
        subprocess.Popen(
            [*command, "--out", "run"],
            cwd=folder,
            env={**os.environ, **environment(folder)},
            stdout=log,
            stderr=log,
        ) as process,
    ):
        end = time.monotonic() + PATIENCE
        try:
            while not moment():
                assert process.poll() is None, (folder / "log.txt").read_text()
                assert time.monotonic() < end, (folder / "log.txt").read_text()
                time.sleep(0.002)
        finally:
            process.kill()
        assert process.wait() == -signal.SIGKILL, (folder / "log.txt").read_text()


def scores(run: Path) -> Any:
    found = json.loads((run / "metrics.json").read_text())
    return {key: found[key] for key in ("task", "n_images", "metrics", "out_of_fold")}


def test_three_kills_change_nothing(data: Path, alone: Path, tmp_path: Path) -> None:
    run, cache = tmp_path / "run", tmp_path / "own-cache"
    kill_when((run / "config.yaml").exists, data, tmp_path)
    assert not (run / "metrics.jsonl").exists()
    # The folder appears with the first chunk of views; more chunks or the training are to come.
    kill_when(lambda: bool(list(cache.glob("views-*"))), data, tmp_path, "--resume")
    assert not (run / "checkpoints" / "finetune-last.ckpt").exists()
    kill_when((run / "checkpoints" / "finetune-last.ckpt").exists, data, tmp_path, "--resume")
    assert not (run / "metrics.json").exists()
    found = headstart(
        *("train", data, *OPTIONS, "--out", "run", "--resume"),
        cwd=tmp_path,
        environment=environment(tmp_path),
    )
    assert found.returncode == 0, found.stderr
    assert scores(run) == scores(alone)
    for name in ("splits.csv", "metrics.jsonl", "predictions.jsonl", "model/weights.safetensors"):
        assert (run / name).read_bytes() == (alone / name).read_bytes(), name
    assert json.loads((run / "report.json").read_text())["test_openings"] == 1
    journal = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    epochs = [(line["phase"], line["epoch"]) for line in journal]
    assert epochs == [("head", 0), ("head", 1), *(("finetune", at) for at in range(4))]


def test_predict_and_evaluate_need_no_network(data: Path, alone: Path, tmp_path: Path) -> None:
    def run(*arguments: object) -> str:
        found = headstart(
            *arguments, forbid=WITHOUT_NETWORK, cwd=tmp_path, environment=environment(tmp_path)
        )
        assert found.returncode == 0, found.stderr
        return found.stdout

    lines = run("predict", alone / "model", data / "disc", "--json").splitlines()
    assert len(lines) == 34
    assert all("label" in json.loads(line) for line in lines)
    result = json.loads(run("evaluate", alone / "model", data, "--json"))
    expected = json.loads((alone / "metrics.json").read_text())
    assert result["n_images"] == expected["n_images"]
    assert result["n_seen"] == 3 * 34 - expected["n_images"]
    assert result["metrics"] == expected["metrics"]


def test_the_network_is_really_forbidden(tmp_path: Path) -> None:
    """The watch ends a process that opens a connection, whatever the process catches."""
    attempt = """
import socket
try:
    socket.create_connection(("192.0.2.1", 9), timeout=1)
except BaseException:
    pass
"""
    found = subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORK + attempt],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert found.returncode == 97
    assert found.stderr.startswith("the network was used: socket.")
