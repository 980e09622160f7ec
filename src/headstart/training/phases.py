"""The phases of a run: the head alone, then with the last stages, and these in 8 bits on demand."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from headstart import tasks
from headstart.config import TrainConfig
from headstart.data.loader import plain_loader
from headstart.models.network import Network, Rest
from headstart.progress import Progress
from headstart.tasks.learning import Objective
from headstart.tasks.protocol import TaskLearner
from headstart.training.checkpoints import is_finished
from headstart.training.custom import LossFunction
from headstart.training.fit import PhaseData, fit_phase
from headstart.training.lr_finder import RateCurve, try_rates
from headstart.training.mixing import Mixing
from headstart.training.module import PhaseSettings
from headstart.training.plan import Plan
from headstart.training.rounding import rounded
from headstart.training.samples import ReducedSamples, ViewSamples
from headstart.training.settings import settled
from headstart.training.views import SideViews
from headstart.types import Manifest, Record

HEAD_PHASE = "head"
FINETUNE_PHASE = "finetune"
QUANTIZE_PHASE = "quantize"

QUANTIZE_LR_FACTOR = 0.1
"""Learning rate of the phase under rounding, as a share of the one before: it adjusts."""

CONVEX_VIEWS = 3
"""Views of each picture that the head's convex start is fitted to; more did not help."""

CONVEX_ROWS = 32_768
"""Views that the convex start is fitted to at most: with more, every n-th picture is taken."""

Part = tuple[Rest, TaskLearner, PhaseSettings, PhaseData]
"""What a phase trains, and how: the first arguments of ``fit_phase``."""


