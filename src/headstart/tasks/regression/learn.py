"""The torch half of regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import RidgeCV
from torch import nn
from torch.nn import functional

from headstart.models.heads import Head, PooledLinear, mean_and_error
from headstart.tasks.protocol import Objective, TaskDefaults
from headstart.tasks.regression.spec import NumberSchema
from headstart.types import Size, Stage


class NumberHead(PooledLinear):
    """One standardised number; remembers mean and standard deviation of the training targets."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, stages: Sequence[Stage], targets: torch.Tensor, dropout: float) -> None:
        super().__init__(stages, 1, dropout)
        self.register_buffer("mean", targets.mean())
        # Training pictures may share one value even where the whole set does not.
        self.register_buffer("deviation", targets.std(correction=0).clamp_min(1e-6))


class Finish(nn.Module):
    """Back to the unit of the training targets."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, mean: torch.Tensor, deviation: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.clone())
        self.register_buffer("deviation", deviation.clone())

    def forward(self, raw: torch.Tensor) -> tuple[torch.Tensor]:
        """Takes standardised numbers (n, 1); gives values (n, 1)."""
        return (raw * self.deviation + self.mean,)


class RegressionLearner:
    """See ``TaskLearner``."""

    defaults = TaskDefaults()
    losses: tuple[str, ...] = ("smooth-l1",)
    higher_is_better = False
    moves = False

    def head(
        self,
        stages: Sequence[Stage],
        schema: NumberSchema,
        targets: Sequence[float],
        dropout: float,
    ) -> Head:
        """One number."""
        return NumberHead(stages, torch.tensor(targets, dtype=torch.float32), dropout)

    def initialise(
        self,
        head: nn.Module,
        features: npt.NDArray[np.float32],
        targets: Sequence[float],
        schema: NumberSchema,
    ) -> None:
        """Ridge regression on the plain views, its penalty chosen by leave-one-out."""
        if len(targets) < 2:
            return
        head = cast("NumberHead", head)
        plain = features[0].astype(np.float64)
        standard = (np.asarray(targets) - float(head.mean)) / float(head.deviation)
        model = RidgeCV(alphas=np.logspace(-1, 4, 11)).fit(plain, standard)
        with torch.no_grad():
            head.linear.weight.copy_(torch.from_numpy(model.coef_[None]))
            head.linear.bias.fill_(float(model.intercept_))

    def place(self, target: float, schema: NumberSchema, size: Size) -> torch.Tensor:
        """Not called: a number has no place."""
        raise NotImplementedError

    def encode(
        self, target: float, placed: torch.Tensor | None, schema: NumberSchema
    ) -> torch.Tensor:
        """The number in its own unit (1,), float32."""
        return torch.tensor([target], dtype=torch.float32)

    def loss(
        self, head: nn.Module, raw: torch.Tensor, encoded: torch.Tensor, objective: Objective
    ) -> torch.Tensor:
        """Smooth L1 of standardised numbers: quadratic below half a standard deviation."""
        head = cast("NumberHead", head)
        return functional.smooth_l1_loss(raw, (encoded - head.mean) / head.deviation, beta=0.5)

    def statistics(self, head: nn.Module, raw: torch.Tensor, encoded: torch.Tensor) -> torch.Tensor:
        """Absolute error in the unit of the targets (n, 1)."""
        head = cast("NumberHead", head)
        return (raw * head.deviation + head.mean - encoded).abs()

    def epoch_metric(self, statistics: torch.Tensor) -> tuple[float, float]:
        """Mean absolute error in the unit of the targets."""
        return mean_and_error(statistics)

    def finish(self, head: nn.Module) -> nn.Module:
        """Values in the unit of the targets."""
        head = cast("NumberHead", head)
        return Finish(head.mean, head.deviation)


LEARNER = RegressionLearner()
