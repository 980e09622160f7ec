"""What an audit of a data set tells a task, and what it is told."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from headstart.types import Frame, Split

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


@dataclasses.dataclass(frozen=True)
class Issue:
    """Something that an audit of a data set found.

    Attributes:
        check: name of the check that found it.
        severity: ``error`` spoils training or scores, ``warning`` wants a look, ``info`` is good to
            know.
        images: the pictures that it is about, relative to the data set's root; empty for a whole
            class or data set.
        message: one sentence.
    """

    check: str
    severity: Severity
    images: tuple[str, ...]
    message: str

    def to_json(self) -> dict[str, Any]:
        """The form of ``check --json``."""
        return {**dataclasses.asdict(self), "images": list(self.images)}


@dataclasses.dataclass(frozen=True, slots=True)
class Labelled:
    """One annotation of a picture that can be read, as an audit sees it.

    Attributes:
        image: path relative to the data set's root.
        target: as the task parsed it, before it was fitted to the picture.
        frame: how the picture lies in its file.
        split: the side that the layout assigns.
        group: that it belongs to.
    """

    image: str
    target: Any
    frame: Frame
    split: Split | None = None
    group: str | None = None


@dataclasses.dataclass(frozen=True)
class Doubt:
    """A label that other pictures contradict.

    Attributes:
        at: position of the picture.
        sure: whether confident learning counts it as wrong; else only a simple head disagrees.
        text: what is given and what would be expected.
    """

    at: int
    sure: bool
    text: str
