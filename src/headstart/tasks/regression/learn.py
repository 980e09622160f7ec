"""The torch half of regression."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from sklearn.linear_model import RidgeCV
from torch import nn
from torch.nn import functional

from headstart.models.heads import Head, PooledHead, mean_and_error
from headstart.tasks.learn_points import (
    encode_points,
    moved_points,
    place_points,
    points_identity,
    points_in_view,
)
from headstart.tasks.learning import HeadOptions, Objective, Placed, TaskDefaults
from headstart.tasks.points import PointSchema, PointsPrediction, PointsTarget
from headstart.tasks.protocol import TaskLearner
from headstart.tasks.regression.learn_points import CoordinateHead
from headstart.tasks.regression.numbers import Numbers, NumberSchema
from headstart.tasks.regression.spec import Schema, Target
from headstart.types import Geometry, Size, Stage

EDGE = 1e-3
"""Targets at the ends of a range are moved inwards by this share: their logit is infinite."""


class NumberHead(PooledHead):
    """Standardised numbers; remembers mean and standard deviation of the training targets.

    Args:
        stages: of the backbone.
        targets: of the training pictures (n, numbers).
        limits: smallest and largest value of each number; None for any.
        options: what the person chose.
    """

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(
        self,
        stages: Sequence[Stage],
        targets: torch.Tensor,
        limits: tuple[float, float] | None,
        options: HeadOptions,
    ) -> None:
        super().__init__(stages, targets.shape[1], options)
        self.limits = limits
        if not len(targets):
            targets = torch.zeros((1, targets.shape[1]))
        self.register_buffer("mean", targets.mean(dim=0))
        # Training pictures may share one value even where the whole set does not.
        self.register_buffer("deviation", targets.std(dim=0, correction=0).clamp_min(1e-6))

    def values(self, raw: torch.Tensor) -> torch.Tensor:
        """Numbers in their own units (n, numbers)."""
        return to_units(raw, self.mean, self.deviation, self.limits)


def to_units(
    raw: torch.Tensor,
    mean: torch.Tensor,
    deviation: torch.Tensor,
    limits: tuple[float, float] | None,
) -> torch.Tensor:
    """From raw outputs to the units of the targets; a sigmoid scaled to the range if there is one.

    The range follows J. Howard and S. Gugger, fastai (``y_range``).
    """
    if limits is None:
        return raw * deviation + mean
    low, high = limits
    return low + (high - low) * torch.sigmoid(raw)


class Finish(nn.Module):
    """Back to the units of the training targets."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, head: NumberHead) -> None:
        super().__init__()
        self.limits = head.limits
        self.register_buffer("mean", head.mean.clone())
        self.register_buffer("deviation", head.deviation.clone())

    def forward(self, raw: torch.Tensor) -> tuple[torch.Tensor]:
        """Takes raw outputs (n, numbers); gives values of the same shape."""
        return (to_units(raw, self.mean, self.deviation, self.limits),)


class FinishPoints(nn.Module):
    """Back to shares of the input."""

    mean: torch.Tensor
    deviation: torch.Tensor

    def __init__(self, head: CoordinateHead) -> None:
        super().__init__()
        self.register_buffer("mean", head.mean.clone())
        self.register_buffer("deviation", head.deviation.clone())

    def forward(self, raw: torch.Tensor) -> tuple[torch.Tensor]:
        """Takes standardised coordinates (n, points, 2); gives shares of width and height."""
        return (raw * self.deviation + self.mean,)


