"""Heads: from a backbone's feature maps to a task's raw outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import nn

from headstart.tasks.learning import HeadOptions
from headstart.types import Stage

HIDDEN = 128
"""Units of the hidden layer of the head ``mlp``."""

SHARPNESS = 10.0
"""Of log-sum-exp pooling, between the mean (0) and the maximum of all positions."""

STATS_STAGES = 3
"""Last stages whose maps the head ``stats`` takes."""

STATS_SPREAD = 0.4
"""Standard deviation of its features over the channels of one map: about that of pooled features,
so that the penalty of a convex start means the same for both."""

STATS_EPSILON = 1e-6
"""Added to a variance over positions before its root, whose slope at zero is infinite."""

Maps = tuple[torch.Tensor, ...]
"""Feature maps (n, channels, height, width), from early to late."""


class Head(nn.Module):
    """A head in two steps, so that the first can be run once when the whole backbone is frozen.

    Attributes:
        taps: the stages whose maps it takes, in rising order; later stages are never run.
        reduce: parameter-free, from the maps of the taps to one small tensor a picture; None where
            ``predict`` needs the maps themselves.
        predict: the part that learns.
        convex: whether the best weights of ``predict`` are the solution of a convex problem.
        solved: whether that solution is the end where the head trains alone, because epochs after
            it do not improve it.
    """

    taps: tuple[int, ...]
    reduce: nn.Module | None
    predict: nn.Module
    convex: bool = False
    solved: bool = False

    @property
    def summary(self) -> nn.Module | None:
        """Like ``reduce``, for a simple head to be cross-validated on; None where nothing fits."""
        return self.reduce

    def forward(self, maps: Maps) -> torch.Tensor:
        """Raw outputs of the maps of the taps."""
        raw: torch.Tensor = self.predict(maps if self.reduce is None else self.reduce(maps))
        return raw


def last_map(stages: Sequence[Stage]) -> int:
    """Number of the stage with the last map that tells where something is.

    Many networks end with a convolution that only multiplies the channels, for pooling.
    """
    last = len(stages) - 1
    if last and stages[last].stride == stages[last - 1].stride:
        widened = stages[last].channels > 2 * stages[last - 1].channels
        return last - 1 if widened else last
    return last


class PoolLast(nn.Module):
    """Mean over the positions of the last map: (n, c, h, w) to (n, c)."""

    def forward(self, maps: Maps) -> torch.Tensor:
        """Averages in float32: stored maps are float16."""
        return maps[-1].float().mean(dim=(2, 3))


class PoolStats(nn.Module):
    """Mean and standard deviation over the positions of every map, normalised.

    From maps (n, c, h, w) of any sizes to (n, twice the channels of all). The standard deviation
    tells what a mean over the whole picture hides: that something is strong in a few places.
    Statistics pooling is D. Snyder et al., X-vectors, ICASSP 2018. Each map's means, and each map's
    deviations, are normalised over the channels of one picture (J. L. Ba et al., Layer
    normalization, arXiv 1607.06450): stages differ in scale, and none may drown the others.
    """

    def forward(self, maps: Maps) -> torch.Tensor:
        """Sums in float32: stored maps are float16."""
        found = []
        for each in maps:
            # No reshape: a graph of one would be bound to the number of pictures.
            values = each.float()
            mean = values.mean(dim=(2, 3), keepdim=True)
            variance = (values - mean).square().mean(dim=(2, 3))
            found += [mean[:, :, 0, 0], (variance + STATS_EPSILON).sqrt()]
        return torch.cat([STATS_SPREAD * _normalised(values) for values in found], dim=1)


def _normalised(values: torch.Tensor) -> torch.Tensor:
    """Mean 0 and variance 1 over the channels: (n, c)."""
    return nn.functional.layer_norm(values, values.shape[1:])


@dataclasses.dataclass(frozen=True)
class Pooling:
    """How the maps of a backbone become one vector.

    Attributes:
        taps: the stages whose maps are taken.
        pool: takes these maps.
        channels: of the vector.
    """

    taps: tuple[int, ...]
    pool: nn.Module
    channels: int


def pooling(stages: Sequence[Stage], *, statistics: bool) -> Pooling:
    """``PoolStats`` of the last stages of a backbone, or ``PoolLast``."""
    last = len(stages) - 1
    if not statistics:
        return Pooling((last,), PoolLast(), stages[last].channels)
    taps = tuple(range(len(stages))[-STATS_STAGES:])
    return Pooling(taps, PoolStats(), 2 * sum(stages[tap].channels for tap in taps))


class PooledHead(Head):
    """Pooling over the positions, then one linear layer or a small network: raw (n, outputs).

    Args:
        stages: of the backbone; the last one is pooled, or the last ones.
        outputs: raw outputs a picture.
        options: ``linear`` is the mean of the last map, dropout and one layer; ``stats`` the same
            on the mean and standard deviation of the last maps; ``mlp`` is the mean of the last
            map, normalisation, dropout, a hidden layer of 128, ReLU, normalisation, dropout and a
            layer.
    """

    def __init__(self, stages: Sequence[Stage], outputs: int, options: HeadOptions) -> None:
        super().__init__()
        # Several backbones are one stage, which has pooled its members' maps itself.
        pooled = pooling(stages, statistics=options.kind == "stats" and len(stages) > 1)
        self.taps, self.reduce = pooled.taps, pooled.pool
        self.convex = options.kind != "mlp"
        self.solved = options.kind == "stats"
        features = pooled.channels
        hidden: list[nn.Module] = []
        if not self.convex:
            hidden = [
                nn.BatchNorm1d(features),
                nn.Dropout(options.dropout),
                nn.Linear(features, HIDDEN),
                nn.ReLU(),
                nn.BatchNorm1d(HIDDEN),
            ]
            features = HIDDEN
        linear = _from_zero(nn.Linear(features, outputs))
        self.predict = nn.Sequential(*hidden, nn.Dropout(options.dropout), linear)

    @property
    def linear(self) -> nn.Linear:
        """The last layer."""
        *_, layer = self.predict.children()
        if not isinstance(layer, nn.Linear):
            raise TypeError(f"expected a linear layer, got {type(layer).__name__}")
        return layer


class LogSumExp(nn.Module):
    """Log of the mean exponential over the positions: (n, c, h, w) to (n, c).

    Smooth, near the maximum: one position that is sure is enough, and others learn, too.

    Args:
        sharpness: 0 would be the mean, infinity the maximum.
    """

    def __init__(self, sharpness: float = SHARPNESS) -> None:
        super().__init__()
        self.sharpness = sharpness

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        """Written out, because not every format that is exported to has it as one operation."""
        flat = logits.float().flatten(2)
        highest = flat.amax(dim=2, keepdim=True)
        mean = torch.exp(self.sharpness * (flat - highest)).mean(dim=2)
        return highest[:, :, 0] + torch.log(mean) / self.sharpness


class LseHead(Head):
    """A logit of each output at each position, pooled by log-sum-exp: raw outputs (n, outputs).

    What is small fills few positions and is lost in the mean over all of them. P. O. Pinheiro and
    R. Collobert, From image-level to pixel-level labeling with convolutional networks, CVPR 2015.

    Args:
        stages: of the backbone; the last one's map is taken.
        outputs: raw outputs a picture.
        dropout: probability of dropping a channel.
    """

    def __init__(self, stages: Sequence[Stage], outputs: int, dropout: float) -> None:
        super().__init__()
        self.taps = (len(stages) - 1,)
        self.reduce = None
        channels = stages[-1].channels
        self.predict = nn.Sequential(
            TakeLast(),
            nn.BatchNorm2d(channels),
            nn.Dropout2d(dropout),
            _from_zero(nn.Conv2d(channels, outputs, 1)),
            LogSumExp(),
        )

    @property
    def summary(self) -> nn.Module:
        """The mean over the positions, as the pooled heads take it."""
        return PoolLast()

    @property
    def linear(self) -> nn.Conv2d:
        """The layer with the logits of every position."""
        *_, layer, _ = self.predict.children()
        if not isinstance(layer, nn.Conv2d):
            raise TypeError(f"expected a convolution, got {type(layer).__name__}")
        return layer


class TakeLast(nn.Module):
    """The last of several maps, in float32: stored maps are float16."""

    def forward(self, maps: Maps) -> torch.Tensor:
        """Leaves it as it is."""
        return maps[-1].float()


Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)


def _from_zero(layer: Layer) -> Layer:
    """Starts at the prior instead of at noise.

    With few pictures the noise of a random start is still visible after training.
    """
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def mean_and_error(values: torch.Tensor) -> tuple[float, float]:
    """Mean of one value a picture, and the standard error of that mean."""
    flat = values.flatten().double()
    error = float(flat.std(correction=0)) / max(1, len(flat)) ** 0.5
    return float(flat.mean()), error
