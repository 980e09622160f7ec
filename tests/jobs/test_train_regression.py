"""One training run on a table of numbers, with the head alone. Trained once for this file."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import headstart
from headstart.jobs.train_job import TrainResult
from pictures import make_grey, write_number_table


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_number_table(tmp_path_factory.mktemp("data"), 90)


@pytest.fixture(scope="module")
def result(table: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    out = tmp_path_factory.mktemp("runs") / "numbers"
    return headstart.train(
        table, out=out, image_size=64, strategy="features", freeze_epochs=4, views=1
    )


def test_the_error_is_below_the_best_constants(result: TrainResult) -> None:
    metrics = result.metrics["metrics"]
    assert next(iter(metrics)) == "mae"
    assert metrics["mae"]["value"] < 0.5 * metrics["mae_best_constant"]["value"]
    assert metrics["mae"]["better"] == "lower"
    assert metrics["r2"]["value"] > 0.5
    assert result.metrics["task"] == "regression"
    assert result.metrics["out_of_fold"]["mae"]["value"] < metrics["mae_best_constant"]["value"]


def test_the_strategy_features_has_one_phase(result: TrainResult) -> None:
    assert result.metrics["strategy"] == "features"
    lines = [json.loads(t) for t in (result.run / "metrics.jsonl").read_text().splitlines()]
    assert [(line["phase"], line["epoch"]) for line in lines] == [("head", at) for at in range(4)]
    plan = json.loads((result.run / "plan.json").read_text())
    assert plan["split_stage"] == plan["n_stages"]
    assert plan["epochs"] == 0


def test_brighter_pictures_get_larger_numbers(result: TrainResult) -> None:
    model = headstart.load_model(result.model)
    answers = [model.predict(make_grey(value, 777)).to_json() for value in (0.2, 0.5, 0.8)]
    assert all(answer["label"] == "brightness" for answer in answers)
    values = [answer["value"] for answer in answers]
    assert values == sorted(values)
    assert values == pytest.approx([0.2, 0.5, 0.8], abs=0.25)


def test_evaluate_scores_the_table(result: TrainResult, table: Path) -> None:
    """The same pictures through the same file: the same score."""
    found = headstart.evaluate(result.model, table)
    assert found.n_images == result.metrics["n_images"]
    assert found.n_images + found.n_seen == 90
    assert found.to_json()["metrics"] == result.metrics["metrics"]


def test_a_features_run_is_resumed_as_such(result: TrainResult, table: Path) -> None:
    again = headstart.train(table, out=result.run, resume=True, strategy="features")
    assert again.metrics == result.metrics


def test_golden_examples_are_in_the_unit_of_the_targets(result: TrainResult) -> None:
    content = json.loads((result.model / "golden" / "expected.json").read_text())
    values = [example["outputs"]["values"][0] for example in content["examples"]]
    assert len(values) == 3
    assert np.all(np.array(values) > -0.2)
    assert np.all(np.array(values) < 1.2)
