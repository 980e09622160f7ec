"""Targets and answers of multilabel: any set of classes out of a list, also none.

A target has for each class 1 (present), 0 (absent) or -1 (unknown), in the order of the schema.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.config import DatasetOptions
from headstart.tasks.drawing import captioned
from headstart.tasks.fields import Row, field_names
from headstart.tasks.multilabel.parsing import (
    ABSENT,
    FIELD,
    PRESENT,
    UNKNOWN,
    UNKNOWN_MARK,
    LabelSchema,
    flag,
    free_separator,
    parse_labels,
)
from headstart.tasks.protocol import NO_OPTIONS, Calibration, ParsedTargets, TaskSpec
from headstart.types import Annotation, Geometry, ImageArray, Outputs, Skeleton

Target = tuple[int, ...]

DEFAULT_THRESHOLD = 0.5
NO_LABEL = "(no label)"


@dataclasses.dataclass(frozen=True)
class LabelsPrediction:
    """The answer for one picture.

    Attributes:
        labels: the classes whose probability reaches their threshold, highest first.
        scores: probability by class, highest first; all classes or the top k.
    """

    labels: tuple[str, ...]
    scores: dict[str, float]

    @property
    def headline(self) -> str:
        """The labels with their probabilities."""
        texts = [f"{n} {self.scores[n]:.0%}" if n in self.scores else n for n in self.labels]
        return ", ".join(texts) or NO_LABEL

    def to_json(self) -> dict[str, Any]:
        """The keys of ``predict --json``; ``label`` is the most probable class, given or not."""
        best = next(iter(self.scores))
        return {
            "label": best,
            "labels": list(self.labels),
            "score": self.scores[best],
            "scores": self.scores,
            "unknown": None,
        }


def label_given(
    probabilities: npt.NDArray[np.floating], schema: LabelSchema, calibration: Calibration
) -> npt.NDArray[np.bool_]:
    """Which labels are given: (n, classes), where the probability reaches the class's threshold.

    Args:
        probabilities: (n, classes), 0 to 1.
        schema: of the model.
        calibration: ``threshold/<class>``; 0.5 for a class without one.
    """
    limits = [calibration.get(f"threshold/{n}", DEFAULT_THRESHOLD) for n in schema.classes]
    # In float32 a threshold between neighbouring probabilities may be rounded onto one of them.
    return np.asarray(probabilities >= np.array(limits, dtype=np.float64))


class MultilabelSpec(TaskSpec):
    """See ``TaskSpec``."""

    name = "multilabel"
    outputs = ("probabilities",)
    options: tuple[str, ...] = ("classes", "separator")

    def claims(self, fields: Sequence[Mapping[str, str]]) -> float:
        """A field ``labels``, columns of zeros and ones, or one text with several names."""
        names = field_names(fields)
        if FIELD in names:
            return 0.95
        texts = [text for entry in fields for text in entry.values() if text.strip()]
        if len(names) >= 2:
            flags = [flag(text) for text in texts]
            said = any(value in (PRESENT, ABSENT) for value in flags)
            return 0.9 if said and None not in flags else 0.0
        several = sum("|" in text or ";" in text for text in texts)
        return 0.6 if several > len(texts) / 2 else 0.0

    def parse(
        self,
        annotations: Sequence[Annotation],
        *,
        schema: LabelSchema | None = None,
        classes: Sequence[str] = (),
        options: DatasetOptions = NO_OPTIONS,
        skeleton: Skeleton | None = None,
    ) -> ParsedTargets:
        """Targets are tuples of 1 (present), 0 (absent) and -1 (unknown).

        Either one field holds names separated by ``|``, ``;``, ``,`` or spaces (an empty text is no
        label at all, ``?name`` is unknown), or each class has a field that holds 0 and 1 (also
        true, false, yes, no), where an empty text, ``?``, ``nan`` and -1 are unknown.
        """
        return parse_labels(
            annotations, schema=schema, classes=classes, separator=options.separator
        )

    def strata(self, schema: LabelSchema, target: Target) -> tuple[str, ...]:
        """The labels."""
        return _names(schema, target, PRESENT) or ("(none)",)

    def parts(self, schema: LabelSchema) -> tuple[str, ...]:
        """The classes."""
        return schema.classes

    def summarise(self, schema: LabelSchema, targets: Sequence[Target]) -> list[tuple[str, str]]:
        """Pictures with each label, and pictures without any."""
        rows = []
        for index, name in enumerate(schema.classes):
            column = [target[index] for target in targets]
            unknown = f", {column.count(UNKNOWN)} unknown" if UNKNOWN in column else ""
            rows.append((name, f"{column.count(PRESENT)}{unknown}"))
        bare = sum(PRESENT not in target for target in targets)
        return [*rows, (NO_LABEL, str(bare))] if bare else rows

    def schema_to_json(self, schema: LabelSchema) -> dict[str, Any]:
        """``{"classes": [...]}``."""
        return {"classes": list(schema.classes)}

    def schema_from_json(self, value: Mapping[str, Any]) -> LabelSchema:
        """Reads ``{"classes": [...]}``."""
        return LabelSchema(tuple(value["classes"]))

    def target_to_json(self, schema: LabelSchema, target: Target) -> dict[str, list[str]]:
        """``{"labels": [...]}``, with ``"unknown": [...]`` where some are not known."""
        value = {"labels": list(_names(schema, target, PRESENT))}
        unknown = list(_names(schema, target, UNKNOWN))
        return {**value, "unknown": unknown} if unknown else value

    def to_row(self, schema: LabelSchema, target: Target) -> Row:
        """Names in one text; those that are not known have a question mark before them."""
        unknown = [f"{UNKNOWN_MARK}{name}" for name in _names(schema, target, UNKNOWN)]
        texts = [*_names(schema, target, PRESENT), *unknown]
        return {FIELD: free_separator(schema.classes).join(texts)}

    def row_options(self, schema: LabelSchema) -> dict[str, Any]:
        """The classes, also those that no row has, and what stands between names."""
        classes = list(schema.classes)
        return {"classes": classes, "separator": free_separator(schema.classes)}

    def decode(
        self,
        outputs: Outputs,
        schema: LabelSchema,
        calibration: Calibration,
        *,
        geometries: Sequence[Geometry],
        top_k: int | None = None,
    ) -> list[LabelsPrediction]:
        """Takes ``probabilities`` (n, classes); ``top_k`` shortens the scores, not the labels."""
        probabilities = outputs["probabilities"]
        given = label_given(probabilities, schema, calibration)
        return [
            _prediction(row, chosen, schema, top_k)
            for row, chosen in zip(probabilities, given, strict=True)
        ]

    def truth(self, schema: LabelSchema, target: Target) -> LabelsPrediction:
        """Probability 1 for what is present, 0 for what is absent, 0.5 for what is unknown."""
        values = np.asarray(target)
        row = np.where(values == UNKNOWN, 0.5, values)
        return _prediction(row, values == PRESENT, schema, None)

    def agreement(self, first: LabelsPrediction, second: LabelsPrediction) -> float:
        """Labels that both give, as a share of those that either gives; 1 where neither does."""
        either = set(first.labels) | set(second.labels)
        return len(set(first.labels) & set(second.labels)) / len(either) if either else 1.0

    def draw(
        self, pixels: ImageArray, prediction: LabelsPrediction, schema: LabelSchema
    ) -> Mapping[str, Image.Image]:
        """The labels under the picture."""
        return {"": captioned(pixels, [prediction.headline])}


def _names(schema: LabelSchema, target: Target, value: int) -> tuple[str, ...]:
    return tuple(n for n, said in zip(schema.classes, target, strict=True) if said == value)


def _prediction(
    row: npt.NDArray[np.floating],
    given: npt.NDArray[np.bool_],
    schema: LabelSchema,
    top_k: int | None,
) -> LabelsPrediction:
    order = np.argsort(-row, kind="stable")
    labels = tuple(schema.classes[i] for i in order if given[i])
    return LabelsPrediction(labels, {schema.classes[i]: float(row[i]) for i in order[:top_k]})


SPEC = MultilabelSpec()
