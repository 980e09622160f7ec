"""Suggests a learning rate for what ``train`` would train. Needs the extra train."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from headstart.data.cache import make_room
from headstart.errors import ConfigError
from headstart.evaluation.curve import log_curve
from headstart.jobs.material import checked_config, gather, prepare_views
from headstart.progress import Progress
from headstart.storage import cache_dir, write_text
from headstart.training.custom import Custom
from headstart.training.plan import Plan


@dataclasses.dataclass(frozen=True)
class LrFindResult:
    """A learning rate and how it was found.

    Attributes:
        suggestion: where the loss fell most steeply.
        setting: the setting that it is for: ``lr``, or ``head_lr`` where only the head trains.
        default: what ``train`` would take without it.
        rates: that were tried, in rising order.
        losses: smoothed training loss at each of them.
        plot: the drawn curve, if asked for.
    """

    suggestion: float
    setting: str
    default: float
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    plot: Path | None

    def to_json(self) -> dict[str, Any]:
        """What ``lr-find --json`` prints."""
        plot = None if self.plot is None else str(self.plot)
        return {**dataclasses.asdict(self), "plot": plot}


def find_lr(
    given: Mapping[str, Any],
    *,
    plot: Path | None,
    file: Path | None,
    progress: Progress,
    custom: Custom,
) -> LrFindResult:
    """See ``headstart.lr_find``."""
    if plot is not None and plot.suffix.lower() != ".svg":
        raise ConfigError([f"--plot must be the name of an .svg file, got {plot}"])
    began = time.perf_counter()
    config = checked_config(given, file, custom)
    # Nothing is written there: the network is left as it was.
    with tempfile.TemporaryDirectory() as folder, ExitStack() as in_use:
        nowhere = Path(folder)
        material = gather(config, nowhere / "splits.csv", progress, custom=custom)
        in_use.callback(material.images.close)
        probe = material.probe()
        plan = material.plan(probe, lambda: time.perf_counter() - began)
        _check(plan)
        views = prepare_views(material, plan, probe, progress)
        in_use.callback(views.close)
        del probe
        phases = material.phases(nowhere, plan, views)
        in_use.callback(phases.close)
        curve = phases.find_rate()
        make_room(cache_dir(), config.cache_size, progress)
    pooled = material.network.head.reduce is not None
    only_head = not plan.epochs and pooled
    setting, default = ("head_lr", config.head_lr) if only_head else ("lr", plan.lr)
    if plot is not None:
        drawn = log_curve(curve.rates, curve.losses, curve.suggestion, setting, "training loss")
        write_text(plot, drawn)
    return LrFindResult(curve.suggestion, setting, default, curve.rates, curve.losses, plot)


def _check(plan: Plan) -> None:
    if not plan.epochs and not plan.freeze_epochs:
        problem = (
            "no learning rate is needed: with these settings the head is solved at once, and "
            "nothing trains (--freeze-epochs lets it train after that)"
        )
        raise ConfigError([problem])
