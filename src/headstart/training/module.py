"""The one LightningModule: trains the rest of a network on batches of (maps, target)."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR, ReduceLROnPlateau

from headstart.config import LoggerName, Schedule
from headstart.data.loader import Batch
from headstart.errors import ConfigError
from headstart.models.network import Rest, parameter_groups
from headstart.tasks.learning import Objective
from headstart.tasks.protocol import TaskLearner
from headstart.training.custom import LossFunction
from headstart.training.mixing import NO_MIXING, Mixing

PLATEAU_EPOCHS = 5
"""Epochs without progress after which the plateau schedule halves the learning rates."""


@dataclasses.dataclass(frozen=True)
class PhaseSettings:
    """How one phase trains.

    Attributes:
        name: of the phase; names its checkpoints.
        epochs: passes over the training pictures.
        lr: peak learning rate of the head.
        stage_lr_factor: learning rate of the stages, as a share of ``lr``.
        weight_decay: of weights with more than one dimension.
        objective: what the task's loss minimises.
        schedule: how learning rates change.
        patience: epochs without progress on validation before the phase ends.
        batch_size: pictures a step.
        seed: decides order, views and dropout, with the epoch.
        precision: of the arithmetic, in Lightning's words.
        device: of torch.
        workers: processes that make batches; 0 makes them between steps.
        mixing: of pictures within a batch.
        steps: of an epoch; None for every picture once.
        keep_all: whether the state of every epoch is kept.
        logger: where the curves go.
        loss_function: is minimised instead of the objective.
    """

    name: str
    epochs: int
    lr: float
    stage_lr_factor: float
    weight_decay: float
    objective: Objective
    schedule: Schedule
    patience: int
    batch_size: int
    seed: int
    precision: str
    mixing: Mixing = NO_MIXING
    steps: int | None = None
    keep_all: bool = False
    logger: LoggerName = "tensorboard"
    loss_function: LossFunction | None = None
    device: str = "cpu"
    workers: int = 0


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


class Scores:
    """Collects what batches of validation pictures score.

    Args:
        learner: loss and metric of the task.
        head: the head whose outputs are scored.
        loss: name of the loss.
    """

    def __init__(self, learner: TaskLearner, head: nn.Module, loss: str) -> None:
        self._learner, self._head = learner, head
        # Label smoothing would hide how sure the outputs are.
        self._objective = Objective(loss)
        self._seen: list[tuple[torch.Tensor, float]] = []

    def add(self, raw: torch.Tensor, targets: torch.Tensor) -> None:
        """Takes the raw outputs of a batch."""
        raw = raw.float()
        statistics = self._learner.statistics(self._head, raw, targets)
        loss = float(self._learner.loss(self._head, raw, targets, self._objective))
        self._seen.append((statistics.cpu(), loss))

    def result(self) -> Score:
        """The score of all batches together; metrics such as mAP are no means over batches."""
        counts = [len(statistics) for statistics, _ in self._seen]
        losses = sum(n * loss for n, (_, loss) in zip(counts, self._seen, strict=True))
        metric, error = self._learner.epoch_metric(torch.cat([s for s, _ in self._seen]))
        return Score(metric, error, losses / sum(counts))


class TransferModule(pl.LightningModule):
    """AdamW on the rest of the network.

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
        self._scores = Scores(learner, rest.head, settings.objective.loss)
        self._plateau: ReduceLROnPlateau | None = None
        self._plateau_state: dict[str, Any] = {}

    def on_validation_epoch_start(self) -> None:
        """Forgets the scores of the epoch before."""
        self._scores = Scores(self._learner, self.rest.head, self._settings.objective.loss)

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        """Mean loss of a batch."""
        maps, targets = batch
        mixed = self._settings.mixing.draw(maps)
        raw = self.rest(mixed.maps)
        loss = mixed.loss(lambda wanted: self._loss(raw, wanted), targets)
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=len(targets))
        return loss

    def _loss(self, raw: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        settings = self._settings
        if settings.loss_function is None:
            return self._learner.loss(self.rest.head, raw, targets, settings.objective)
        given = self._learner.comparable(self.rest.head, raw.float(), targets)
        loss: Any = settings.loss_function(*given)
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1 or not loss.requires_grad:
            got = f"shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else repr(loss)
            raise ConfigError(
                [f"loss_function must return one number that depends on the outputs, got {got}"]
            )
        return loss.reshape(())

    def validation_step(self, batch: Batch, _: int) -> None:
        """Adds a batch to the scores."""
        maps, targets = batch
        self._scores.add(self.rest(maps), targets)

    def on_validation_epoch_end(self) -> None:
        """Loss and monitored metric of all validation pictures together."""
        score = self.validation_score()
        self.log_dict(
            {"val_loss": score.loss, "val_metric": score.metric, "val_error": score.error}
        )
        if self._plateau is not None:
            # Lightning itself would do it after the checkpoint of the epoch was written: a resumed
            # run would then wait for one epoch more.
            self._plateau.step(score.metric)

    def validation_score(self) -> Score:
        """Of all validation pictures of this epoch."""
        return self._scores.result()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps how long the metric has made no progress."""
        if self._plateau is not None:
            checkpoint["plateau"] = self._plateau.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes it back, before the optimizer is made."""
        self._plateau_state = checkpoint.get("plateau", {})

    def configure_optimizers(self) -> Any:
        """AdamW with the schedule of the settings."""
        groups = parameter_groups(
            self.rest,
            self._settings.lr,
            self._settings.stage_lr_factor,
            self._settings.weight_decay,
        )
        optimizer = torch.optim.AdamW(groups)
        steps = max(2, self._steps)
        scheduler: dict[str, Any]
        if self._settings.schedule == "constant":
            return optimizer
        if self._settings.schedule == "plateau":
            mode: Literal["max", "min"] = "max" if self._learner.higher_is_better else "min"
            self._plateau = ReduceLROnPlateau(optimizer, mode, 0.5, PLATEAU_EPOCHS)
            if self._plateau_state:
                self._plateau.load_state_dict(self._plateau_state)
            return optimizer
        if self._settings.schedule == "cosine":
            scheduler = {"scheduler": CosineAnnealingLR(optimizer, steps), "interval": "step"}
        else:
            # L. N. Smith and N. Topin, Super-Convergence, arXiv 1708.07120.
            rates = [group["lr"] for group in groups]
            cycle = OneCycleLR(optimizer, max_lr=rates, total_steps=steps)
            scheduler = {"scheduler": cycle, "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}
