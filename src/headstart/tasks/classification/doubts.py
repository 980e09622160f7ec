"""Labels that a simple head contradicts, as sentences: see ``tasks.label_doubts``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from headstart.errors import DataError
from headstart.tasks.inspection import Doubt
from headstart.tasks.label_doubts import SecondOpinion
from headstart.tasks.logistic import FOLDS


def label_doubts(
    features: npt.NDArray[np.float32],
    labels: npt.NDArray[np.intp],
    groups: Sequence[str],
    classes: Sequence[str],
    seed: int,
) -> list[Doubt]:
    """Pictures whose label another class beats, the least likely label first.

    Args:
        features: (n, channels).
        labels: index of the class of each picture: (n,).
        groups: pictures of one group are never on both sides of a fold.
        classes: their names.
        seed: of the folds.

    Raises:
        DataError: a class has too few pictures for the folds, or there are too few groups.
    """
    present, index = np.unique(labels, return_inverse=True)
    numbers = np.unique(groups, return_inverse=True)[1]
    if len(present) < 2 or np.bincount(index).min() < FOLDS or numbers.max() + 1 < FOLDS:
        raise DataError(
            f"it needs two classes, {FOLDS} pictures of each, and {FOLDS} groups or more"
        )
    opinion = SecondOpinion.of(features, index, numbers, seed)
    best, chances = opinion.best, opinion.probabilities
    return [
        Doubt(
            int(at),
            bool(opinion.sure[at]),
            f"labelled {classes[present[index[at]]]}, looks like {classes[present[best[at]]]} "
            f"({chances[at, best[at]]:.0%} against {chances[at, index[at]]:.0%})",
        )
        for at in np.argsort(opinion.quality, kind="stable")
        if best[at] != index[at]
    ]
