"""Targets and answers of regression: numbers, or points by direct coordinates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from headstart.config import DatasetOptions
from headstart.errors import DataError
from headstart.tasks.drawing import captioned
from headstart.tasks.fields import Row, field_names
from headstart.tasks.inspection import Issue, Labelled
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
from headstart.tasks.regression.numbers import (
    NumberPrediction,
    Numbers,
    NumberSchema,
    claim_numbers,
    parse_numbers,
    summarise_numbers,
)
from headstart.types import Annotation, Frame, Geometry, ImageArray, Outputs, Skeleton

Schema = NumberSchema | PointSchema
Target = Numbers | PointsTarget
Prediction = NumberPrediction | PointsPrediction


class RegressionSpec(TaskSpec):
    """See ``TaskSpec``."""

    name = "regression"
    outputs = ("values",)
    options: tuple[str, ...] = ("normalise_by", "points", "bones", "flip_pairs", "range")

    def claims(self, fields: Sequence[Mapping[str, str]]) -> float:
        """Columns of coordinates, a single point, or columns of numbers."""
        names = field_names(fields)
        if names and point_columns(names):
            return 0.95
        if FIELD in names:
            single = all(len(entry.get(FIELD, "").split()) < 2 for entry in fields)
            return 0.97 if single else 0.2
        return claim_numbers(fields)

    def parse(
        self,
        annotations: Sequence[Annotation],
        *,
        schema: Schema | None = None,
        classes: Sequence[str] = (),
        options: DatasetOptions = NO_OPTIONS,
        skeleton: Skeleton | None = None,
    ) -> ParsedTargets:
        """Targets are tuples of numbers, or ``PointsTarget``."""
        if classes:
            raise DataError("a number has no classes: remove 'classes' from dataset.yaml")
        names = field_names([annotation.fields for annotation in annotations])
        points = FIELD in names or bool(names and point_columns(names))
        if isinstance(schema, PointSchema) or (schema is None and points):
            return parse_points(annotations, schema, options, skeleton)
        return parse_numbers(annotations, schema, options)

    def fit(self, target: Target, frame: Frame, options: DatasetOptions) -> Target:
        """Points are turned with the picture; numbers do not depend on how it lies."""
        return fit_points(target, frame) if isinstance(target, PointsTarget) else target

    def strata(self, schema: Schema, target: Target) -> tuple[str, ...]:
        """The band of the first number; all points are alike."""
        if isinstance(schema, PointSchema) or isinstance(target, PointsTarget):
            return ("points",)
        return (str(int(np.searchsorted(schema.edges, target[0], side="right"))),)

    def inspect(self, labelled: Sequence[Labelled], schema: Schema) -> list[Issue]:
        """Points outside of the picture, left and right swapped."""
        return inspect_points(labelled, schema) if isinstance(schema, PointSchema) else []

    def contradicts(self, schema: Schema, first: Target, second: Target) -> bool:
        """Points move with every crop; numbers do not."""
        return not isinstance(schema, PointSchema) and first != second

    def parts(self, schema: Schema) -> tuple[str, ...]:
        """The numbers or points."""
        return schema.names

    def summarise(self, schema: Schema, targets: Sequence[Any]) -> list[tuple[str, str]]:
        """What the numbers are like, or how many of the points have labels."""
        if isinstance(schema, PointSchema):
            return summarise_points(schema, targets)
        return summarise_numbers(schema, targets)

    def schema_to_json(self, schema: Schema) -> dict[str, Any]:
        """``{"names": [...], "edges": [...], "range": ...}``, or the points."""
        if isinstance(schema, PointSchema):
            return schema.to_json()
        limits = list(schema.range) if schema.range else None
        return {"names": list(schema.names), "edges": list(schema.edges), "range": limits}

    def schema_from_json(self, value: Mapping[str, Any]) -> Schema:
        """Reads what ``schema_to_json`` wrote."""
        if "points" in value:
            return PointSchema.from_json(value)
        limits = value["range"]
        return NumberSchema(
            tuple(value["names"]),
            tuple(value["edges"]),
            (limits[0], limits[1]) if limits else None,
        )

    def facts(self, schema: Schema) -> dict[str, str]:
        """What errors of points are divided by."""
        return {"normaliser": schema.normaliser} if isinstance(schema, PointSchema) else {}

    def target_to_json(self, schema: Schema, target: Target) -> Any:
        """The number, the numbers by name, or the points."""
        if isinstance(target, PointsTarget):
            return target.to_json()
        if len(target) == 1 or isinstance(schema, PointSchema):
            return target[0]
        return dict(zip(schema.names, target, strict=True))

    def to_row(self, schema: Schema, target: Target) -> Row:
        """A column for each number, or the points in one text."""
        if isinstance(target, PointsTarget):
            return points_row(target)
        pairs = zip(schema.names, target, strict=True)
        return {name: repr(float(number)) for name, number in pairs}

    def row_options(self, schema: Schema) -> dict[str, Any]:
        """The range of the numbers, or how the points belong together."""
        if isinstance(schema, PointSchema):
            return points_options(schema)
        return {"range": list(schema.range)} if schema.range else {}

    def decode(
        self,
        outputs: Outputs,
        schema: Schema,
        calibration: Calibration,
        *,
        geometries: Sequence[Geometry],
        top_k: int | None = None,
    ) -> list[Prediction]:
        """Takes ``values``: (n, numbers) in the units of the training targets, or points.

        Points are (n, points, 2): x and y as shares of the input's width and height, 0 at its left
        and upper border.
        """
        if isinstance(schema, NumberSchema):
            rows = outputs["values"].astype(float)
            return [NumberPrediction(schema.names, tuple(row)) for row in rows.tolist()]
        found: list[Prediction] = []
        for shares, geometry in zip(outputs["values"], geometries, strict=True):
            inside = shares.astype(np.float64) * geometry.size[::-1] - 0.5
            found.append(PointsPrediction(schema.names, geometry.to_original(inside)))
        return found

    def truth(self, schema: Schema, target: Target) -> Prediction:
        """The target itself; points without a label are not a number."""
        if isinstance(target, PointsTarget):
            return target.as_prediction(schema.names)
        return NumberPrediction(schema.names, target)

    def agreement(self, first: Prediction, second: Prediction) -> float:
        """1 minus the largest relative difference of numbers; share of points that are close."""
        if isinstance(first, PointsPrediction) and isinstance(second, PointsPrediction):
            return agree(first, second)
        if isinstance(first, PointsPrediction) or isinstance(second, PointsPrediction):
            raise TypeError("numbers are not compared with points")
        worst = 0.0
        for one, other in zip(first.values, second.values, strict=True):
            largest = max(abs(one), abs(other))
            worst = max(worst, abs(one - other) / largest if largest else 0.0)
        return 1.0 - min(1.0, worst)

    def draw(
        self, pixels: ImageArray, prediction: Prediction, schema: Schema
    ) -> Mapping[str, Image.Image]:
        """Numbers under the picture, points in it."""
        if isinstance(prediction, PointsPrediction) and isinstance(schema, PointSchema):
            return draw_points(pixels, prediction, schema)
        return {"": captioned(pixels, [prediction.headline])}


SPEC = RegressionSpec()
