"""One training run on sets of labels, with a stated aim. Trained once for this file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import headstart
from headstart.errors import ConfigError, HeadstartError
from headstart.jobs.train_job import TrainResult
from pictures import KINDS, write_label_table


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_label_table(tmp_path_factory.mktemp("data"), 90)


@pytest.fixture(scope="module")
def result(table: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    out = tmp_path_factory.mktemp("runs") / "labels"
    return headstart.train(table, out=out, image_size="64x128", epochs=4, views=2)


def test_labels_are_found_and_pictures_without_one_count(result: TrainResult) -> None:
    metrics = result.metrics["metrics"]
    assert result.metrics["task"] == "multilabel"
    assert next(iter(metrics)) == "map"
    assert metrics["map"]["value"] > metrics["map_chance"]["value"] + 0.15
    assert metrics["f1_macro"]["value"] > metrics["f1_macro_all_positive"]["value"]
    lines = [json.loads(t) for t in (result.run / "predictions.jsonl").read_text().splitlines()]
    assert len(lines) == result.metrics["n_images"]
    assert any(not line["target"]["labels"] for line in lines)


def test_every_class_has_a_threshold(result: TrainResult) -> None:
    found = json.loads((result.model / "model.json").read_text())["calibration"]
    assert found.keys() == {f"threshold/{kind}" for kind in KINDS}
    assert all(0 < value < 1 for value in found.values())


def test_an_aim_that_cannot_be_read_is_refused_before_the_work(table: Path, tmp_path: Path) -> None:
    for aim in ("f2", "precision", "recall>=2", "precision>=0.9x"):
        with pytest.raises(ConfigError, match="threshold-aim"):
            headstart.train(table, out=tmp_path / "run", threshold_aim=aim)
    assert not (tmp_path / "run").exists()


def test_a_loss_of_another_task_is_refused(table: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--loss must be one of bce, asymmetric, got 'focal'"):
        headstart.train(table, out=tmp_path / "run", loss="focal")


def test_drawn_pictures_never_replace_the_originals(
    result: TrainResult, table: Path, tmp_path: Path
) -> None:
    pictures = sorted(table.parent.glob("*.png"))[:2]
    before = [path.read_bytes() for path in pictures]
    with pytest.raises(HeadstartError, match="another folder"):
        list(headstart.predict(result.model, pictures, draw=table.parent))
    assert [path.read_bytes() for path in pictures] == before
    answers = list(headstart.predict(result.model, pictures, draw=tmp_path / "drawn"))
    assert [Path(a.drawn[0]).name for a in answers] == ["000.png", "001.png"]


def test_full_training_runs_end_to_end(table: Path, tmp_path: Path) -> None:
    found = headstart.train(
        table, out=tmp_path / "full", image_size=64, strategy="full", epochs=1, limit=24
    )
    plan = json.loads((found.run / "plan.json").read_text())
    assert (plan["strategy"], plan["split_stage"], plan["store_bytes"]) == ("full", 0, 0)
    assert found.metrics["strategy"] == "full"
    assert "map" in found.metrics["metrics"]
