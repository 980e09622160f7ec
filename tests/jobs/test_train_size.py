"""One training run on views that are smaller than the input, trained once for this file."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import headstart
from headstart.config import train_config
from headstart.data.cache import list_stores
from headstart.errors import ConfigError
from headstart.jobs.train_job import TrainResult
from headstart.storage import cache_dir
from headstart.training import engines
from pictures import write_class_folders
from telling import Telling

SETTINGS: dict[str, Any] = {
    "image_size": 96,
    "train_size": 64,
    "batch_size": 16,
    "views": 1,
    "freeze_epochs": 1,
    "epochs": 2,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_class_folders(tmp_path_factory.mktemp("data") / "photos", 24)


@pytest.fixture(scope="module")
def result(data: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return headstart.train(data, out=tmp_path_factory.mktemp("runs") / "first", **SETTINGS)


def test_the_model_has_the_size_of_the_input(result: TrainResult) -> None:
    assert json.loads((result.model / "model.json").read_text())["input"]["size"] == [96, 96]
    config = train_config({}, result.run / "config.yaml")
    assert (config.image_size, config.train_size) == ((96, 96), (64, 64))


def test_the_state_is_chosen_by_what_it_scores_at_the_size_of_the_input(
    result: TrainResult, data: Path
) -> None:
    """The kept score of validation is that of the exported model on the files themselves."""
    with (result.run / "splits.csv").open(newline="") as file:
        val = {row["image"] for row in csv.DictReader(file) if row["split"] == "val"}
    found = headstart.predict(result.model, [data / name for name in sorted(val)])
    right = [a.prediction.to_json()["label"] in Path(a.image).parts for a in found]
    journal = [json.loads(t) for t in (result.run / "metrics.jsonl").read_text().splitlines()]
    kept = [line["val_metric"] for line in journal]
    assert len(right) == len(val) > 5
    score = sum(right) / len(right)
    assert min(abs(value - score) for value in kept) <= 1 / len(right) + 1e-9


def test_another_run_finds_the_views_of_both_sizes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    headstart.train(data, out=tmp_path / "first", **SETTINGS)
    views = [store for store in list_stores(cache_dir()) if store.kind == "views"]
    assert sorted(store.description["size"] for store in views) == [[64, 64], [96, 96]]
    assert not any(store.in_use for store in views)

    def refuse(*args: Any) -> None:
        pytest.fail("an engine was opened although every view is stored")

    monkeypatch.setattr(engines, "open_engine", refuse)
    told = Telling()
    headstart.train(data, out=tmp_path / "second", lr=1e-4, progress=told, **SETTINGS)
    assert "frozen part" not in told.bars
    assert any("training picture at 64x64 pixels of 96x96" in text for text in told.texts)


def test_a_run_end_to_end_makes_views_of_both_sizes(data: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, "strategy": "full", "epochs": 1, "limit": 30}
    run = headstart.train(data, out=tmp_path / "full", **settings)
    assert json.loads((run.model / "model.json").read_text())["input"]["size"] == [96, 96]
    plan = json.loads((run.run / "plan.json").read_text())
    assert (plan["train_size"], plan["image_size"]) == ([64, 64], [96, 96])


def test_a_batch_is_shown_as_training_sees_it(data: Path, tmp_path: Path) -> None:
    shown = [
        headstart.show(data, out=tmp_path / f"{size}.png", count=4, image_size=96, train_size=size)
        for size in (96, 64)
    ]
    assert shown[0].views == shown[1].views
    assert shown[0].out.read_bytes() != shown[1].out.read_bytes()


def test_a_rate_is_searched_for_on_smaller_views(data: Path) -> None:
    told = Telling()
    headstart.lr_find(data, progress=told, limit=30, **SETTINGS)
    assert any("training picture at 64x64 pixels of 96x96" in text for text in told.texts)


def test_views_that_are_larger_than_the_input_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--train-size must be at most the image size 64x64"):
        headstart.train(data, out=tmp_path / "run", image_size=64, train_size=96)
    assert not (tmp_path / "run").exists()
