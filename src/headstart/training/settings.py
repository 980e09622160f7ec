"""Fills in what the person left open, from the task's defaults and the pictures' sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from headstart.config import MIN_SIDE, TrainConfig, sides_text
from headstart.errors import ConfigError
from headstart.tasks.learning import TaskDefaults
from headstart.tasks.protocol import TaskLearner
from headstart.types import Size

Value = TypeVar("Value")

STEP = 32
"""Sides that are multiples of it lose nothing at the borders of the smallest feature map."""


def suit_backbones(config: TrainConfig) -> TrainConfig:
    """The configuration with a strategy that its backbones can have.

    Several have no stage in common at which they could be split: without a strategy it is
    ``features``.

    Raises:
        ConfigError: the strategy needs such a stage.
    """
    if len(config.backbones) == 1:
        return config
    if "strategy" not in config.model_fields_set:
        return config.model_copy(update={"strategy": "features"})
    if config.strategy == "finetune":
        problem = (
            "--strategy must be features or full with several backbones, got 'finetune': they "
            "have no stage in common at which they could be split"
        )
        raise ConfigError([problem])
    return config


def settle(
    config: TrainConfig,
    learner: TaskLearner,
    schema: Any,
    sizes: Sequence[Size],
    size: Size | None = None,
) -> TrainConfig:
    """The configuration with everything that has to be known before the pictures are decoded.

    Args:
        config: as the person gave it.
        learner: of the task.
        schema: of the training data.
        sizes: (height, width) of some of the pictures in pixels.
        size: (height, width) that the backbone asks for in pixels; None leaves it to the task.

    Raises:
        ConfigError: the task has no such loss, its pictures cannot be mirrored, it needs one
            backbone, or views for training are larger than the input or of another shape.
    """
    defaults = learner.defaults(schema)
    image_size = config.image_size or size or defaults.image_size or fitting_size(sizes, defaults)
    problems = [
        *_problems(config, learner, schema, defaults),
        *_size_problems(config.train_size, image_size),
    ]
    if problems:
        raise ConfigError(problems)
    found = {
        "loss": learner.losses[0],
        "image_size": image_size,
        "train_size": image_size,
        "resize": defaults.resize,
        "batch_size": defaults.batch_size,
        "lr": defaults.lr,
        "label_smoothing": defaults.label_smoothing,
        "head": defaults.heads[0],
        "dropout": defaults.dropout,
        "augment": defaults.augment,
        "flip": _flip(config, defaults),
    }
    return config.model_copy(
        update={name: value for name, value in found.items() if getattr(config, name) is None}
    )


def asks_for_epochs(config: TrainConfig, learner: TaskLearner, schema: Any) -> bool:
    """Whether a settled configuration has something that solving a convex head leaves out."""
    defaults = learner.defaults(schema)
    return (
        config.loss != learner.losses[0]
        or config.label_smoothing != defaults.label_smoothing
        or config.dropout != defaults.dropout
        or config.mixup > 0
        or config.sampler != "uniform"
    )


def _flip(config: TrainConfig, defaults: TaskDefaults) -> str:
    """Mirror images that are trained with: at least those that the model is to answer for."""
    usual = "horizontal" if defaults.may_mirror else "none"
    return "both" if config.tta == "both" else usual


def _problems(
    config: TrainConfig, learner: TaskLearner, schema: Any, defaults: TaskDefaults
) -> list[str]:
    problems = []
    if config.loss is not None and config.loss not in learner.losses:
        problems.append(f"--loss must be one of {', '.join(learner.losses)}, got {config.loss!r}")
    if len(config.backbones) > 1 and not defaults.pooled:
        problems.append(
            f"--backbone must be one network, got {config.backbone!r}: this task's head needs to "
            "know where things are, and what several give is pooled over the picture"
        )
    if config.head is not None and config.head not in defaults.heads:
        problems.append(f"--head must be {' or '.join(defaults.heads)}, got {config.head!r}")
    if config.cutmix and (config.strategy != "full" or learner.moves(schema)):
        problems.append(
            f"--cutmix must be 0, got {config.cutmix}: it cuts pictures, which needs --strategy "
            "full and targets that belong to whole pictures (--mixup works everywhere)"
        )
    if config.augment == "none" and config.views:
        problems.append(f"--views must be 0 with --augment none, got {config.views}")
    if config.flip not in (None, "none") and not defaults.may_mirror:
        problems.append(
            f"--flip must be none, got {config.flip!r}: which points change places in a mirrored "
            "picture is not known (flip_pairs in dataset.yaml says it)"
        )
    if config.tta != "none" and learner.moves(schema):
        problems.append(
            f"--tta must be none, got {config.tta!r}: the mean over mirror images needs targets "
            "that belong to whole pictures"
        )
    elif config.tta != "none" and config.flip not in (None, "both", config.tta):
        problems.append(
            f"--flip must be {config.tta} with --tta {config.tta}, got {config.flip!r}: what is "
            "not the same in a mirror cannot be asked there"
        )
    return problems


def _size_problems(train_size: Size | None, image_size: Size) -> list[str]:
    """Views are cut out of pictures that are decoded for the input, and boxes in its shape."""
    if train_size is None:
        return []
    shares = [ours / theirs for ours, theirs in zip(train_size, image_size, strict=True)]
    # Sides that were rounded to steps have almost the same shape.
    slack = STEP / min(image_size)
    if max(shares) <= 1.0 and max(shares) - min(shares) <= slack:
        return []
    problem = (
        f"--train-size must be at most the image size {sides_text(image_size)} and have its shape, "
        f"got {sides_text(train_size)}"
    )
    return [problem]


def settled(value: Value | None) -> Value:
    """A setting that ``settle`` has filled in.

    Raises:
        ValueError: it was not settled.
    """
    if value is None:
        raise ValueError("the configuration was not settled")
    return value


def fitting_size(sizes: Sequence[Size], defaults: TaskDefaults) -> Size:
    """The median size, as much larger or smaller as the task wants it, in steps of ``STEP``.

    Args:
        sizes: (height, width) in pixels, at least one.
        defaults: of the task.
    """
    height, width = np.median(np.asarray(sizes, dtype=float), axis=0)
    scale = min(defaults.enlarge, (defaults.max_pixels / (height * width)) ** 0.5)
    sides = [max(MIN_SIDE, STEP * round(side * scale / STEP)) for side in (height, width)]
    while sides[0] * sides[1] > defaults.max_pixels:
        sides[sides.index(max(sides))] -= STEP
    return (sides[0], sides[1])
