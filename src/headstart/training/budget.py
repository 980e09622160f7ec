"""What fits into the time that the person gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from headstart.tasks.learning import TaskDefaults
from headstart.types import Size

SAFETY = 0.9
"""Share of the budget that a choice may fill: an estimate can be too low."""

LADDER = ((2.0, 1.5), (1.5, 1.25), (1.0, 1.0), (0.7, 1.0), (0.5, 0.7), (0.35, 0.5), (0.25, 0.3))
"""Epochs and views as multiples of the task's defaults, the best first."""

FEATURE_VIEWS = (7, 3, 1, 0)
"""Views for a head that trains alone, the best first."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """What a budget decides.

    Attributes:
        strategy: ``features`` or ``finetune``.
        split_stage: first stage that trains; None where the strategy says it.
        views: augmented views of each training picture.
        epochs: of the second phase; None where there is none.
        freeze_epochs: of the first phase.
    """

    strategy: str
    split_stage: int | None
    views: int
    epochs: int | None
    freeze_epochs: int

    def settings(self) -> dict[str, Any]:
        """Under the names of ``TrainConfig``."""
        return dataclasses.asdict(self)


def choices(stage: int, n_stages: int, views: int, defaults: TaskDefaults) -> Iterator[Choice]:
    """What could be done, from the best to the cheapest.

    More epochs come before a deeper split: with the default stage the task's figures were measured.

    Args:
        stage: first stage that trains by default.
        n_stages: of the network that are run.
        views: augmented views by default.
        defaults: of the task.
    """
    for first in range(stage, n_stages):
        for epochs, share in LADDER:
            yield Choice(
                "finetune",
                first,
                max(1, round(views * share)),
                max(1, round(defaults.epochs * epochs)),
                defaults.freeze_epochs,
            )
    alone = defaults.freeze_epochs or defaults.epochs
    for epochs in (alone, max(1, alone // 2), max(1, alone // 4)):
        for stored in FEATURE_VIEWS:
            yield Choice("features", None, stored, None, epochs)


LEAST_SHARE = 0.6
"""Share of a budget that seeing every picture once may take before pictures are made smaller."""

SMALLEST_SIDE = 96


def affordable_size(size: Size, pictures: int, seconds: float, budget: float) -> Size:
    """The size at which every picture can be seen once within a part of the budget.

    Args:
        size: (height, width) by default, in pixels.
        pictures: of all sides.
        seconds: for one picture at that size.
        budget: in seconds.

    Returns:
        The size itself, or a smaller one of about the same shape whose sides are multiples of 32.
    """
    needed, allowed = pictures * seconds, LEAST_SHARE * budget
    if needed <= allowed:
        return size
    factor = (allowed / needed) ** 0.5
    height, width = (max(SMALLEST_SIDE, int(side * factor) // 32 * 32) for side in size)
    return (min(height, size[0]), min(width, size[1]))
