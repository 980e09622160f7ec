"""Helpers that the tasks share for reading the fields of annotations."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from headstart.errors import DataError
from headstart.types import Annotation

Row = Mapping[str, str | npt.NDArray[np.uint8]]
"""A target as fields of a table: texts, and masks (h, w), uint8, that become PNG files."""


def field_names(fields: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """All names that occur, in alphabetical order."""
    return tuple(sorted({name for entry in fields for name in entry}))


def pick_field(annotations: Sequence[Annotation], preferred: str, wanted: str) -> str:
    """The field that holds the targets: the preferred one, or the only one there is.

    Raises:
        DataError: there are several and none has the preferred name, or there is none.
    """
    names = field_names([annotation.fields for annotation in annotations])
    if preferred in names:
        return preferred
    if len(names) == 1:
        return names[0]
    raise DataError(
        f"{wanted} is needed: one column beside image, split and group, or one named "
        f"{preferred!r}; found {', '.join(names) or 'none'}"
    )


def parse_number(text: str) -> float | None:
    """A finite number, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
