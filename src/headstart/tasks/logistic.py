"""Logistic regression on pooled features: the start of a head, and an opinion out of fold."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

STEPS = 300
TOLERANCE = 1e-3

FOLDS = 5
"""Pictures of each label, and groups, that there must be at least for an opinion out of fold."""

PENALTY = 0.01
"""Inverse strength of its L2 penalty: a weaker one would fit the wrong labels."""


def fit_logistic(
    features: npt.NDArray[np.float32], labels: npt.NDArray[Any], inverse_penalty: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Weights and biases as scikit-learn's ``LogisticRegression`` gives them, sooner.

    The features are centred first. The bias has no penalty, so that the solution is the same one,
    and L-BFGS needs a third of the steps to it: pooled features are all positive. One thread: on
    matrices as narrow as these, several wait for each other (10,000 pictures of ten classes on two
    cores: 2.7 s as they are, 0.9 s centred, 0.4 s centred with one thread;
    ``benchmarks/refit.py``).

    Args:
        features: (n, channels); centred in place, because a copy could take 170 MB.
        labels: (n,), of two classes or more.
        inverse_penalty: scikit-learn's C.

    Returns:
        Weights (classes, channels) and biases (classes,) in the order of the sorted labels; of two
        classes one row, for the second one against the first.
    """
    mean = features.mean(axis=0, dtype=np.float64).astype(np.float32)
    features -= mean
    model = LogisticRegression(C=inverse_penalty, max_iter=STEPS, tol=TOLERANCE)
    with threadpool_limits(1, "blas"), warnings.catch_warnings():
        # Training goes on from here: it need not be the optimum.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(features, labels)
    return model.coef_, model.intercept_ - model.coef_ @ mean


def out_of_fold_probabilities(
    features: npt.NDArray[np.float32],
    labels: npt.NDArray[np.intp],
    groups: npt.NDArray[np.intp],
    seed: int,
) -> npt.NDArray[np.float64]:
    """What heads that did not learn from a picture think of it: (n, labels), in sorted order.

    Args:
        features: (n, channels).
        labels: (n,); each has ``FOLDS`` pictures or more.
        groups: (n,): pictures of one group are never on both sides of a fold.
        seed: of the folds.
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(C=PENALTY, max_iter=1000))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    found: npt.NDArray[np.float64] = cross_val_predict(
        model, features, labels, groups=groups, cv=folds, method="predict_proba"
    )
    return found
