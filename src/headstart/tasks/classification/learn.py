"""The torch half of classification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from headstart.models.heads import Head, PooledHead, mean_and_error
from headstart.tasks.classification.spec import ClassSchema
from headstart.tasks.learning import HeadOptions, Objective, Placed, TaskDefaults
from headstart.tasks.logistic import fit_logistic
from headstart.tasks.protocol import TaskLearner
from headstart.types import Stage

INVERSE_PENALTY = 0.1
"""scikit-learn's C for one view of each picture: chosen by cross-validation on two sets of
photographs (10 dishes, 2 insects), where 0.03 to 0.3 differed by less than their noise."""


class Finish(nn.Module):
    """Softmax of logits divided by the temperature, and the largest logit before that."""

    temperature: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, raw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Takes logits (n, classes); gives probabilities (n, classes), unknown_score (n,)."""
        return torch.softmax(raw / self.temperature, dim=1), raw.amax(dim=1)


class ClassificationLearner(TaskLearner):
    """See ``TaskLearner``."""

    losses: tuple[str, ...] = ("cross-entropy",)
    higher_is_better = True

    def defaults(self, schema: ClassSchema) -> TaskDefaults:
        """A larger input than the backbone was pretrained with, and a head that forgets.

        288 pixels instead of 224 were worth 2 to 3 points on photographs of dishes, dropout of 0.5
        another 1 to 2; more views or epochs nothing (docs/decisions/0025 and 0035). Why a larger
        input helps: H. Touvron et al., Fixing the train-test resolution discrepancy, arXiv
        1906.06423.
        """
        return TaskDefaults(image_size=(288, 288), max_views=2, epochs=6, dropout=0.5)

    def head(
        self,
        stages: Sequence[Stage],
        schema: ClassSchema,
        targets: Sequence[int],
        options: HeadOptions,
    ) -> Head:
        """One logit a class."""
        return PooledHead(stages, len(schema.classes), options)

    def initialise(
        self,
        head: nn.Module,
        features: npt.NDArray[np.float32],
        targets: Sequence[int],
        schema: ClassSchema,
    ) -> None:
        """Multinomial logistic regression on all given views."""
        views = len(features)
        present = np.unique(targets)
        if len(present) < 2:
            return
        rows = features.reshape(-1, features.shape[2])
        weights, biases = fit_logistic(rows, np.tile(targets, views), INVERSE_PENALTY / views)
        if len(present) == 2:
            # Of two classes scikit-learn gives the difference of the logits.
            weights, biases = np.concatenate([-weights, weights]), np.concatenate([-biases, biases])
            weights, biases = weights / 2, biases / 2
        linear = cast("PooledHead", head).linear
        with torch.no_grad():
            # A class without a training picture keeps a logit that never wins.
            linear.bias.fill_(float(biases.min()) - 10.0)
            linear.weight[present] = torch.from_numpy(weights).float()
            linear.bias[present] = torch.from_numpy(biases).float()

    def encode(self, target: int, placed: Placed | None, schema: ClassSchema) -> torch.Tensor:
        """The class's index, int64, without dimensions."""
        return torch.tensor(target, dtype=torch.int64)

    def loss(
        self, head: nn.Module, raw: torch.Tensor, encoded: torch.Tensor, objective: Objective
    ) -> torch.Tensor:
        """Cross-entropy with label smoothing."""
        return functional.cross_entropy(raw, encoded, label_smoothing=objective.label_smoothing)

    def statistics(self, head: nn.Module, raw: torch.Tensor, encoded: torch.Tensor) -> torch.Tensor:
        """1 where the class is right, else 0: (n,)."""
        return (raw.argmax(dim=1) == encoded).float()

    def epoch_metric(self, statistics: torch.Tensor) -> tuple[float, float]:
        """Accuracy."""
        return mean_and_error(statistics)

    def finish(self, head: nn.Module) -> nn.Module:
        """Probabilities and unknown score."""
        return Finish()


LEARNER = ClassificationLearner()
