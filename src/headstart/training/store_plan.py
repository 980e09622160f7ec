"""How many views are stored, and of which stage, so that they fit into the allowed bytes."""

from __future__ import annotations

import dataclasses
import functools

import torch

from headstart.config import TrainConfig
from headstart.errors import ConfigError
from headstart.models.network import Network
from headstart.tasks.learning import TaskDefaults
from headstart.training.settings import settled
from headstart.types import Size

LIVE_VIEWS = 100
"""Different views of a picture that are not stored: more than there are epochs."""


@dataclasses.dataclass(frozen=True)
class StorePlan:
    """What is stored.

    Attributes:
        strategy: ``features``, ``finetune``, or ``full``, which stores nothing.
        stage: the first one that trains.
        views: augmented views of each training picture.
        bytes: that all stored views take.
        shortened: what was given up to fit, as the end of a sentence; empty for nothing.
    """

    strategy: str
    stage: int
    views: int
    bytes: int
    shortened: str = ""


def wanted_views(config: TrainConfig, defaults: TaskDefaults, n_train: int) -> int:
    """Augmented views of each picture, where there is room for them."""
    if config.views is not None or config.augment == "none":
        return config.views or 0
    return min(defaults.max_views, max(1, defaults.view_budget // n_train - 1))


def fit_store(
    config: TrainConfig, network: Network, defaults: TaskDefaults, counts: tuple[int, int]
) -> StorePlan:
    """Takes fewer views, then another stage whose maps are smaller, until the views fit.

    Where nothing fits, everything trains and views are made whenever they are needed. What the
    person asked for is never changed.

    Args:
        config: settled.
        network: that will train.
        defaults: of the task.
        counts: training and validation pictures.

    Raises:
        ConfigError: what was asked for does not fit.
    """
    if config.strategy == "full":
        return _live(config)
    (n_train, n_val), limit = counts, config.max_store_bytes

    view_bytes = functools.cache(functools.partial(_view_bytes, network))

    def total(stage: int, views: int) -> int:
        train = view_bytes(stage, settled(config.train_size)) * n_train * (views + 1)
        return train + view_bytes(stage, settled(config.image_size)) * n_val

    stages = _stages(config, network, defaults)
    wanted = wanted_views(config, defaults, n_train)
    least = wanted if config.views is not None or config.augment == "none" else 1
    for stage in stages:
        for views in range(wanted, least - 1, -1):
            if total(stage, views) <= limit:
                given_up = _given_up(stages[0], stage, wanted, views)
                return StorePlan(config.strategy, stage, views, total(stage, views), given_up)
    if config.strategy == "finetune" and config.views is None and config.split_stage is None:
        return _live(config, f" (the limit of {limit / 1e6:,.0f} MB allows no stored views)")
    smallest = min(total(stage, least) for stage in stages)
    problem = (
        f"the stored views need at least {smallest / 1e6:,.0f} MB, more than the allowed "
        f"{limit / 1e6:,.0f} MB: allow more (max_store_bytes), or give a smaller --image-size, "
        "fewer --views, another --split-stage or --limit"
    )
    raise ConfigError([problem])


def _stages(config: TrainConfig, network: Network, defaults: TaskDefaults) -> list[int]:
    """Stages to split at, the best one first."""
    if config.strategy == "features":
        return [network.n_stages]
    if config.split_stage is not None:
        return [config.split_stage]
    first = network.stage_training(defaults.trained_share)
    # A later stage has smaller maps, unless the head needs the early ones too: then it is an
    # earlier stage that stores less.
    return [*range(first, network.n_stages + 1), *range(first - 1, 0, -1)]


def _live(config: TrainConfig, shortened: str = "") -> StorePlan:
    views = LIVE_VIEWS if config.views is None else config.views
    if config.augment == "none":
        views = 0
    return StorePlan("full", config.split_stage or 0, views, 0, shortened)


def _given_up(first: int, stage: int, wanted: int, views: int) -> str:
    parts = []
    if views < wanted:
        parts.append(f"{views} views instead of {wanted}")
    if stage != first:
        parts.append(f"split at stage {stage} instead of {first}")
    return f" (the limit allows only {' and a '.join(parts)})" if parts else ""


def _view_bytes(network: Network, stage: int, size: Size) -> int:
    """float16 bytes of the maps of one view of a (height, width) in pixels."""
    prefix, _ = network.split(stage)
    with torch.inference_mode():
        maps = prefix(torch.zeros((1, *size, 3), dtype=torch.uint8))
    return sum(m.numel() * 2 for m in maps)
