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

from headstart.tasks.logistic import out_of_fold_probabilities


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
            labels: (n,), from 0 on.
            groups: (n,).
            seed: see ``out_of_fold_probabilities``.
        """
        probabilities = out_of_fold_probabilities(features, labels, groups, seed)
        quality = get_label_quality_scores(labels, probabilities, method="normalized_margin")
        return cls(probabilities, quality, find_label_issues(labels, probabilities, n_jobs=1))

    @property
    def best(self) -> npt.NDArray[np.intp]:
        """The label that the head would give: (n,)."""
        found: npt.NDArray[np.intp] = self.probabilities.argmax(axis=1)
        return found
