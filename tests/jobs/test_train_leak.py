"""A given split that leaks: refused, and measured where the person wants it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import headstart
from headstart.errors import DataError
from headstart.jobs.train_job import TrainResult
from pictures import write_split_folders
from telling import Telling

SETTINGS: dict[str, Any] = {
    "image_size": 64,
    "batch_size": 16,
    "views": 0,
    "freeze_epochs": 1,
    "strategy": "features",
}
COPIES = 4


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data") / "pictures"
    write_split_folders(root, {"train": 12, "val": 4, "test": 6})
    for at in range(COPIES):
        shutil.copy(root / f"test/disc/00{at}.png", root / f"train/disc/copy{at}.png")
    return root


@pytest.fixture(scope="module")
def told() -> Telling:
    return Telling()


@pytest.fixture(scope="module")
def result(data: Path, told: Telling, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    out = tmp_path_factory.mktemp("runs") / "leaking"
    return headstart.train(data, out=out, progress=told, allow_leak=True, **SETTINGS)


def test_a_leaking_split_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(
        DataError,
        match=r"the given split leaks: train/disc/copy0\.png is the same file as "
        r"test/disc/000\.png in test; .* and 1 more\. .*`headstart split .* --out splits\.csv`",
    ):
        headstart.train(data, out=tmp_path / "run", **SETTINGS)
    assert not (tmp_path / "run").exists()


def test_the_leak_is_measured(result: TrainResult, told: Telling) -> None:
    leak = result.metrics["leak"]
    assert leak["n_leaked"] == COPIES
    assert leak["n_images"] == 18 - COPIES
    assert result.metrics["n_images"] == 18
    assert leak["metrics"].keys() == result.metrics["metrics"].keys()
    rows = (result.run / "splits.csv").read_text(encoding="utf-8")
    assert "train/disc/copy0.png" in rows
    text = f"{COPIES} of 18 test pictures have a copy, or a picture of their group, in training"
    assert text in told.texts[-1]
    report = json.loads((result.run / "report.json").read_text(encoding="utf-8"))
    assert report["findings"][0]["title"] == "The split leaks"
    assert report["findings"][0]["rows"][0][0] == "accuracy"
    assert text in (result.run / "report.html").read_text(encoding="utf-8")


def test_the_score_without_the_leak_is_that_of_the_other_pictures(
    result: TrainResult, data: Path
) -> None:
    lines = (result.run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    answers = [json.loads(line) for line in lines]
    names = {f"test/disc/00{at}.png" for at in range(COPIES)}
    right = [a["label"] == a["target"] for a in answers if a["image"] not in names]
    assert len(right) == 18 - COPIES
    found = result.metrics["leak"]["metrics"]["accuracy"]["value"]
    assert found == pytest.approx(sum(right) / len(right))


def test_a_table_of_sides_is_taken(data: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("mended")
    headstart.split(data, out=folder / "splits.csv")
    found = headstart.train(data, out=folder / "run", splits=str(folder / "splits.csv"), **SETTINGS)
    assert "leak" not in found.metrics
    assert found.metrics["n_images"] == 18
    sides = (folder / "run" / "splits.csv").read_text(encoding="utf-8")
    assert "copy0.png" not in sides
