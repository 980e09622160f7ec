"""The two phases of a run: the head alone, then the head with the last stages."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.config import TrainConfig
from headstart.models.network import Network, Rest
from headstart.progress import Progress
from headstart.tasks.protocol import TaskLearner
from headstart.training.checkpoints import is_finished
from headstart.training.features import StoredViews
from headstart.training.fit import PhaseData, ReducedSamples, StoredSamples, fit_phase
from headstart.training.module import PhaseSettings
from headstart.training.plan import Plan
from headstart.types import Manifest

HEAD_PHASE = "head"
FINETUNE_PHASE = "finetune"

CONVEX_VIEWS = 3
"""Views of each picture that the head's convex start is fitted to; more did not help."""


class Phases:
    """Trains a network on stored views.

    Args:
        run: the run folder; phases that have ended are not repeated.
        config: settings of the run.
        plan: of the run.
        manifest: the pictures, with sides and targets.
        network: changed in place; its backbone holds the pretrained weights, its head is new.
        stored: holds every view that the plan names.
        learner: of the task.
    """

    def __init__(
        self,
        run: Path,
        config: TrainConfig,
        plan: Plan,
        manifest: Manifest,
        network: Network,
        stored: StoredViews,
        learner: TaskLearner,
    ) -> None:
        self._run, self._config, self._plan = run, config, plan
        self._manifest, self._network, self._learner = manifest, network, learner
        _, self._rest = network.split(plan.split_stage)
        train, val = manifest.on("train"), manifest.on("val")
        self._targets: Sequence[Any] = [record.target for record in train]
        self._stored = PhaseData(
            train=StoredSamples(stored, train),
            targets=learner.encode(self._targets, manifest.schema),
            views=plan.views + 1,
            val=StoredSamples(stored, val),
            val_targets=learner.encode([record.target for record in val], manifest.schema),
        )
        # Before anything has trained: these features are the same in every session of the run.
        self._train_features = ReducedSamples(
            self._stored.train, self._rest, len(train), plan.views + 1
        )
        self._val_features = ReducedSamples(self._stored.val, self._rest, len(val), 1)

    def pretrained_features(self) -> npt.NDArray[np.float32]:
        """Reduced features (n, channels) of the plain views of training and validation pictures.

        They come from the pretrained backbone, whatever was trained since.
        """
        plain = [self._train_features.by_view(1)[0], self._val_features.by_view(1)[0]]
        return np.concatenate(plain)

    def train(self, progress: Progress) -> None:
        """Runs both phases, or what is left of them; the network holds the result."""
        plan = self._plan
        if not is_finished(self._run / "checkpoints", HEAD_PHASE):
            self._learner.initialise(
                self._network.head,
                self._train_features.by_view(CONVEX_VIEWS),
                self._targets,
                self._manifest.schema,
            )
        if plan.freeze_epochs:
            data = dataclasses.replace(
                self._stored, train=self._train_features, val=self._val_features
            )
            settings = self._settings(
                HEAD_PHASE, plan.freeze_epochs, self._config.head_lr, "32-true"
            )
            head = Rest([], self._network.head, reduced=True)
            fit_phase(head, self._learner, settings, data, self._run, progress)
        if plan.epochs:
            settings = self._settings(FINETUNE_PHASE, plan.epochs, plan.lr, plan.precision)
            fit_phase(self._rest, self._learner, settings, self._stored, self._run, progress)

    def _settings(self, name: str, epochs: int, lr: float, precision: str) -> PhaseSettings:
        config = self._config
        return PhaseSettings(
            name=name,
            epochs=epochs,
            lr=lr,
            stage_lr_factor=config.stage_lr_factor,
            weight_decay=config.weight_decay,
            label_smoothing=config.label_smoothing,
            patience=config.patience,
            batch_size=config.batch_size,
            seed=config.seed,
            precision=precision,
        )
