"""Heads: from a backbone's feature maps to a task's raw outputs."""

from __future__ import annotations

import torch
from torch import nn


class Head(nn.Module):
    """A head in two steps, so that the first can be run once when the whole backbone is frozen.

    Attributes:
        reduce: parameter-free, from the tuple of feature maps to what ``predict`` takes.
        predict: the part that learns.
    """

    reduce: nn.Module
    predict: nn.Module

    def forward(self, maps: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Runs both steps; maps are (n, channels, height, width), the last stage's map last."""
        raw: torch.Tensor = self.predict(self.reduce(maps))
        return raw


class PoolLast(nn.Module):
    """Mean over the positions of the last map: (n, c, h, w) to (n, c)."""

    def forward(self, maps: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Averages in float32: stored maps are float16."""
        return maps[-1].float().mean(dim=(2, 3))


class PooledLinear(Head):
    """Global average pooling, dropout, one linear layer: raw outputs (n, outputs).

    Args:
        channels: of the backbone's last map.
        outputs: raw outputs a picture.
        dropout: probability of dropping a pooled feature.
    """

    def __init__(self, channels: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.reduce = PoolLast()
        linear = nn.Linear(channels, outputs)
        # Zero weights start at the prior instead of at noise: with few pictures the noise of a
        # random start is still visible after training.
        nn.init.zeros_(linear.weight)
        nn.init.zeros_(linear.bias)
        self.predict = nn.Sequential(nn.Dropout(dropout), linear)

    @property
    def linear(self) -> nn.Linear:
        """The layer that learns."""
        layer = self.predict.get_submodule("1")
        if not isinstance(layer, nn.Linear):
            raise TypeError(f"expected a linear layer, got {type(layer).__name__}")
        return layer


def mean_and_error(values: torch.Tensor) -> tuple[float, float]:
    """Mean of one value a picture, and the standard error of that mean."""
    flat = values.flatten().double()
    error = float(flat.std(correction=0)) / max(1, len(flat)) ** 0.5
    return float(flat.mean()), error
