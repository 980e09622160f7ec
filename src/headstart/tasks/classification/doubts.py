"""Labels that a simple head contradicts: confident learning on out-of-fold probabilities.

Northcutt, Jiang and Chuang 2021, as implemented by cleanlab.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headstart.errors import DataError
from headstart.tasks.inspection import Doubt

FOLDS = 5

PENALTY = 0.01
"""Inverse strength of the head's L2 penalty: a weaker one would fit the wrong labels."""


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
    model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=1000))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    probabilities = cross_val_predict(
        model, features, index, groups=numbers, cv=folds, method="predict_proba"
    )
    quality = get_label_quality_scores(index, probabilities, method="normalized_margin")
    sure = find_label_issues(index, probabilities, n_jobs=1)
    best = probabilities.argmax(axis=1)
    return [
        Doubt(
            int(at),
            bool(sure[at]),
            f"labelled {classes[present[index[at]]]}, looks like {classes[present[best[at]]]} "
            f"({probabilities[at, best[at]]:.0%} against {probabilities[at, index[at]]:.0%})",
        )
        for at in np.argsort(quality, kind="stable")
        if best[at] != index[at]
    ]
