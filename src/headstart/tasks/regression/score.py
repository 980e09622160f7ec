"""Metrics and error analysis of regression."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headstart.tasks import metrics
from headstart.tasks.protocol import Calibration
from headstart.tasks.regression.spec import NumberSchema
from headstart.types import Finding, Geometry, Metric, Outputs, Record

FOLDS = 5
SHOWN = 12


class RegressionScorer:
    """See ``TaskScorer``."""

    monitor = "mae"

    def observe(
        self,
        outputs: Outputs,
        records: Sequence[Record],
        geometries: Sequence[Geometry],
        schema: NumberSchema,
    ) -> Outputs:
        """The outputs themselves, which are small."""
        return outputs

    def calibrate(
        self, observed: Outputs, targets: Sequence[float], schema: NumberSchema, aim: str
    ) -> Calibration:
        """Nothing to fit."""
        return {}

    def score(
        self,
        observed: Outputs,
        records: Sequence[Record],
        schema: NumberSchema,
        calibration: Calibration,
    ) -> dict[str, Metric]:
        """MAE, MSE, R2, and the MAE of the best constant for these very pictures (their median)."""
        truth = _truth(records)
        error = observed["values"][:, 0] - truth
        found = {
            "mae": metrics.bootstrap(lambda at: float(np.abs(error[at]).mean()), records, "lower"),
            "mse": metrics.bootstrap(lambda at: float((error[at] ** 2).mean()), records, "lower"),
            "r2": metrics.bootstrap(lambda at: _r2(truth[at], error[at]), records),
            "mae_best_constant": Metric(
                float(np.abs(truth - np.median(truth)).mean()), better="lower"
            ),
        }
        return {name: metric for name, metric in found.items() if not np.isnan(metric.value)}

    def analyse(
        self,
        observed: Outputs,
        records: Sequence[Record],
        schema: NumberSchema,
        calibration: Calibration,
    ) -> list[Finding]:
        """Error by band of the target, and the worst pictures."""
        truth = _truth(records)
        values = observed["values"][:, 0]
        error = np.abs(values - truth)
        bands = np.searchsorted(schema.edges, truth, side="right")
        rows = []
        for band in np.unique(bands):
            chosen = bands == band
            span = f"{truth[chosen].min():.4g} to {truth[chosen].max():.4g}"
            bias = float((values - truth)[chosen].mean())
            rows.append((span, int(chosen.sum()), f"{error[chosen].mean():.4g}", f"{bias:+.4g}"))
        order = np.argsort(-error, kind="stable")[:SHOWN]
        images = [
            (records[i].image, f"{schema.name} {truth[i]:.4g}, predicted {values[i]:.4g}")
            for i in order
        ]
        header = (schema.name, "pictures", "mean absolute error", "mean error")
        constant = float(np.abs(truth - np.median(truth)).mean())
        summary = (
            f"The best constant for these pictures has a mean absolute error of {constant:.4g}, "
            f"this model {error.mean():.4g}."
        )
        return [
            Finding("Error by size", summary, header, rows, spoken=True),
            Finding("Largest errors", "Worst first.", images=images),
        ]

    def out_of_fold(
        self,
        features: npt.NDArray[np.float32],
        records: Sequence[Record],
        schema: NumberSchema,
        seed: int,
    ) -> tuple[str, Metric] | None:
        """MAE of ridge regression, each picture predicted by a model that never saw it."""
        groups = np.unique([record.group_key for record in records], return_inverse=True)[1]
        if groups.max() + 1 < FOLDS:
            return None
        truth = _truth(records)
        model = make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(0, 5, 11)))
        folds = GroupKFold(FOLDS, shuffle=True, random_state=seed)
        guess = cross_val_predict(model, features, truth, groups=groups, cv=folds)
        error = np.abs(guess - truth)
        return "mae", metrics.bootstrap(lambda at: float(error[at].mean()), records, "lower")


def _truth(records: Sequence[Record]) -> npt.NDArray[np.float64]:
    return np.array([record.target for record in records], dtype=np.float64)


def _r2(truth: npt.NDArray[np.float64], error: npt.NDArray[np.float64]) -> float:
    spread = float(((truth - truth.mean()) ** 2).sum())
    return 1.0 - float((error**2).sum()) / spread if spread > 0 else float("nan")


SCORER = RegressionScorer()
