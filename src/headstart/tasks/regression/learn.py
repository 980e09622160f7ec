"""The torch half of regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from headstart.models.heads import Head, PooledLinear
from headstart.tasks.regression.spec import NumberSchema


class NumberHead(PooledLinear):
    """One standardised number; remembers mean and standard deviation of the training targets."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, channels: int, targets: torch.Tensor, dropout: float) -> None:
        super().__init__(channels, 1, dropout)
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

    higher_is_better = False

    def head(
        self, channels: int, schema: NumberSchema, targets: Sequence[float], dropout: float
    ) -> Head:
        """One number."""
        return NumberHead(channels, torch.tensor(targets, dtype=torch.float32), dropout)

    def encode(self, targets: Sequence[float], schema: NumberSchema) -> torch.Tensor:
        """Numbers in their own unit (n, 1), float32."""
        return torch.tensor(targets, dtype=torch.float32)[:, None]

    def loss(
        self, head: nn.Module, raw: torch.Tensor, encoded: torch.Tensor, label_smoothing: float
    ) -> torch.Tensor:
        """Smooth L1 of standardised numbers: quadratic below half a standard deviation."""
        head = cast("NumberHead", head)
        return functional.smooth_l1_loss(raw, (encoded - head.mean) / head.deviation, beta=0.5)

    def epoch_metric(self, head: nn.Module, raw: torch.Tensor, encoded: torch.Tensor) -> float:
        """Mean absolute error in the unit of the targets."""
        head = cast("NumberHead", head)
        return float((raw * head.deviation + head.mean - encoded).abs().mean())

    def finish(self, head: nn.Module) -> nn.Module:
        """Values in the unit of the targets."""
        head = cast("NumberHead", head)
        return Finish(head.mean, head.deviation)


LEARNER = RegressionLearner()
