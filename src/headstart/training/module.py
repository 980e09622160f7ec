"""The one LightningModule: trains the rest of a network on batches of (maps, target)."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytorch_lightning as pl
import torch
from torch.optim.lr_scheduler import OneCycleLR

from headstart.data.loader import Batch
from headstart.models.network import Rest, parameter_groups
from headstart.tasks.protocol import TaskLearner


@dataclasses.dataclass(frozen=True)
class PhaseSettings:
    """How one phase trains.

    Attributes:
        name: of the phase; names its checkpoints.
        epochs: passes over the training pictures.
        lr: peak learning rate of the head.
        stage_lr_factor: learning rate of the stages, as a share of ``lr``.
        weight_decay: of weights with more than one dimension.
        label_smoothing: passed to the task's loss.
        patience: epochs without progress on validation before the phase ends.
        batch_size: pictures a step.
        seed: decides order, views and dropout, with the epoch.
        precision: of the arithmetic, in Lightning's words.
    """

    name: str
    epochs: int
    lr: float
    stage_lr_factor: float
    weight_decay: float
    label_smoothing: float
    patience: int
    batch_size: int
    seed: int
    precision: str


@dataclasses.dataclass(frozen=True)
class Score:
    """What a state scores on the validation pictures.

    Attributes:
        metric: the monitored metric.
        error: its standard error.
        loss: mean loss without label smoothing.
    """

    metric: float
    error: float
    loss: float

    @classmethod
    def of(
        cls, learner: TaskLearner, rest: Rest, raw: torch.Tensor, targets: torch.Tensor
    ) -> Score:
        """Scores raw outputs."""
        metric, error = learner.epoch_metric(rest.head, raw, targets)
        return cls(metric, error, float(learner.loss(rest.head, raw, targets, 0.0)))


class TransferModule(pl.LightningModule):
    """One-cycle AdamW on the rest of the network.

    Args:
        rest: the part that trains.
        learner: loss and metric of the task.
        settings: of the phase.
        steps: optimizer steps of the whole phase.
    """

    def __init__(
        self, rest: Rest, learner: TaskLearner, settings: PhaseSettings, steps: int
    ) -> None:
        super().__init__()
        self.rest = rest
        self._learner = learner
        self._settings = settings
        self._steps = steps
        self._seen: list[tuple[torch.Tensor, torch.Tensor]] = []

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        """Mean loss of a batch."""
        maps, targets = batch
        loss = self._learner.loss(
            self.rest.head, self.rest(maps), targets, self._settings.label_smoothing
        )
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=len(targets))
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Keeps the outputs: metrics such as mAP are no means over batches."""
        maps, targets = batch
        self._seen.append((self.rest(maps).float(), targets))

    def on_validation_epoch_end(self) -> None:
        """Loss and monitored metric of all validation pictures together."""
        raw, targets = (torch.cat(parts) for parts in zip(*self._seen, strict=True))
        self._seen.clear()
        score = Score.of(self._learner, self.rest, raw, targets)
        self.log_dict(
            {"val_loss": score.loss, "val_metric": score.metric, "val_error": score.error}
        )

    def configure_optimizers(self) -> Any:
        """AdamW, one-cycle over all steps of the phase (L. N. Smith, arXiv 1803.09820)."""
        groups = parameter_groups(
            self.rest,
            self._settings.lr,
            self._settings.stage_lr_factor,
            self._settings.weight_decay,
        )
        optimizer = torch.optim.AdamW(groups)
        schedule = OneCycleLR(
            optimizer, max_lr=[group["lr"] for group in groups], total_steps=max(2, self._steps)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }
