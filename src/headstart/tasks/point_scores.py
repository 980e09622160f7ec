"""Errors of points and how they are summed up, for direct coordinates and for heatmaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from headstart.tasks import metrics
from headstart.tasks.points import PointSchema, PointsTarget
from headstart.types import Finding, Metric, Record

SHOWN = 8

PCK_SHARE = 0.2
PCK_STEPS = 20
"""Without a torso PCK is the mean over this many shares of the normaliser up to PCK_SHARE."""

Errors = npt.NDArray[np.float64]


def distances(xy: Errors, targets: Sequence[PointsTarget]) -> Errors:
    """Distance in original pixels of every point (n, points); NaN without a label."""
    truth = np.stack([target.array for target in targets])
    known = np.stack([target.known for target in targets])
    return np.where(known, np.linalg.norm(xy - truth, axis=2), np.nan)


def references(targets: Sequence[PointsTarget], schema: PointSchema) -> Errors:
    """The length that each picture's errors are divided by (n,); NaN where it is not known."""
    return np.array([target.reference(schema) for target in targets])


def row_means(values: Errors) -> Errors:
    """Mean of each row over what is a number; NaN for a row without any."""
    known = np.isfinite(values)
    counts = known.sum(axis=1)
    sums = np.where(known, values, 0.0).sum(axis=1)
    means = np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)
    return np.asarray(means)


def mean_metric(values: Errors, records: Sequence[Record], better: str = "lower") -> Metric:
    """Mean over the pictures that have a value, with its bootstrap interval."""
    return metrics.bootstrap(mean_statistic(values), records, better)


def mean_statistic(values: Errors) -> metrics.Statistic:
    """Mean of (n,) values over those that are numbers."""

    def statistic(at: npt.NDArray[np.intp]) -> float:
        found = values[at]
        found = found[np.isfinite(found)]
        return float(found.mean()) if found.size else float("nan")

    return statistic


def error_headline(xy: Errors, records: Sequence[Record], schema: PointSchema) -> metrics.Headline:
    """The ``point_error`` of ``point_metrics``."""
    targets = [record.target for record in records]
    relative = row_means(distances(xy, targets)) / references(targets, schema)
    return metrics.Headline("point_error", mean_statistic(relative), "lower")


def point_metrics(xy: Errors, records: Sequence[Record], schema: PointSchema) -> dict[str, Metric]:
    """``point_error`` and errors in pixels.

    ``point_error`` is the mean over pictures of the mean distance of their labelled points, divided
    by the picture's reference length; pictures without that length do not count. ``mae`` and
    ``mse`` are of single coordinates in original pixels.
    """
    targets = [record.target for record in records]
    apart = distances(xy, targets)
    truth = np.stack([target.array for target in targets])
    known = np.stack([target.known for target in targets])
    difference = np.where(known[:, :, None], xy - truth, np.nan).reshape(len(records), -1)
    relative = row_means(apart) / references(targets, schema)
    found = {
        "point_error": mean_metric(relative, records),
        "mae": mean_metric(row_means(np.abs(difference)), records),
        "mse": mean_metric(row_means(difference**2), records),
        "r2": metrics.bootstrap(lambda at: _r2(truth, known, difference, at), records),
    }
    return {name: metric for name, metric in found.items() if not np.isnan(metric.value)}


def torso_pck(xy: Errors, records: Sequence[Record], schema: PointSchema) -> dict[str, Metric]:
    """``pck_0.2`` of the torso, where the points have one: comparable between all heads."""
    if schema.torso is None:
        return {}
    targets = [record.target for record in records]
    torso = np.array([target.distance(schema.torso) for target in targets])
    found = pck(distances(xy, targets), PCK_SHARE * torso, records)
    return {} if np.isnan(found.value) else {"pck_0.2": found}


def pck(apart: Errors, limits: npt.NDArray[np.float64], records: Sequence[Record]) -> Metric:
    """Share of labelled points within a limit, over all points of pictures that have one.

    Args:
        apart: distances (n, points); NaN without a label.
        limits: (n,); NaN for pictures that do not count.
        records: the pictures.
    """
    return metrics.bootstrap(pck_statistic(apart, limits), records)


def pck_statistic(apart: Errors, limits: npt.NDArray[np.float64]) -> metrics.Statistic:
    """The share of ``pck`` of chosen pictures."""
    counted = np.isfinite(apart) & np.isfinite(limits)[:, None]
    right = np.where(counted, apart, np.inf) <= np.where(np.isfinite(limits), limits, 0.0)[:, None]
    hits, totals = (right & counted).sum(axis=1), counted.sum(axis=1)

    def share(at: npt.NDArray[np.intp]) -> float:
        total = totals[at].sum()
        return float(hits[at].sum() / total) if total else float("nan")

    return share


def joint_finding(
    xy: Errors, records: Sequence[Record], schema: PointSchema, explained: str = ""
) -> Finding:
    """Mean error of every point, largest first, as bars."""
    targets = [record.target for record in records]
    relative = distances(xy, targets) / references(targets, schema)[:, None]
    means = row_means(relative.T)
    counts = np.isfinite(relative).sum(axis=0)
    order = [at for at in np.argsort(-np.nan_to_num(means), kind="stable") if counts[at]]
    rows = [(schema.names[at], int(counts[at]), f"{means[at]:.1%}") for at in order]
    largest = max((float(means[at]) for at in order), default=1.0) or 1.0
    bars = [(schema.names[at], float(means[at]) / largest, f"{means[at]:.1%}") for at in order[:30]]
    text = ", ".join(f"{name} {error}" for name, _, error in rows[:3])
    return Finding(
        "Error by point",
        f"Mean distance, divided by the {schema.normaliser}. Largest: {text}. {explained}".strip(),
        ("point", "pictures", "mean error"),
        rows,
        bars=bars,
        spoken=True,
    )


def worst_finding(xy: Errors, records: Sequence[Record], schema: PointSchema) -> Finding:
    """The pictures with the largest error, drawn beside their targets."""
    targets = [record.target for record in records]
    relative = row_means(distances(xy, targets)) / references(targets, schema)
    known = np.flatnonzero(np.isfinite(relative))
    order = known[np.argsort(-relative[known], kind="stable")][:SHOWN]
    compared = [(records[at].image, f"mean error {relative[at]:.1%}") for at in order]
    return Finding("Worst pictures", "Left the target, right the prediction.", compared=compared)


def _r2(truth: Errors, known: Errors, difference: Errors, at: npt.NDArray[np.intp]) -> float:
    """Share of the variance of single coordinates that is explained."""
    values = np.where(known[at][:, :, None], truth[at], np.nan).reshape(len(at), -1)
    counts = np.isfinite(values).sum(axis=0)
    seen = counts > 0
    if not seen.any():
        return float("nan")
    values, errors = values[:, seen], difference[at][:, seen]
    means = np.nansum(values, axis=0) / counts[seen]
    spread = float(np.nansum((values - means) ** 2))
    return 1.0 - float(np.nansum(errors**2)) / spread if spread > 0 else float("nan")
