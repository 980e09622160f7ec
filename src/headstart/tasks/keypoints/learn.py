"""The torch half of keypoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import nn

from headstart.models.decoders import UnetHead
from headstart.models.heads import Head, mean_and_error
from headstart.tasks.keypoints.heatmaps import STRIDE
from headstart.tasks.keypoints.losses import LOSSES, gaussians
from headstart.tasks.learn_points import (
    encode_points,
    moved_points,
    place_points,
    points_identity,
    points_in_view,
)
from headstart.tasks.learning import HeadOptions, Objective, Placed, TaskDefaults
from headstart.tasks.point_scores import PCK_SHARE, PCK_STEPS
from headstart.tasks.points import PointSchema, PointsPrediction, PointsTarget
from headstart.tasks.protocol import TaskLearner
from headstart.types import Geometry, Size, Stage

START_BIAS = -4.0
"""Most of a heatmap is empty: the first outputs should be."""


class HeatmapHead(UnetHead):
    """A heatmap for each point.

    Args:
        stages: of the backbone.
        schema: the points.
        dropout: probability of dropping a channel.
    """

    def __init__(self, stages: Sequence[Stage], schema: PointSchema, dropout: float) -> None:
        super().__init__(stages, len(schema.names), dropout)
        self.torso = schema.torso
        self.pair = schema.torso or schema.normalise_by
        last = self.predict.get_submodule("last.1")
        nn.init.constant_(cast("torch.Tensor", last.bias), START_BIAS)


class Finish(nn.Module):
    """Heatmaps between 0 and 1."""

    def forward(self, raw: torch.Tensor) -> tuple[torch.Tensor]:
        """Takes raw maps; gives heatmaps of the same shape."""
        return (torch.sigmoid(raw),)


class KeypointsLearner(TaskLearner):
    """See ``TaskLearner``."""

    losses: tuple[str, ...] = tuple(LOSSES)
    higher_is_better = True

    def defaults(self, schema: PointSchema) -> TaskDefaults:
        """See ``TaskDefaults``."""
        return TaskDefaults(
            resize="letterbox",
            trained_share=0.68,
            bfloat16_share=1.0,
            max_views=6,
            view_budget=14_000,
            epochs=22,
            freeze_epochs=0,
            batch_size=16,
            label_smoothing=0.0,
            pooled=False,
            heads=("linear",),
            may_mirror=bool(schema.skeleton.flip_pairs),
        )

    def moves(self, schema: PointSchema) -> bool:
        """Points move with their picture."""
        return True

    def head(
        self,
        stages: Sequence[Stage],
        schema: PointSchema,
        targets: Sequence[PointsTarget],
        options: HeadOptions,
    ) -> Head:
        """A U-Net decoder."""
        return HeatmapHead(stages, schema, options.dropout)

    def place(self, target: PointsTarget, schema: PointSchema, geometry: Geometry) -> torch.Tensor:
        """Points in continuous coordinates (points, 2)."""
        return place_points(target, geometry)

    def identity(self, target: PointsTarget, schema: PointSchema) -> Any:
        """The points, and which of them change places."""
        return points_identity(target, schema)

    def encode(
        self, target: PointsTarget, placed: Placed | None, schema: PointSchema
    ) -> torch.Tensor:
        """See ``encode_points``."""
        return encode_points(target, placed, schema)

    def moved(self, target: PointsTarget, placed: Placed, schema: PointSchema) -> PointsTarget:
        """See ``moved_points``."""
        return moved_points(target, placed, schema)

    def in_view(self, encoded: torch.Tensor, schema: PointSchema, size: Size) -> PointsPrediction:
        """See ``points_in_view``."""
        return points_in_view(encoded, schema)

    def loss(
        self, head: nn.Module, raw: torch.Tensor, encoded: torch.Tensor, objective: Objective
    ) -> torch.Tensor:
        """See ``losses``; zero where no point of the batch has a label."""
        known = encoded[:, :-1, 2] > 0
        if not bool(known.any()):
            return raw.sum() * 0.0
        targets = gaussians(encoded, raw.shape[2], raw.shape[3])
        return LOSSES[objective.loss](torch.sigmoid(raw.float()), targets, known)

    def statistics(self, head: nn.Module, raw: torch.Tensor, encoded: torch.Tensor) -> torch.Tensor:
        """PCK of each picture (n, 1); not a number where it cannot be computed."""
        head = cast("HeatmapHead", head)
        size, known = encoded[:, -1:, :2], encoded[:, :-1, 2] > 0
        truth = encoded[:, :-1, :2] * size
        flat = raw.flatten(2).argmax(dim=2)
        cells = torch.stack([flat % raw.shape[3], flat // raw.shape[3]], dim=2)
        apart = ((cells + 0.5) * STRIDE - truth).norm(dim=2)
        if head.pair is None:
            reference = size[:, 0].prod(dim=1).sqrt()
        else:
            first, second = head.pair
            reference = (truth[:, first] - truth[:, second]).norm(dim=1)
            reference[~(known[:, first] & known[:, second])] = torch.nan
        shares = (
            [PCK_SHARE]
            if head.torso
            else [PCK_SHARE * (step + 1) / PCK_STEPS for step in range(PCK_STEPS)]
        )
        right = torch.stack([apart <= share * reference[:, None] for share in shares]).float()
        found = (right.mean(dim=0) * known).sum(dim=1) / known.sum(dim=1)
        return torch.where(reference.isfinite(), found, torch.nan)[:, None]

    def epoch_metric(self, statistics: torch.Tensor) -> tuple[float, float]:
        """Mean PCK of the pictures that have one; 0 where none has."""
        known = statistics[statistics.isfinite()]
        return mean_and_error(known) if len(known) else (0.0, 0.0)

    def finish(self, head: nn.Module) -> nn.Module:
        """Heatmaps."""
        return Finish()


LEARNER = KeypointsLearner()
