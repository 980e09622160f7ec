"""What the person left open, and what does not go together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headstart import tasks
from headstart.config import TrainConfig
from headstart.errors import ConfigError
from headstart.tasks.multilabel.parsing import LabelSchema
from headstart.tasks.points import PointSchema
from headstart.training.settings import settle, suit_backbones
from headstart.types import Size, Skeleton

LABELS = LabelSchema(("ant", "bee"))
POINTS = PointSchema(Skeleton(("nose", "chin")))


def settled(task: str, schema: Any, **settings: object) -> TrainConfig:
    config = TrainConfig.model_validate({"data": Path("photos"), **settings})
    return settle(config, tasks.learner(task), schema, [(480, 640)])


def test_everything_that_was_left_open_is_filled_in() -> None:
    config = settled("classification", None)
    assert config.image_size == (288, 288)
    assert (config.resize, config.augment, config.flip) == ("crop", "standard", "horizontal")
    assert config.dropout == 0.5
    assert config.head == "linear"
    kept = settled("classification", None, augment="strong", flip="none", batch_size=5, dropout=0)
    assert kept.dropout == 0
    assert (kept.augment, kept.flip, kept.batch_size) == ("strong", "none", 5)


@pytest.mark.parametrize(
    ("tta", "given", "flip"),
    [
        ("horizontal", {}, "horizontal"),
        ("horizontal", {"flip": "both"}, "both"),
        ("both", {}, "both"),
        ("none", {"flip": "none"}, "none"),
    ],
)
def test_what_is_asked_in_a_mirror_is_trained_there(
    tta: str, given: dict[str, str], flip: str
) -> None:
    config = settled("classification", None, tta=tta, **given)
    assert (config.tta, config.flip) == (tta, flip)


@pytest.mark.parametrize(
    ("task", "schema", "settings", "said"),
    [
        ("classification", None, {"loss": "hinge"}, "--loss must be one of cross-entropy"),
        ("classification", None, {"cutmix": 1.0}, "--cutmix must be 0, got 1.0"),
        ("keypoints", POINTS, {"cutmix": 1.0, "strategy": "full"}, "--cutmix must be 0, got 1.0"),
        ("keypoints", POINTS, {"head": "mlp"}, "--head must be linear, got 'mlp'"),
        (
            "classification",
            None,
            {"head": "lse"},
            "--head must be linear or stats or mlp, got 'lse'",
        ),
        ("keypoints", POINTS, {"flip": "both"}, "--flip must be none, got 'both'"),
        ("keypoints", POINTS, {"tta": "horizontal"}, "--tta must be none, got 'horizontal'"),
        (
            "classification",
            None,
            {"tta": "both", "flip": "horizontal"},
            "--flip must be both with --tta both, got 'horizontal'",
        ),
        (
            "classification",
            None,
            {"tta": "horizontal", "flip": "none"},
            "--flip must be horizontal with --tta horizontal, got 'none'",
        ),
        ("keypoints", POINTS, {"backbone": "a,b"}, "--backbone must be one network, got 'a,b'"),
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


def test_the_size_of_several_backbones_wins_over_the_tasks_and_loses_to_the_persons() -> None:
    learner = tasks.learner("classification")
    config = TrainConfig(data=Path("photos"), backbone="a,b")
    assert settle(config, learner, None, [(480, 640)], (299, 299)).image_size == (299, 299)
    asked = config.model_copy(update={"image_size": (96, 128)})
    assert settle(asked, learner, None, [(480, 640)], (299, 299)).image_size == (96, 128)


def test_a_size_that_follows_the_pictures_stays_within_the_tasks_limit() -> None:
    learner = tasks.learner("segmentation")
    config = TrainConfig(data=Path("photos"))
    limit = learner.defaults(None).max_pixels
    for size, expected in (
        ((96, 128), (96, 128)),
        ((480, 640), (352, 480)),
        ((90, 700), (96, 704)),
    ):
        found = settle(config, learner, None, [size]).image_size
        assert found == expected
        assert found[0] * found[1] <= limit


@pytest.mark.parametrize(
    ("given", "train_size"),
    [
        ({}, (288, 288)),
        ({"image_size": "240x320"}, (240, 320)),
        ({"train_size": 256}, (256, 256)),
        ({"train_size": 288}, (288, 288)),
        # Both sides are rounded to steps of 32.
        ({"image_size": "240x320", "train_size": "224x288"}, (224, 288)),
        ({"image_size": "480x640", "train_size": "352x480"}, (352, 480)),
    ],
)
def test_views_for_training_are_as_large_as_the_input_unless_smaller_ones_are_asked_for(
    given: dict[str, Any], train_size: Size
) -> None:
    assert settled("classification", None, **given).train_size == train_size


@pytest.mark.parametrize(
    ("image_size", "train_size"),
    [("288", "320"), ("240x320", "240x321"), ("240x320", "160"), ("320x240", "240x320")],
)
def test_views_for_training_fit_into_the_input(image_size: str, train_size: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settled("classification", None, image_size=image_size, train_size=train_size)
    (problem,) = caught.value.problems
    (height, width), (shown, other) = (
        (size.split("x") * 2)[:2] for size in (image_size, train_size)
    )
    assert problem == (
        f"--train-size must be at most the image size {height}x{width} and have its shape, "
        f"got {shown}x{other}"
    )


def test_some_tasks_enlarge_small_pictures() -> None:
    learner = tasks.learner("multilabel")
    config = TrainConfig(data=Path("photos"))
    expected = {(80, 80): (96, 96), (360, 480): (416, 544), (128, 256): (160, 320)}
    for size, fitting in expected.items():
        assert settle(config, learner, LABELS, [size]).image_size == fitting


def test_several_backbones_have_two_strategies() -> None:
    config = TrainConfig(data=Path("photos"), backbone="a , b")
    assert config.backbones == ("a", "b")
    assert suit_backbones(config).strategy == "features"
    full = TrainConfig(data=Path("photos"), backbone="a,b", strategy="full")
    assert suit_backbones(full) == full
    one = TrainConfig(data=Path("photos"), backbone="a")
    assert suit_backbones(one).strategy == "finetune"
    asked = TrainConfig(data=Path("photos"), backbone="a,b", strategy="finetune")
    with pytest.raises(ConfigError, match=r"--strategy must be features or full .*'finetune'"):
        suit_backbones(asked)
