"""Targets and answers of regression: one number for each picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from headstart.config import DatasetOptions
from headstart.errors import DataError
from headstart.tasks.drawing import captioned
from headstart.tasks.fields import field_names, parse_number, pick_field
from headstart.tasks.protocol import NO_OPTIONS, Calibration, ParsedTargets
from headstart.types import Annotation, Frame, Geometry, ImageArray, Omission, Outputs

FIELD = "value"

STRATA = 5
"""The split balances this many equally filled bands of the target."""


@dataclasses.dataclass(frozen=True)
class NumberSchema:
    """What the number is.

    Attributes:
        name: the column it came from.
        edges: inner borders of the bands that the split balances, in the target's unit.
    """

    name: str
    edges: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class NumberPrediction:
    """The answer for one picture.

    Attributes:
        name: what the number is.
        value: the number, in the unit of the training targets.
    """

    name: str
    value: float

    @property
    def headline(self) -> str:
        """Name and number."""
        return f"{self.name} {self.value:.4g}"

    def to_json(self) -> dict[str, Any]:
        """The keys of ``predict --json``; ``label`` names the number, ``score`` has no meaning."""
        return {
            "label": self.name,
            "value": self.value,
            "score": None,
            "scores": {self.name: self.value},
            "unknown": None,
        }


class RegressionSpec:
    """See ``TaskSpec``."""

    name = "regression"
    outputs = ("values",)
    options: tuple[str, ...] = ()
    class_files: tuple[str, ...] = ()

    def claims(self, fields: Sequence[Mapping[str, str]]) -> float:
        """Exactly one field, and most of what is given in it are numbers."""
        names = field_names(fields)
        if len(names) != 1:
            return 0.0
        texts = [text for entry in fields for text in entry.values() if text.strip()]
        numbers = sum(parse_number(text) is not None for text in texts)
        share = numbers / len(texts) if texts else 0.0
        # A column named otherwise than "label" that holds numbers is meant as a number.
        return (0.95 if names != ("label",) else 0.1) * share * (share > 0.5)

    def parse(
        self,
        annotations: Sequence[Annotation],
        *,
        schema: NumberSchema | None = None,
        classes: Sequence[str] = (),
        options: DatasetOptions = NO_OPTIONS,
    ) -> ParsedTargets:
        """Targets are finite floats; rows without one are left out."""
        column = schema.name if schema else pick_field(annotations, FIELD, "a column of numbers")
        if classes:
            raise DataError("a number has no classes: remove 'classes' from dataset.yaml")
        targets = tuple(
            parse_number(annotation.fields.get(column, "")) for annotation in annotations
        )
        omissions = tuple(
            Omission(
                annotation.image, f"{column} is no number: {annotation.fields.get(column, '')!r}"
            )
            for annotation, target in zip(annotations, targets, strict=True)
            if target is None
        )
        values = [target for target in targets if target is not None]
        if not values:
            raise DataError(f"no picture has a number in the column {column!r}")
        if schema is None:
            if min(values) == max(values):
                raise DataError(f"every {column} is {values[0]:g}: there is nothing to learn")
            edges = np.unique(np.quantile(values, np.linspace(0, 1, STRATA + 1)[1:-1]))
            schema = NumberSchema(column, tuple(float(edge) for edge in edges))
        return ParsedTargets(schema, targets, omissions)

    def fit(self, target: float, frame: Frame, options: DatasetOptions) -> float:
        """A number does not depend on how the picture lies."""
        return target

    def strata(self, schema: NumberSchema, target: float) -> tuple[str, ...]:
        """The band of the number."""
        return (str(int(np.searchsorted(schema.edges, target, side="right"))),)

    def summarise(self, schema: NumberSchema, targets: Sequence[float]) -> list[tuple[str, str]]:
        """Range, mean and spread."""
        values = np.asarray(targets, dtype=float)
        text = (
            f"{values.min():.4g} to {values.max():.4g}, mean {values.mean():.4g}, "
            f"standard deviation {values.std():.4g}"
        )
        return [(schema.name, text)]

    def schema_to_json(self, schema: NumberSchema) -> dict[str, Any]:
        """``{"name": ..., "edges": [...]}``."""
        return {"name": schema.name, "edges": list(schema.edges)}

    def schema_from_json(self, value: Mapping[str, Any]) -> NumberSchema:
        """Reads what ``schema_to_json`` wrote."""
        return NumberSchema(value["name"], tuple(value["edges"]))

    def target_to_json(self, schema: NumberSchema, target: float) -> float:
        """The number."""
        return target

    def decode(
        self,
        outputs: Outputs,
        schema: NumberSchema,
        calibration: Calibration,
        *,
        geometries: Sequence[Geometry],
        top_k: int | None = None,
    ) -> list[NumberPrediction]:
        """Takes ``values`` (n, 1) in the unit of the training targets."""
        return [NumberPrediction(schema.name, float(row[0])) for row in outputs["values"]]

    def truth(self, schema: NumberSchema, target: float) -> NumberPrediction:
        """The number itself."""
        return NumberPrediction(schema.name, target)

    def agreement(self, first: NumberPrediction, second: NumberPrediction) -> float:
        """1 minus the difference relative to the larger of the two, at least 0."""
        largest = max(abs(first.value), abs(second.value))
        return 1.0 - min(1.0, abs(first.value - second.value) / largest) if largest else 1.0

    def draw(
        self, pixels: ImageArray, prediction: NumberPrediction, schema: NumberSchema
    ) -> Mapping[str, Image.Image]:
        """Name and number under the picture."""
        return {"": captioned(pixels, [prediction.headline])}


SPEC = RegressionSpec()
