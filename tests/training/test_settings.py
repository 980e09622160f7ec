"""What the person left open, and what does not go together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headstart import tasks
from headstart.config import TrainConfig
from headstart.errors import ConfigError
from headstart.tasks.points import PointSchema
from headstart.training.settings import settle
from headstart.types import Skeleton

POINTS = PointSchema(Skeleton(("nose", "chin")))


def settled(task: str, schema: Any, **settings: object) -> TrainConfig:
    config = TrainConfig.model_validate({"data": Path("photos"), **settings})
    return settle(config, tasks.learner(task), schema, [(480, 640)])


def test_everything_that_was_left_open_is_filled_in() -> None:
    config = settled("classification", None)
    assert config.image_size == (288, 288)
    assert (config.resize, config.augment, config.flip) == ("crop", "standard", "horizontal")
    assert config.dropout == 0.5
    kept = settled("classification", None, augment="strong", flip="none", batch_size=5, dropout=0)
    assert kept.dropout == 0
    assert (kept.augment, kept.flip, kept.batch_size) == ("strong", "none", 5)


@pytest.mark.parametrize(
    ("task", "schema", "settings", "said"),
    [
        ("classification", None, {"loss": "hinge"}, "--loss must be one of cross-entropy"),
        ("classification", None, {"cutmix": 1.0}, "--cutmix must be 0, got 1.0"),
        ("keypoints", POINTS, {"cutmix": 1.0, "strategy": "full"}, "--cutmix must be 0, got 1.0"),
        ("keypoints", POINTS, {"head": "mlp"}, "--head must be linear, got 'mlp'"),
        ("keypoints", POINTS, {"flip": "both"}, "--flip must be none, got 'both'"),
        (
            "classification",
            None,
            {"augment": "none", "views": 3},
            "--views must be 0 with --augment none, got 3",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(
    task: str, schema: Any, settings: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        settled(task, schema, **settings)
    assert any(problem.startswith(said) for problem in caught.value.problems)


def test_all_problems_are_said_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        settled("keypoints", POINTS, head="mlp", flip="both", loss="x", cutmix=1, augment="none")
    assert len(caught.value.problems) == 4


def test_cutmix_goes_with_full_training_of_whole_labels() -> None:
    assert settled("classification", None, cutmix=1.0, strategy="full").cutmix == 1.0
