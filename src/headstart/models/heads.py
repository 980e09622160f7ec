"""Heads: from a backbone's feature maps to a task's raw outputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from headstart.types import Stage

Maps = tuple[torch.Tensor, ...]
"""Feature maps (n, channels, height, width), from early to late."""


class Head(nn.Module):
    """A head in two steps, so that the first can be run once when the whole backbone is frozen.

    Attributes:
        taps: the stages whose maps it takes, in rising order; later stages are never run.
        reduce: parameter-free, from the maps of the taps to one small tensor a picture; None where
            ``predict`` needs the maps themselves.
        predict: the part that learns.
    """

    taps: tuple[int, ...]
    reduce: nn.Module | None
    predict: nn.Module

    def forward(self, maps: Maps) -> torch.Tensor:
        """Raw outputs of the maps of the taps."""
        raw: torch.Tensor = self.predict(maps if self.reduce is None else self.reduce(maps))
        return raw


class PoolLast(nn.Module):
    """Mean over the positions of the last map: (n, c, h, w) to (n, c)."""

    def forward(self, maps: Maps) -> torch.Tensor:
        """Averages in float32: stored maps are float16."""
        return maps[-1].float().mean(dim=(2, 3))


class PooledLinear(Head):
    """Global average pooling, dropout, one linear layer: raw outputs (n, outputs).

    Args:
        stages: of the backbone; the last one is pooled.
        outputs: raw outputs a picture.
        dropout: probability of dropping a pooled feature.
    """

    def __init__(self, stages: Sequence[Stage], outputs: int, dropout: float) -> None:
        super().__init__()
        self.taps = (len(stages) - 1,)
        self.reduce = PoolLast()
        linear = nn.Linear(stages[-1].channels, outputs)
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
