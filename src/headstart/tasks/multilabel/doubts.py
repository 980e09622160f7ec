"""Labels that simple heads contradict: each class is tested against the rest.

So do Thyagarajan et al., "Identifying Incorrect Annotations in Multi-Label Classification Data",
2022. Pictures of which a label is not known are left out of its test, which cleanlab's own function
for several labels cannot do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from headstart.errors import DataError
from headstart.tasks.inspection import Doubt
from headstart.tasks.label_doubts import SecondOpinion
from headstart.tasks.logistic import FOLDS
from headstart.tasks.multilabel.parsing import PRESENT, UNKNOWN


def label_doubts(
    features: npt.NDArray[np.float32],
    targets: npt.NDArray[np.intp],
    groups: Sequence[str],
    classes: Sequence[str],
    seed: int,
) -> list[Doubt]:
    """One doubt a picture: of its least likely label; the least likely first.

    Args:
        features: (n, channels).
        targets: (n, classes), ``PRESENT``, ``ABSENT`` or ``UNKNOWN``.
        groups: pictures of one group are never on both sides of a fold.
        classes: their names.
        seed: of the folds.

    Raises:
        DataError: no class has enough pictures with and without it, or there are too few groups.
    """
    numbers = np.unique(groups, return_inverse=True)[1]
    worst: dict[int, tuple[float, Doubt]] = {}
    tested = 0
    for name, column in zip(classes, targets.T, strict=True):
        known = np.flatnonzero(column != UNKNOWN)
        present = (column[known] == PRESENT).astype(int)
        counts = np.bincount(present, minlength=2)
        if min(*counts, len(np.unique(numbers[known]))) < FOLDS:
            continue
        tested += 1
        for quality, at, sure, text in _of_class(
            name, features[known], present, numbers[known], seed
        ):
            found = (quality, Doubt(int(known[at]), sure, text))
            worst[found[1].at] = min(worst.get(found[1].at, found), found, key=lambda f: f[0])
    if not tested:
        raise DataError(f"it needs a class with {FOLDS} groups of pictures with and without it")
    return [doubt for _, doubt in sorted(worst.values(), key=lambda entry: entry[0])]


def _of_class(
    name: str,
    features: npt.NDArray[np.float32],
    present: npt.NDArray[np.intp],
    numbers: npt.NDArray[np.intp],
    seed: int,
) -> Iterator[tuple[float, int, bool, str]]:
    opinion = SecondOpinion.of(features, present, numbers, seed)
    for at in np.flatnonzero(opinion.best != present):
        chance = f"{opinion.probabilities[at, 1 - present[at]]:.0%}"
        given, other = ("with", "without") if present[at] else ("without", "with")
        words = f"labelled {given} {name}, looks like a picture {other} it ({chance})"
        yield float(opinion.quality[at]), int(at), bool(opinion.sure[at]), words
