"""Runs with the head of statistics, which is solved and not trained where it is alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import headstart
from headstart.errors import ConfigError
from headstart.exporting.rebuild import rebuild
from headstart.jobs.train_job import TrainResult
from headstart.runtime.model_folder import read_description
from headstart.runtime.predictor import load_input
from headstart.storage import read_json
from pictures import KINDS, write_class_folders

LESS: dict[str, Any] = {"image_size": 64, "batch_size": 12, "views": 1}

SETTINGS: dict[str, Any] = {**LESS, "head": "stats"}


def own_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """A loss of the person's own."""
    return torch.nn.functional.cross_entropy(outputs, targets)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_class_folders(tmp_path_factory.mktemp("data") / "photos", 20)


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    out = tmp_path_factory.mktemp("runs") / "run"
    return headstart.train(data, out=out, strategy="features", **SETTINGS)


def probabilities(result: TrainResult, pictures: Sequence[Path]) -> list[dict[str, float]]:
    """What the network says that the tensors of the model folder make, in torch."""
    described = read_description(result.model)
    network = rebuild(result.model, described)
    pixels = np.stack([load_input(path, described.preprocess)[0] for path in pictures])
    with torch.inference_mode():
        found = network(torch.from_numpy(pixels))[0].numpy()
    return [dict(zip(sorted(KINDS), row.tolist(), strict=True)) for row in found]


def check(result: TrainResult, data: Path) -> None:
    """The exported model answers as the rebuilt network does."""
    assert read_description(result.model).head == "stats"
    pictures = [next((data / kind).iterdir()) for kind in KINDS]
    answers = [found.prediction.to_json() for found in headstart.predict(result.model, pictures)]
    for answer, wanted in zip(answers, probabilities(result, pictures), strict=True):
        assert answer["scores"] == pytest.approx(wanted, abs=1e-3)


def weights_of(result: TrainResult) -> tuple[int, ...]:
    state = load_file(result.model / "weights.safetensors")
    return tuple(state["head.predict.1.weight"].shape)


def test_it_learns_without_epochs(alone: TrainResult, data: Path) -> None:
    assert read_json(alone.run / "plan.json")["freeze_epochs"] == 0
    assert alone.metrics["metrics"]["accuracy"]["value"] > 0.6
    assert read_json(alone.run / "report.json")["epochs"] == []
    assert not (alone.run / "metrics.jsonl").exists()
    assert weights_of(alone) == (len(KINDS), 2 * (192 + 320 + 1280))
    check(alone, data)


def test_a_later_run_keeps_and_trains_its_head(alone: TrainResult, tmp_path: Path) -> None:
    more = write_class_folders(tmp_path / "more", 12, first_seed=500)
    later = headstart.train(
        more, out=tmp_path / "run", start_from=alone.model, strategy="features", **LESS
    )
    assert read_description(later.model).head == "stats"
    assert read_json(later.run / "plan.json")["freeze_epochs"] > 0


def test_the_last_stages_train_from_it(data: Path, tmp_path: Path) -> None:
    result = headstart.train(data, out=tmp_path / "run", epochs=1, **SETTINGS)
    plan = read_json(result.run / "plan.json")
    assert (plan["freeze_epochs"], plan["epochs"]) == (0, 1)
    check(result, data)


def test_two_backbones_and_a_run_that_goes_on_from_them(data: Path, tmp_path: Path) -> None:
    pair = "efficientnet_lite0,efficientnet_lite1"
    first = headstart.train(data, out=tmp_path / "first", backbone=pair, **SETTINGS)
    assert weights_of(first) == (len(KINDS), 2 * 2 * (192 + 320 + 1280))
    check(first, data)
    more = write_class_folders(tmp_path / "more", 12, first_seed=500)
    later = headstart.train(more, out=tmp_path / "later", start_from=first.model, **LESS)
    assert weights_of(later) == weights_of(first)
    check(later, data)


@pytest.mark.parametrize(
    "asked",
    [
        {"sampler": "balanced"},
        {"mixup": 0.2},
        {"label_smoothing": 0.0},
        {"dropout": 0.1},
        {"loss_function": own_loss},
    ],
    ids=lambda asked: next(iter(asked)),
)
def test_what_a_solution_leaves_out_is_trained(
    data: Path, tmp_path: Path, asked: dict[str, Any]
) -> None:
    run = headstart.train(data, out=tmp_path / "run", strategy="features", **SETTINGS, **asked).run
    assert read_json(run / "plan.json")["freeze_epochs"] > 0


def test_no_rate_is_looked_for_where_nothing_trains(data: Path) -> None:
    with pytest.raises(ConfigError, match="no learning rate is needed"):
        headstart.lr_find(data, strategy="features", **SETTINGS)
    found = headstart.lr_find(data, strategy="features", freeze_epochs=2, **SETTINGS)
    assert found.setting == "head_lr"


def test_a_head_that_nothing_would_train_is_refused(data: Path, tmp_path: Path) -> None:
    given = {**SETTINGS, "head": "mlp", "freeze_epochs": 0}
    with pytest.raises(ConfigError, match="--freeze-epochs must be at least 1"):
        headstart.train(data, out=tmp_path / "run", strategy="features", **given)
