"""Targets and answers of keypoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from headstart.config import DatasetOptions
from headstart.tasks.fields import Row, field_names
from headstart.tasks.inspection import Issue, Labelled
from headstart.tasks.keypoints.heatmaps import SIGMA, STRIDE, peaks
from headstart.tasks.point_faults import inspect_points
from headstart.tasks.point_rows import points_options, points_row
from headstart.tasks.points import (
    FIELD,
    PointSchema,
    PointsPrediction,
    PointsTarget,
    agree,
    draw_points,
    fit_points,
    parse_points,
    point_columns,
    summarise_points,
)
from headstart.tasks.protocol import NO_OPTIONS, Calibration, ParsedTargets, TaskSpec
from headstart.types import Annotation, Frame, Geometry, ImageArray, Outputs, Skeleton

DRAWN_FROM = 0.1
"""Points with a lower score are not drawn: the heatmap has no peak for them."""


class KeypointsSpec(TaskSpec):
    """See ``TaskSpec``."""

    name = "keypoints"
    outputs = ("heatmaps",)
    options: tuple[str, ...] = ("normalise_by", "points", "bones", "flip_pairs")

    def claims(self, fields: Sequence[Mapping[str, str]]) -> float:
        """The points of a pose; columns of coordinates belong to another task unless asked for."""
        names = field_names(fields)
        if FIELD in names:
            return 0.9
        return 0.3 if names and point_columns(names) else 0.0

    def parse(
        self,
        annotations: Sequence[Annotation],
        *,
        schema: PointSchema | None = None,
        classes: Sequence[str] = (),
        options: DatasetOptions = NO_OPTIONS,
        skeleton: Skeleton | None = None,
    ) -> ParsedTargets:
        """Targets are ``PointsTarget``."""
        return parse_points(annotations, schema, options, skeleton)

    def fit(self, target: PointsTarget, frame: Frame, options: DatasetOptions) -> PointsTarget:
        """Points are turned with the picture."""
        return fit_points(target, frame)

    def inspect(self, labelled: Sequence[Labelled], schema: PointSchema) -> list[Issue]:
        """Points outside of the picture, left and right swapped."""
        return inspect_points(labelled, schema)

    def contradicts(self, schema: PointSchema, first: PointsTarget, second: PointsTarget) -> bool:
        """Points move with every crop."""
        return False

    def parts(self, schema: PointSchema) -> tuple[str, ...]:
        """The points."""
        return schema.names

    def summarise(
        self, schema: PointSchema, targets: Sequence[PointsTarget]
    ) -> list[tuple[str, str]]:
        """Pictures in which each point has a label."""
        return summarise_points(schema, targets)

    def schema_to_json(self, schema: PointSchema) -> dict[str, Any]:
        """Names, bones, pairs and the normaliser."""
        return schema.to_json()

    def schema_from_json(self, value: Mapping[str, Any]) -> PointSchema:
        """Reads what ``schema_to_json`` wrote."""
        return PointSchema.from_json(value)

    def facts(self, schema: PointSchema) -> dict[str, str]:
        """What errors are divided by, and how wide the targets are."""
        return {"normaliser": schema.normaliser, "sigma": f"{SIGMA:g} cells of {STRIDE} pixels"}

    def target_to_json(self, schema: PointSchema, target: PointsTarget) -> dict[str, Any]:
        """The points."""
        return target.to_json()

    def to_row(self, schema: PointSchema, target: PointsTarget) -> Row:
        """The points in one text."""
        return points_row(target)

    def row_options(self, schema: PointSchema) -> dict[str, Any]:
        """How the points belong together."""
        return points_options(schema)

    def decode(
        self,
        outputs: Outputs,
        schema: PointSchema,
        calibration: Calibration,
        *,
        geometries: Sequence[Geometry],
        top_k: int | None = None,
    ) -> list[PointsPrediction]:
        """Takes ``heatmaps`` (n, points, height / 4, width / 4)."""
        answers = []
        for maps, geometry in zip(outputs["heatmaps"], geometries, strict=True):
            inside, scores = peaks(maps)
            xy = geometry.to_original(inside)
            answers.append(PointsPrediction(schema.names, xy, tuple(scores.tolist()), top_k))
        return answers

    def truth(self, schema: PointSchema, target: PointsTarget) -> PointsPrediction:
        """The target itself; points without a label are not a number."""
        return target.as_prediction(schema.names)

    def agreement(self, first: PointsPrediction, second: PointsPrediction) -> float:
        """Share of points that lie close to each other."""
        return agree(first, second)

    def draw(
        self, pixels: ImageArray, prediction: PointsPrediction, schema: PointSchema
    ) -> Mapping[str, Image.Image]:
        """Points and bones over the picture."""
        return draw_points(np.ascontiguousarray(pixels), prediction, schema, DRAWN_FROM)


SPEC = KeypointsSpec()
