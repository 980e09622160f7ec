"""Metrics and error analysis of regression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from headstart.tasks import metrics
from headstart.tasks.point_scores import (
    error_headline,
    joint_finding,
    mean_metric,
    point_metrics,
    torso_pck,
    worst_finding,
)
from headstart.tasks.points import PointSchema, PointsPrediction
from headstart.tasks.protocol import Calibration, TaskScorer
from headstart.tasks.regression.numbers import NumberSchema
from headstart.tasks.regression.spec import Prediction, Schema
from headstart.types import Finding, Metric, Outputs, Record

FOLDS = 5
SHOWN = 12

Table = npt.NDArray[np.float64]
"""(n, numbers)."""


class RegressionScorer(TaskScorer):
    """See ``TaskScorer``."""

    def observe(
        self,
        outputs: Outputs,
        answers: Sequence[Prediction],
        records: Sequence[Record],
        schema: Schema,
    ) -> Outputs:
        """Numbers as they are; points in pixels of the original (n, points, 2)."""
        if isinstance(schema, NumberSchema):
            return outputs
        xy = [cast("PointsPrediction", answer).xy for answer in answers]
        return {"values": np.stack(xy).astype(np.float32)}

    def score(
        self,
        observed: Outputs,
        records: Sequence[Record],
        schema: Schema,
        calibration: Calibration,
    ) -> dict[str, Metric]:
        """Errors of points, or MAE, MSE, R2 and the MAE of the best constant (the median).

        Points with a torso have PCK too, to be compared with what heatmaps reach.

        With several numbers each metric is the mean over them, and ``mae/<name>`` has each.
        """
        if isinstance(schema, PointSchema):
            xy = observed["values"].astype(np.float64)
            return {**point_metrics(xy, records, schema), **torso_pck(xy, records, schema)}
        truth = _truth(records)
        error = observed["values"] - truth
        found = {
            "mae": metrics.bootstrap(lambda at: float(np.abs(error[at]).mean()), records, "lower"),
            "mse": metrics.bootstrap(lambda at: float((error[at] ** 2).mean()), records, "lower"),
            "r2": metrics.bootstrap(lambda at: _r2(truth[at], error[at]), records),
            "mae_best_constant": Metric(_constant_error(truth), better="lower"),
        }
        if len(schema.names) > 1:
            for name, column in zip(schema.names, np.abs(error).T, strict=True):
                found[f"mae/{name}"] = mean_metric(column, records)
        return {name: metric for name, metric in found.items() if not np.isnan(metric.value)}

    def headline(
        self,
        observed: Outputs,
        records: Sequence[Record],
        schema: Schema,
        calibration: Calibration,
    ) -> metrics.Headline:
        """Relative error of points, or MAE, whose unit is that of the best constant."""
        if isinstance(schema, PointSchema):
            return error_headline(observed["values"].astype(np.float64), records, schema)
        truth = _truth(records)
        error = np.abs(observed["values"] - truth)
        unit = _constant_error(truth) or 1.0
        return metrics.Headline("mae", lambda at: float(error[at].mean()), "lower", unit)

    def analyse(
        self,
        observed: Outputs,
        records: Sequence[Record],
        schema: Schema,
        calibration: Calibration,
        scores: Mapping[str, Metric],
    ) -> list[Finding]:
        """Error by point, or by band of the target; and the worst pictures."""
        values = observed["values"].astype(np.float64)
        if isinstance(schema, PointSchema):
            return [joint_finding(values, records, schema), worst_finding(values, records, schema)]
        truth = _truth(records)
        return [_bands(values, truth, schema), _largest(values, truth, records, schema)]

    def out_of_fold(
        self,
        features: npt.NDArray[np.float32],
        records: Sequence[Record],
        schema: Schema,
        seed: int,
    ) -> tuple[str, Metric] | None:
        """MAE of ridge regression, each picture predicted by a model that never saw it."""
        groups = np.unique([record.group_key for record in records], return_inverse=True)[1]
        if groups.max() + 1 < FOLDS or isinstance(schema, PointSchema):
            return None
        truth = _truth(records)
        model = make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(0, 5, 11)))
        folds = GroupKFold(FOLDS, shuffle=True, random_state=seed)
        guess = cross_val_predict(model, features, truth, groups=groups, cv=folds)
        error = np.abs(guess.reshape(truth.shape) - truth)
        return "mae", metrics.bootstrap(lambda at: float(error[at].mean()), records, "lower")


def _truth(records: Sequence[Record]) -> Table:
    return np.array([record.target for record in records], dtype=np.float64)


def _r2(truth: Table, error: Table) -> float:
    """Mean over the numbers; NaN where one of them does not vary."""
    spread = ((truth - truth.mean(axis=0)) ** 2).sum(axis=0)
    if not (spread > 0).all():
        return float("nan")
    return float(np.mean(1.0 - (error**2).sum(axis=0) / spread))


def _constant_error(truth: Table) -> float:
    return float(np.abs(truth - np.median(truth, axis=0)).mean())


def _bands(values: Table, truth: Table, schema: NumberSchema) -> Finding:
    """Error by band of the first number."""
    error = np.abs(values - truth)
    bands = np.searchsorted(schema.edges, truth[:, 0], side="right")
    rows = []
    for band in np.unique(bands):
        chosen = bands == band
        span = f"{truth[chosen, 0].min():.4g} to {truth[chosen, 0].max():.4g}"
        bias = float((values - truth)[chosen, 0].mean())
        rows.append((span, int(chosen.sum()), f"{error[chosen, 0].mean():.4g}", f"{bias:+.4g}"))
    summary = (
        f"The best constant for these pictures has a mean absolute error of "
        f"{_constant_error(truth):.4g}, this model {error.mean():.4g}."
    )
    header = (schema.names[0], "pictures", "mean absolute error", "mean error")
    return Finding("Error by size", summary, header, rows, spoken=True)


def _largest(
    values: Table, truth: Table, records: Sequence[Record], schema: NumberSchema
) -> Finding:
    """The worst pictures, by the error of their numbers relative to how far these spread."""
    spread = truth.std(axis=0)
    relative = np.abs(values - truth) / np.where(spread > 0, spread, 1.0)
    order = np.argsort(-relative.max(axis=1), kind="stable")[:SHOWN]
    images = []
    for at in order:
        worst = int(relative[at].argmax())
        caption = f"{schema.names[worst]} {truth[at, worst]:.4g}, predicted {values[at, worst]:.4g}"
        images.append((records[at].image, caption))
    return Finding("Largest errors", "Worst first.", images=images)


SCORER = RegressionScorer()
