"""Learning rates that rise step by step, by Lightning's tuner, and what the loss does."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import tempfile
from typing import Any

import torch
from pytorch_lightning.tuner.tuning import Tuner

from headstart.data.loader import train_loader
from headstart.errors import DataError
from headstart.models.network import Rest
from headstart.tasks.protocol import TaskLearner
from headstart.training.checkpoints import AtomicCheckpointIO
from headstart.training.fit import PhaseData, order_of, quiet_lightning, silent_trainer
from headstart.training.module import PhaseSettings, TransferModule

LOWEST_RATE, HIGHEST_RATE = 1e-5, 1.0
"""Of the head; Lightning's own start of 1e-8 would spend half of the steps on rates too low."""

RATE_STEPS = 100
"""Learning rates that are tried, one step of training each."""


@dataclasses.dataclass(frozen=True)
class RateCurve:
    """What the loss did while the learning rate rose.

    Attributes:
        suggestion: where the loss falls most steeply, by Lightning's rule.
        rates: of the head, one a step.
        losses: mean training loss so far, exponentially weighted, one a step.
    """

    suggestion: float
    rates: tuple[float, ...]
    losses: tuple[float, ...]


class _RisingRates(TransferModule):
    """Keeps the stages' share of the head's rate, which the tuner would set to 1."""

    def configure_optimizers(self) -> Any:
        optimizer = super().configure_optimizers()
        shares = [group["lr"] for group in optimizer.param_groups]

        def lower(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            for group, share in zip(optimizer.param_groups, shares, strict=True):
                group["lr"] *= share

        def restore(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            for group, share in zip(optimizer.param_groups, shares, strict=True):
                group["lr"] /= share

        optimizer.register_step_pre_hook(lower)
        optimizer.register_step_post_hook(restore)
        return optimizer


def try_rates(
    rest: Rest, learner: TaskLearner, settings: PhaseSettings, data: PhaseData
) -> RateCurve:
    """Raises the learning rate from 1e-5 to 1; the weights are afterwards what they were.

    The method is that of L. N. Smith, Cyclical Learning Rates, arXiv 1506.01186.

    Args:
        rest: the part that trains.
        learner: of the task.
        settings: of the phase; its learning rate and schedule do not matter.
        data: for training.

    Raises:
        DataError: the loss was never finite, or exploded before there was a curve.
    """
    # Rates of 1 make the groups' rates their shares of the head's.
    rising = dataclasses.replace(settings, lr=1.0, schedule="constant")
    loader = train_loader(data.train, order_of(settings, data), settings.workers)
    torch.manual_seed(settings.seed)
    rest.train()
    # Lightning's bar cannot be turned off; the folder is for the state that it goes back to.
    with (
        tempfile.TemporaryDirectory() as folder,
        quiet_lightning(),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        trainer = silent_trainer(
            settings.precision,
            settings.device,
            max_epochs=-1,
            default_root_dir=folder,
            logger=False,
            plugins=[AtomicCheckpointIO()],
        )
        finder = Tuner(trainer).lr_find(
            _RisingRates(rest, learner, rising, RATE_STEPS),
            train_dataloaders=loader,
            min_lr=LOWEST_RATE,
            max_lr=HIGHEST_RATE,
            num_training=RATE_STEPS,
            update_attr=False,
        )
        suggestion = finder.suggestion() if finder is not None else None
    rest.cpu().eval()
    if finder is None or suggestion is None:
        raise DataError(
            "no learning rate can be suggested: the loss exploded within the first steps; "
            "try another --loss, or a larger --batch-size"
        )
    return RateCurve(float(suggestion), tuple(finder.results["lr"]), tuple(finder.results["loss"]))
