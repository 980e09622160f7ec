"""Numbers as targets: one or several columns of a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headstart.config import DatasetOptions
from headstart.errors import DataError
from headstart.tasks.fields import field_names, parse_number
from headstart.tasks.protocol import ParsedTargets
from headstart.types import Annotation, Omission

FIELD = "value"

STRATA = 5
"""The split balances this many equally filled bands of the first number."""

Numbers = tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class NumberSchema:
    """What the numbers are.

    Attributes:
        names: the columns they came from.
        edges: inner borders of the bands of the first number that the split balances.
        range: smallest and largest value that they can have; None for any.
    """

    names: tuple[str, ...]
    edges: tuple[float, ...] = ()
    range: tuple[float, float] | None = None


@dataclasses.dataclass(frozen=True)
class NumberPrediction:
    """The answer for one picture.

    Attributes:
        names: what the numbers are.
        values: the numbers, in the units of the training targets.
    """

    names: tuple[str, ...]
    values: Numbers

    @property
    def name(self) -> str:
        """Of the first number."""
        return self.names[0]

    @property
    def value(self) -> float:
        """The first number."""
        return self.values[0]

    @property
    def headline(self) -> str:
        """Names and numbers."""
        pairs = zip(self.names, self.values, strict=True)
        return ", ".join(f"{name} {value:.4g}" for name, value in pairs)

    def to_json(self) -> dict[str, Any]:
        """The keys of ``predict --json``; ``label`` names the number, ``score`` has no meaning.

        ``value`` and ``label`` are those of the first number, ``scores`` has all.
        """
        return {
            "label": self.names[0],
            "value": self.values[0],
            "score": None,
            "scores": dict(zip(self.names, self.values, strict=True)),
            "unknown": None,
        }


def claim_numbers(fields: Sequence[Mapping[str, str]]) -> float:
    """How sure it is that fields are numbers: one column, or several that hold nothing else."""
    names = field_names(fields)
    texts = [text for entry in fields for text in entry.values() if text.strip()]
    share = sum(parse_number(text) is not None for text in texts) / len(texts) if texts else 0.0
    if len(names) != 1:
        return 0.6 * (share > 0.95)
    # A column named otherwise than "label" that holds numbers is meant as a number.
    return (0.95 if names != ("label",) else 0.1) * share * (share > 0.5)


def parse_numbers(
    annotations: Sequence[Annotation], schema: NumberSchema | None, options: DatasetOptions
) -> ParsedTargets:
    """Targets are tuples of finite floats; rows that lack one are left out.

    Raises:
        DataError: there is no column of numbers, or nothing to learn from it.
    """
    names = schema.names if schema else _columns(annotations)
    limits = schema.range if schema else options.range
    targets: list[Numbers | None] = []
    omissions = []
    for annotation in annotations:
        try:
            targets.append(_numbers(annotation, names, limits))
        except DataError as error:
            targets.append(None)
            omissions.append(Omission(annotation.image, str(error)))
    found = [target for target in targets if target is not None]
    if not found:
        raise DataError(f"no picture has a number in the column {names[0]!r}")
    if schema is None:
        table = np.asarray(found)
        for name, column in zip(names, table.T, strict=True):
            if column.min() == column.max():
                raise DataError(f"every {name} is {column[0]:g}: there is nothing to learn")
        edges = np.unique(np.quantile(table[:, 0], np.linspace(0, 1, STRATA + 1)[1:-1]))
        schema = NumberSchema(names, tuple(float(edge) for edge in edges), limits)
    return ParsedTargets(schema, tuple(targets), tuple(omissions))


def summarise_numbers(schema: NumberSchema, targets: Sequence[Numbers]) -> list[tuple[str, str]]:
    """Range, mean and spread of each number."""
    rows = []
    for name, values in zip(schema.names, np.asarray(targets, dtype=float).T, strict=True):
        text = (
            f"{values.min():.4g} to {values.max():.4g}, mean {values.mean():.4g}, "
            f"standard deviation {values.std():.4g}"
        )
        rows.append((name, text))
    return rows


def _columns(annotations: Sequence[Annotation]) -> tuple[str, ...]:
    """The preferred column, or all of which most is numbers."""
    names = field_names([annotation.fields for annotation in annotations])
    if FIELD in names:
        return (FIELD,)
    if len(names) == 1:
        return names
    chosen = []
    for name in names:
        texts = [a.fields.get(name, "") for a in annotations]
        given = [text for text in texts if text.strip()]
        numbers = sum(parse_number(text) is not None for text in given)
        if given and numbers > len(given) / 2:
            chosen.append(name)
    if not chosen:
        raise DataError(
            f"a column of numbers is needed beside image, split and group, such as {FIELD!r}; "
            f"found {', '.join(names) or 'none'}"
        )
    return tuple(chosen)


def _numbers(
    annotation: Annotation, names: Sequence[str], limits: tuple[float, float] | None
) -> Numbers:
    values = []
    for name in names:
        text = annotation.fields.get(name, "")
        value = parse_number(text)
        if value is None:
            raise DataError(f"{name} is no number: {text!r}")
        if limits is not None and not limits[0] <= value <= limits[1]:
            raise DataError(
                f"{name} is {value:g}, outside the range {limits[0]:g} to {limits[1]:g}"
            )
        values.append(value)
    return tuple(values)