class Phases:
    """Trains a network on stored views.

    Args:
        run: the run folder; phases that have ended are not repeated.
        config: settings of the run.
        plan: of the run.
        manifest: the pictures, with sides and targets.
        network: changed in place; its backbone holds the pretrained weights, its head is new.
        views: give every view that the plan names.
        initialised: whether the head is trained already and shall go on from there.
        loss_function: of the person's own; minimised instead of the task's.
    """

    def __init__(
        self,
        run: Path,
        config: TrainConfig,
        plan: Plan,
        manifest: Manifest,
        network: Network,
        views: SideViews,
        initialised: bool = False,
        loss_function: LossFunction | None = None,
    ) -> None:
        self._convex = network.head.convex and not initialised
        self._run, self._config, self._plan = run, config, plan
        self._manifest, self._network = manifest, network
        self._learner = tasks.learner(manifest.task)
        self._loss_function = loss_function
        _, self._rest = network.split(plan.split_stage)
        train, val = manifest.on("train"), manifest.on("val")
        self._targets: Sequence[Any] = [record.target for record in train]
        self._views = (
            ViewSamples(views.train, train, self._encoded(train)),
            ViewSamples(views.val, val, self._encoded(val)),
        )
        self._data = PhaseData(
            train=self._views[0],
            n_train=len(train),
            views=plan.views + 1,
            val=self._views[1],
            n_val=len(val),
            weights=_balance(manifest, train) if config.sampler == "balanced" else None,
        )
        self._rest.train_norms = config.train_norms
        self._features: tuple[ReducedSamples, ReducedSamples] | None = None
        if network.head.reduce is not None:
            # Before anything has trained: the same in every session of the run.
            self._features = self._reduced(plan.head_views)

    def _encoded(self, records: Sequence[Record]) -> torch.Tensor | None:
        """Targets as one tensor (n, ...), where they do not depend on the view."""
        if self._learner.moves(self._manifest.schema):
            return None
        encode, schema = self._learner.encode, self._manifest.schema
        return torch.stack([encode(record.target, None, schema) for record in records])

    def pretrained_features(self) -> npt.NDArray[np.float32] | None:
        """Reduced features (n, channels) of the plain views of training and validation pictures.

        They come from the pretrained backbone, whatever was trained since. None where the head
        has no summary.
        """
        if self._network.head.summary is None:
            return None
        found = self._features or self._reduced(views=1)
        return np.concatenate([samples.by_view(1)[0] for samples in found])

    def _reduced(self, views: int) -> tuple[ReducedSamples, ReducedSamples]:
        """Reduced features of some views of the training pictures, and of validation pictures."""
        train, val = self._views
        return (
            ReducedSamples(train, self._rest, self._data.n_train, views),
            ReducedSamples(val, self._rest, self._data.n_val, 1),
        )

    def close(self) -> None:
        """What was kept of the views is not in use any more."""
        for samples in self._features or ():
            samples.close()

    def train(self, progress: Progress) -> None:
        """Runs all phases, or what is left of them; the network holds the result."""
        plan = self._plan
        if not is_finished(self._run / "checkpoints", HEAD_PHASE):
            self._initialise()
        if plan.freeze_epochs:
            fit_phase(*self._head_part(), self._run, progress)
        if plan.epochs:
            fit_phase(*self._finetune_part(), self._run, progress)
        if plan.quantize_epochs:
            self._train_rounded(progress)

    def _train_rounded(self, progress: Progress) -> None:
        """Goes on where weights and inputs of layers are rounded to 8 bits.

        In float32: rounding to 8 bits shall be the only one.
        """
        plan, data = self._plan, self._data
        lr = QUANTIZE_LR_FACTOR * plan.lr
        settings = self._settings(QUANTIZE_PHASE, plan.quantize_epochs, lr, "32-true")
        plain = plain_loader(data.train, data.n_train, plan.batch_size)
        with rounded(self._rest, plain):
            fit_phase(self._rest, self._learner, settings, data, self._run, progress)

    def find_rate(self) -> RateCurve:
        """Tries learning rates where the plan trains: the second phase, or else the head's.

        The network starts from its convex start where its head has one, and is left as it was then.
        """
        self._initialise()
        return try_rates(*(self._finetune_part() if self._plan.epochs else self._head_part()))

    def _initialise(self) -> None:
        """The head's convex start, where there is one."""
        if self._convex and self._features:
            views = min(CONVEX_VIEWS, self._features[0].views)
            step = math.ceil(len(self._targets) * views / CONVEX_ROWS)
            self._learner.initialise(
                self._network.head,
                self._features[0].by_view(views, step),
                self._targets[::step],
                self._manifest.schema,
            )

    def _finetune_part(self) -> Part:
        plan = self._plan
        settings = self._settings(FINETUNE_PHASE, plan.epochs, plan.lr, plan.precision)
        return self._rest, self._learner, settings, self._data

    def _head_part(self) -> Part:
        plan = self._plan
        if self._features is None:
            # No convex start: it trains at the rate, and as long, as a second phase would.
            head, data, lr = self._rest.with_frozen_stages(), self._data, plan.lr
        else:
            head = Rest([], plan.n_stages, self._network.head, reduced=True)
            train, val = self._features
            data = dataclasses.replace(self._data, train=train, views=train.views, val=val)
            lr = self._config.head_lr
        precision = "32-true" if self._features else plan.precision
        settings = self._settings(HEAD_PHASE, plan.freeze_epochs, lr, precision)
        return head, self._learner, settings, data

    def _settings(self, name: str, epochs: int, lr: float, precision: str) -> PhaseSettings:
        config, plan = self._config, self._plan
        return PhaseSettings(
            name=name,
            epochs=epochs,
            lr=lr,
            stage_lr_factor=config.stage_lr_factor,
            weight_decay=config.weight_decay,
            objective=Objective(plan.loss, settled(config.label_smoothing)),
            schedule=config.schedule,
            patience=config.patience,
            batch_size=plan.batch_size,
            seed=config.seed,
            precision=precision,
            device=plan.device,
            workers=plan.workers,
            mixing=Mixing(config.mixup, 0.0 if name == HEAD_PHASE else config.cutmix),
            steps=config.steps_per_epoch,
            keep_all=config.keep_checkpoints == "all",
            logger=config.logger,
            loss_function=self._loss_function,
        )


def _balance(manifest: Manifest, records: Sequence[Record]) -> npt.NDArray[np.float64]:
    """How often each picture is drawn so that everything that occurs is seen equally often (n,).

    A picture with several labels is drawn as often as its rarest one asks for.
    """
    spec = tasks.spec(manifest.task)
    names = [spec.strata(manifest.schema, record.target) for record in records]
    counts = Counter(name for found in names for name in found)
    return np.array([1.0 / min(counts[name] for name in found) for found in names])
