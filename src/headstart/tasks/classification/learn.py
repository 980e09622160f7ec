"""The torch half of classification."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from headstart.models.heads import Head, PooledLinear
from headstart.tasks.classification.spec import ClassSchema


class Finish(nn.Module):
    """Softmax of logits divided by the temperature, and the largest logit before that."""

    temperature: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("temperature", torch.ones(()))

    def forward(self, raw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Takes logits (n, classes); gives probabilities (n, classes), unknown_score (n,)."""
        return torch.softmax(raw / self.temperature, dim=1), raw.amax(dim=1)


class ClassificationLearner:
    """See ``TaskLearner``."""

    higher_is_better = True

    def head(
        self, channels: int, schema: ClassSchema, targets: Sequence[int], dropout: float
    ) -> Head:
        """One logit a class."""
        return PooledLinear(channels, len(schema.classes), dropout)

    def encode(self, targets: Sequence[int], schema: ClassSchema) -> torch.Tensor:
        """Class indices (n,), int64."""
        return torch.tensor(targets, dtype=torch.int64)

    def loss(
        self, head: nn.Module, raw: torch.Tensor, encoded: torch.Tensor, label_smoothing: float
    ) -> torch.Tensor:
        """Cross-entropy with label smoothing."""
        return functional.cross_entropy(raw, encoded, label_smoothing=label_smoothing)

    def epoch_metric(self, head: nn.Module, raw: torch.Tensor, encoded: torch.Tensor) -> float:
        """Accuracy."""
        return float((raw.argmax(dim=1) == encoded).float().mean())

    def finish(self, head: nn.Module) -> nn.Module:
        """Probabilities and unknown score."""
        return Finish()


LEARNER = ClassificationLearner()