class RegressionLearner(TaskLearner):
    """See ``TaskLearner``."""

    losses: tuple[str, ...] = ("smooth-l1", "mse", "l1")
    higher_is_better = False

    def defaults(self, schema: Schema) -> TaskDefaults:
        """Points need an earlier stage, whose maps still know where something is."""
        if isinstance(schema, NumberSchema):
            return TaskDefaults()
        return TaskDefaults(
            resize="letterbox",
            trained_share=0.55,
            max_views=6,
            view_budget=12_000,
            freeze_epochs=0,
            pooled=False,
            heads=("linear",),
            may_mirror=bool(schema.skeleton.flip_pairs),
        )

    def moves(self, schema: Schema) -> bool:
        """Points move, numbers do not."""
        return isinstance(schema, PointSchema)

    def head(
        self,
        stages: Sequence[Stage],
        schema: Schema,
        targets: Sequence[Target],
        options: HeadOptions,
    ) -> Head:
        """Pooled for numbers; a head that keeps positions for points."""
        if isinstance(schema, PointSchema):
            points = cast("Sequence[PointsTarget]", targets)
            return CoordinateHead(stages, schema, points, options.dropout)
        count = len(schema.names)
        table = torch.tensor(np.asarray(targets), dtype=torch.float32).view(-1, count)
        return NumberHead(stages, table, schema.range, options)

    def initialise(
        self,
        head: nn.Module,
        features: npt.NDArray[np.float32],
        targets: Sequence[Target],
        schema: Schema,
    ) -> None:
        """Ridge regression on the plain views, its penalty chosen by leave-one-out."""
        if len(targets) < 2:
            return
        head = cast("NumberHead", head)
        plain = features[0].astype(np.float64)
        table = np.asarray(targets, dtype=np.float64).reshape(len(targets), -1)
        if head.limits is None:
            wanted = (table - head.mean.numpy()) / head.deviation.numpy()
        else:
            low, high = head.limits
            shares = np.clip((table - low) / (high - low), EDGE, 1.0 - EDGE)
            wanted = np.log(shares / (1.0 - shares))
        model = RidgeCV(alphas=np.logspace(-1, 4, 11)).fit(plain, wanted)
        with torch.no_grad():
            head.linear.weight.copy_(torch.from_numpy(np.atleast_2d(model.coef_)))
            head.linear.bias.copy_(torch.from_numpy(np.atleast_1d(model.intercept_)))

    def place(self, target: Target, schema: Schema, geometry: Geometry) -> torch.Tensor:
        """Points in continuous coordinates (points, 2)."""
        return place_points(cast("PointsTarget", target), geometry)

    def identity(self, target: Target, schema: Schema) -> Any:
        """The points, and which of them change places."""
        return points_identity(cast("PointsTarget", target), schema)

    def encode(self, target: Target, placed: Placed | None, schema: Schema) -> torch.Tensor:
        """Numbers in their own units (numbers,), or points: see ``encode_points``."""
        if isinstance(schema, PointSchema):
            return encode_points(cast("PointsTarget", target), placed, schema)
        return torch.tensor(cast("Numbers", target), dtype=torch.float32)

    def moved(self, target: Target, placed: Placed, schema: Schema) -> PointsTarget:
        """See ``moved_points``."""
        return moved_points(cast("PointsTarget", target), placed, cast("PointSchema", schema))

    def in_view(self, encoded: torch.Tensor, schema: Schema, size: Size) -> PointsPrediction:
        """See ``points_in_view``."""
        return points_in_view(encoded, cast("PointSchema", schema))

    def loss(
        self, head: nn.Module, raw: torch.Tensor, encoded: torch.Tensor, objective: Objective
    ) -> torch.Tensor:
        """Of standardised targets, over what has a label.

        Smooth L1 is quadratic below half a standard deviation for numbers, and a fifth for points.
        """
        if isinstance(head, CoordinateHead):
            found, wanted, known = head.standardised(raw, encoded)
            found, wanted, beta = found[known], wanted[known], 0.2
        else:
            head = cast("NumberHead", head)
            found, wanted, beta = head.values(raw) / head.deviation, encoded / head.deviation, 0.5
        if not found.numel():
            return raw.sum() * 0.0
        if objective.loss == "mse":
            return functional.mse_loss(found, wanted)
        if objective.loss == "l1":
            return functional.l1_loss(found, wanted)
        return functional.smooth_l1_loss(found, wanted, beta=beta)

    def comparable(
        self, head: nn.Module, raw: torch.Tensor, encoded: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Numbers in their own units, or points as shares of the input (n, points, 2)."""
        if isinstance(head, CoordinateHead):
            return head.shares(raw), encoded
        return cast("NumberHead", head).values(raw), encoded

    def statistics(self, head: nn.Module, raw: torch.Tensor, encoded: torch.Tensor) -> torch.Tensor:
        """Errors of each picture: of the number in its unit, of several standardised, of points."""
        if isinstance(head, CoordinateHead):
            return head.errors(raw, encoded)[:, None]
        head = cast("NumberHead", head)
        errors = (head.values(raw) - encoded).abs()
        return errors if errors.shape[1] == 1 else (errors / head.deviation).mean(1, keepdim=True)

    def epoch_metric(self, statistics: torch.Tensor) -> tuple[float, float]:
        """Mean error of the pictures that have one."""
        known = statistics[statistics.isfinite().all(dim=1)]
        return mean_and_error(known) if len(known) else (math.inf, 0.0)

    def finish(self, head: nn.Module) -> nn.Module:
        """Values in the units of the targets, or shares of the input."""
        if isinstance(head, CoordinateHead):
            return FinishPoints(head)
        return Finish(cast("NumberHead", head))


LEARNER = RegressionLearner()
