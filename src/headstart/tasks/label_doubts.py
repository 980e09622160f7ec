"""Confident learning: what a simple head, that has not seen a picture, thinks of its label.

Northcutt, Jiang and Chuang, "Confident Learning", JAIR 2021, as implemented by cleanlab.
"""

from __future__ import annotations

import dataclasses
from typing import Self

import numpy as np
import numpy.typing as npt
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FOLDS = 5
"""Pictures of each label, and groups, that there must be at least."""

PENALTY = 0.01
"""Inverse strength of the head's L2 penalty: a weaker one would fit the wrong labels."""


@dataclasses.dataclass(frozen=True)
class SecondOpinion:
    """What the head thinks of each picture.

    Attributes:
        probabilities: (n, labels); those of a picture come from a head that did not learn from it.
        quality: (n,), the normalised margin of the given label: the smaller, the more doubtful.
        sure: (n,), whether confident learning counts the label as wrong.
    """

    probabilities: npt.NDArray[np.float64]
    quality: npt.NDArray[np.float64]
    sure: npt.NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        features: npt.NDArray[np.float32],
        labels: npt.NDArray[np.intp],
        groups: npt.NDArray[np.intp],
        seed: int,
    ) -> Self:
        """Asks five heads, each about the fold that it did not see.

        Args:
            features: (n, channels).
            labels: (n,), from 0 on; each has ``FOLDS`` pictures or more.
            groups: (n,): pictures of one group are never on both sides of a fold.
            seed: of the folds.
        """
        model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=1000))
        folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
        probabilities = cross_val_predict(
            model, features, labels, groups=groups, cv=folds, method="predict_proba"
        )
        quality = get_label_quality_scores(labels, probabilities, method="normalized_margin")
        return cls(probabilities, quality, find_label_issues(labels, probabilities, n_jobs=1))

    @property
    def best(self) -> npt.NDArray[np.intp]:
        """The label that the head would give: (n,)."""
        found: npt.NDArray[np.intp] = self.probabilities.argmax(axis=1)
        return found
