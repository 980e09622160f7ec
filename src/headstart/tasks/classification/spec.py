"""Targets and answers of classification: one class out of a list."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from headstart.config import DatasetOptions
from headstart.errors import DataError
from headstart.tasks.drawing import captioned
from headstart.tasks.fields import Row, field_names, parse_number, pick_field
from headstart.tasks.protocol import NO_OPTIONS, Calibration, ParsedTargets, TaskSpec
from headstart.types import Annotation, Geometry, ImageArray, Omission, Outputs, Skeleton

FIELD = "label"

DRAWN = 3
"""Classes that are written under a drawn picture."""


@dataclasses.dataclass(frozen=True)
class ClassSchema:
    """The classes, in the order of the graph's ``probabilities``."""

    classes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ClassPrediction:
    """The answer for one picture.

    Attributes:
        label: the most probable class.
        score: its calibrated probability.
        scores: probability by class, highest first; all classes or the top k.
        unknown: whether the picture looks like none of the classes.
        unknown_score: largest logit; below the model's threshold means unknown.
    """

    label: str
    score: float
    scores: dict[str, float]
    unknown: bool
    unknown_score: float

    @property
    def headline(self) -> str:
        """Label and probability, with a mark when the picture looks like none of the classes."""
        return f"{self.label} {self.score:.1%}" + (" (unknown?)" if self.unknown else "")

    def to_json(self) -> dict[str, Any]:
        """The keys that ``predict --json`` prints."""
        return dataclasses.asdict(self)


class ClassificationSpec(TaskSpec):
    """See ``TaskSpec``."""

    name = "classification"
    outputs = ("probabilities", "unknown_score")
    options: tuple[str, ...] = ("classes",)

    def claims(self, fields: Sequence[Mapping[str, str]]) -> float:
        """A field ``label``, or a single field of words."""
        names = field_names(fields)
        if FIELD in names:
            return 0.9
        words = any(parse_number(text) is None for entry in fields for text in entry.values())
        return 0.5 if len(names) == 1 and words else 0.0

    def parse(
        self,
        annotations: Sequence[Annotation],
        *,
        schema: ClassSchema | None = None,
        classes: Sequence[str] = (),
        options: DatasetOptions = NO_OPTIONS,
        skeleton: Skeleton | None = None,
    ) -> ParsedTargets:
        """Targets are indices into the sorted class names."""
        column = pick_field(annotations, FIELD, "a column of class names")
        labels = [annotation.fields.get(column, "").strip() for annotation in annotations]
        known = schema.classes if schema else tuple(classes) or tuple(sorted(set(labels) - {""}))
        _check_classes(known)
        index = {name: position for position, name in enumerate(known)}
        omissions = tuple(
            Omission(annotation.image, _reason(label))
            for annotation, label in zip(annotations, labels, strict=True)
            if label not in index
        )
        if len(omissions) == len(annotations):
            raise DataError(
                f"no picture has one of the classes {', '.join(known)}; "
                f"found {', '.join(sorted(set(labels))) or 'none'}"
            )
        targets = tuple(index.get(label) for label in labels)
        return ParsedTargets(ClassSchema(known), targets, omissions)

    def strata(self, schema: ClassSchema, target: int) -> tuple[str, ...]:
        """The class."""
        return (schema.classes[target],)

    def parts(self, schema: ClassSchema) -> tuple[str, ...]:
        """The classes."""
        return schema.classes

    def summarise(self, schema: ClassSchema, targets: Sequence[int]) -> list[tuple[str, str]]:
        """Pictures a class."""
        counts = Counter(targets)
        return [(name, str(counts[position])) for position, name in enumerate(schema.classes)]

    def schema_to_json(self, schema: ClassSchema) -> dict[str, Any]:
        """``{"classes": [...]}``."""
        return {"classes": list(schema.classes)}

    def schema_from_json(self, value: Mapping[str, Any]) -> ClassSchema:
        """Reads ``{"classes": [...]}``."""
        return ClassSchema(tuple(value["classes"]))

    def target_to_json(self, schema: ClassSchema, target: int) -> str:
        """The class's name."""
        return schema.classes[target]

    def to_row(self, schema: ClassSchema, target: int) -> Row:
        """The class's name."""
        return {FIELD: schema.classes[target]}

    def row_options(self, schema: ClassSchema) -> dict[str, Any]:
        """The classes, also those that no row has."""
        return {"classes": list(schema.classes)}

    def decode(
        self,
        outputs: Outputs,
        schema: ClassSchema,
        calibration: Calibration,
        *,
        geometries: Sequence[Geometry],
        top_k: int | None = None,
    ) -> list[ClassPrediction]:
        """Takes ``probabilities`` (n, classes) and ``unknown_score`` (n,)."""
        threshold = calibration.get("unknown_threshold", -np.inf)
        answers = []
        for row, score in zip(outputs["probabilities"], outputs["unknown_score"], strict=True):
            order = np.argsort(-row, kind="stable")[:top_k]
            scores = {schema.classes[i]: float(row[i]) for i in order}
            best = schema.classes[order[0]]
            unknown = bool(score < threshold)
            answers.append(ClassPrediction(best, scores[best], scores, unknown, float(score)))
        return answers

    def truth(self, schema: ClassSchema, target: int) -> ClassPrediction:
        """Probability 1 for the class."""
        name = schema.classes[target]
        return ClassPrediction(name, 1.0, {name: 1.0}, unknown=False, unknown_score=np.inf)

    def agreement(self, first: ClassPrediction, second: ClassPrediction) -> float:
        """1 for the same class, else 0."""
        return float(first.label == second.label)

    def draw(
        self, pixels: ImageArray, prediction: ClassPrediction, schema: ClassSchema
    ) -> Mapping[str, Image.Image]:
        """The best classes under the picture."""
        best = list(prediction.scores.items())[:DRAWN]
        lines = [prediction.headline, *(f"{name} {score:.1%}" for name, score in best[1:])]
        return {"": captioned(pixels, lines)}


def _check_classes(known: Sequence[str]) -> None:
    if len(known) < 2:
        raise DataError(
            f"at least two classes are needed, got {len(known)} ({', '.join(known) or 'none'})"
        )
    folded: dict[str, str] = {}
    for name in known:
        other = folded.setdefault(name.casefold(), name)
        if other != name:
            raise DataError(
                f"the classes {other!r} and {name!r} differ only in letter case: "
                "rename one of the folders or labels"
            )


def _reason(label: str) -> str:
    return f"its class {label!r} is not one of the classes" if label else "it has no label"


SPEC = ClassificationSpec()
