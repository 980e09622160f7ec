"""Average precision with unknown labels, fast enough to be computed for a thousand resamples."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Truth = npt.NDArray[np.int8]
"""(n, classes): 1 present, 0 absent, -1 unknown."""

USUAL_PREVALENCE = (0.05, 0.95)
"""Outside, a handful of pictures would decide about a class's average precision."""


class Ranking:
    """The pictures in falling order of each class's score: sorted once, weighted many times.

    Args:
        scores: (n, classes); higher means more probably present.
        truth: (n, classes): 1, 0 or -1; pictures where it is -1 do not take part.
    """

    def __init__(self, scores: npt.NDArray[np.floating], truth: Truth) -> None:
        by_class = np.ascontiguousarray(scores.T)
        self._order = np.argsort(-by_class, axis=1, kind="stable")
        ranked = np.take_along_axis(by_class, self._order, axis=1)
        ranked_truth = np.take_along_axis(truth.T, self._order, axis=1)
        self._present = (ranked_truth == 1).astype(np.float64)
        self._known = (ranked_truth >= 0).astype(np.float64)
        count = len(scores)
        # Pictures with the same score come in no order: each gets the precision at the last one.
        last = np.ones(ranked.shape, dtype=bool)
        last[:, :-1] = ranked[:, 1:] != ranked[:, :-1]
        ends = np.where(last, np.arange(count), count)
        self._ends = np.minimum.accumulate(ends[:, ::-1], axis=1)[:, ::-1]
        self._tied = not last.all()

    def average_precision(self, weights: Floats) -> Floats:
        """(classes,): the mean precision at the rank of each present label; higher is better.

        It is scikit-learn's ``average_precision_score``. NaN where no label is present.

        Args:
            weights: (n,): how often each picture counts, whole numbers.
        """
        weighted = weights[self._order]
        hits = weighted * self._present
        total = hits.sum(axis=1)
        found = np.cumsum(hits, axis=1)
        seen = np.cumsum(weighted * self._known, axis=1)
        precision = found / np.maximum(seen, 1.0)
        if self._tied:
            precision = np.take_along_axis(precision, self._ends, axis=1)
        mean = (hits * precision).sum(axis=1) / np.maximum(total, 1.0)
        return np.where(total > 0, mean, np.nan)


def weights_of(chosen: npt.NDArray[np.intp], count: int) -> Floats:
    """(count,): how often each picture occurs among indices (m,)."""
    return np.bincount(chosen, minlength=count).astype(np.float64)


def prevalence(truth: Truth) -> Floats:
    """(classes,): share of the known labels that are present; 0 where none is known."""
    return np.asarray((truth == 1).sum(axis=0) / np.maximum((truth >= 0).sum(axis=0), 1))


def has_both(truth: Truth) -> npt.NDArray[np.bool_]:
    """(classes,): whether there is a picture with the class and one without it."""
    return np.asarray((truth == 1).any(axis=0) & (truth == 0).any(axis=0))


def ranked_classes(truth: Truth) -> npt.NDArray[np.intp]:
    """Indices of the classes that mAP is the mean over.

    Those with a prevalence of 5 % to 95 %; if there is none, those with a picture with and one
    without; if there is none, those with a picture with it (whose average precision is 1, as is
    that of a random ranking).
    """
    share = prevalence(truth)
    usual = (share >= USUAL_PREVALENCE[0]) & (share <= USUAL_PREVALENCE[1])
    for chosen in (usual, has_both(truth)):
        if chosen.any():
            return np.flatnonzero(chosen)
    return np.flatnonzero(share > 0)


def mean_over(averages: Floats, classes: npt.NDArray[np.intp]) -> float:
    """Mean of the figures (classes,) of some classes; NaN where none of them is defined.

    0 when there is no class at all, which is scikit-learn's average precision without positives.
    """
    if not classes.size:
        return 0.0
    chosen = averages[classes]
    defined = chosen[~np.isnan(chosen)]
    return float(defined.mean()) if defined.size else float("nan")


def mean_average_precision(
    ranking: Ranking, weights: Floats, classes: npt.NDArray[np.intp]
) -> float:
    """Mean of average precision over the given classes (mAP); higher is better."""
    return mean_over(ranking.average_precision(weights), classes)
