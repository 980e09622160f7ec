"""Metrics and error analysis of keypoints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from headstart.tasks import metrics
from headstart.tasks.keypoints.oks import oks_ap
from headstart.tasks.point_scores import (
    PCK_SHARE,
    PCK_STEPS,
    Errors,
    distances,
    error_headline,
    joint_finding,
    mean_metric,
    mean_statistic,
    pck,
    pck_statistic,
    point_metrics,
    references,
    row_means,
    torso_pck,
    worst_finding,
)
from headstart.tasks.points import PointSchema, PointsPrediction
from headstart.tasks.protocol import FULL_FRAME, Calibration, TaskScorer
from headstart.types import Finding, Metric, Outputs, Record

PCKH_SHARE = 0.5


class KeypointsScorer(TaskScorer):
    """See ``TaskScorer``."""

    def observe(
        self,
        outputs: Outputs,
        answers: Sequence[PointsPrediction],
        records: Sequence[Record],
        schema: PointSchema,
    ) -> Outputs:
        """Points in original pixels (n, points, 2), and their scores (n, points)."""
        return {
            "xy": np.stack([answer.xy for answer in answers]).astype(np.float32),
            "scores": np.array([answer.scores for answer in answers], dtype=np.float32),
        }

    def score(
        self,
        observed: Outputs,
        records: Sequence[Record],
        schema: PointSchema,
        calibration: Calibration,
    ) -> dict[str, Metric]:
        """PCK@0.2 of the torso, PCKh@0.5, OKS-AP and errors of points, where each is defined.

        Points without a torso have ``pck_auc_0.2`` instead: the mean of PCK at twenty shares of the
        normaliser up to 0.2, because nearly every point of a face is within 0.2.

        Where boxes say what is meant, the same is scored on whole pictures, whose names end in
        ``_full_frame``.
        """
        found = _scores(observed["xy"].astype(np.float64), records, schema)
        found.update(oks_ap(observed, records, schema))
        if f"xy{FULL_FRAME}" in observed:
            whole = _scores(observed[f"xy{FULL_FRAME}"].astype(np.float64), records, schema)
            found.update({f"{name}{FULL_FRAME}": metric for name, metric in whole.items()})
        return found

    def headline(
        self,
        observed: Outputs,
        records: Sequence[Record],
        schema: PointSchema,
        calibration: Calibration,
    ) -> metrics.Headline:
        """The first of ``score``'s metrics that these pictures have."""
        xy = observed["xy"].astype(np.float64)
        targets = [record.target for record in records]
        apart = distances(xy, targets)
        heads = np.array([np.nan if t.head is None else t.head for t in targets], dtype=float)
        if schema.torso is not None:
            torso = np.array([target.distance(schema.torso) for target in targets])
            first = metrics.Headline("pck_0.2", pck_statistic(apart, PCK_SHARE * torso))
        else:
            relative = apart / references(targets, schema)[:, None]
            first = metrics.Headline("pck_auc_0.2", mean_statistic(_areas(relative)))
        others = (
            metrics.Headline("pckh_0.5", pck_statistic(apart, PCKH_SHARE * heads)),
            error_headline(xy, records, schema),
        )
        everything = np.arange(len(records))
        return next((h for h in (first, *others) if np.isfinite(h.of(everything))), first)

    def analyse(
        self,
        observed: Outputs,
        records: Sequence[Record],
        schema: PointSchema,
        calibration: Calibration,
        scores: Mapping[str, Metric],
    ) -> list[Finding]:
        """Error by point, the worst pictures, and how much is lost without the box."""
        xy = observed["xy"].astype(np.float64)
        findings = [joint_finding(xy, records, schema), worst_finding(xy, records, schema)]
        if schema.torso is not None:
            findings.insert(0, _torsos(records, schema.names, schema.torso))
        if f"xy{FULL_FRAME}" in observed:
            findings.insert(0, _full_frame(scores))
        return findings


def _scores(xy: Errors, records: Sequence[Record], schema: PointSchema) -> dict[str, Metric]:
    targets = [record.target for record in records]
    apart = distances(xy, targets)
    found = torso_pck(xy, records, schema)
    if schema.torso is None:
        found["pck_auc_0.2"] = _area(apart / references(targets, schema)[:, None], records)
    heads = np.array([np.nan if t.head is None else t.head for t in targets], dtype=float)
    found["pckh_0.5"] = pck(apart, PCKH_SHARE * heads, records)
    found.update(point_metrics(xy, records, schema))
    return {name: metric for name, metric in found.items() if not np.isnan(metric.value)}


def _area(relative: Errors, records: Sequence[Record]) -> Metric:
    """Mean of PCK at ``PCK_STEPS`` shares of the normaliser up to ``PCK_SHARE``."""
    return mean_metric(_areas(relative), records, "higher")


def _areas(relative: Errors) -> Errors:
    """The same of each picture (n,)."""
    limits = PCK_SHARE * (np.arange(PCK_STEPS) + 1) / PCK_STEPS
    reached = (relative[:, :, None] <= limits).mean(axis=2)
    return row_means(np.where(np.isfinite(relative), reached, np.nan))


def _torsos(records: Sequence[Record], names: Sequence[str], torso: tuple[int, int]) -> Finding:
    without = sum(bool(np.isnan(record.target.distance(torso))) for record in records)
    text = (
        f"PCK@0.2 counts a point as right within 0.2 of the distance between "
        f"{names[torso[0]]} and {names[torso[1]]}. "
        f"{without} of {len(records)} pictures show no whole torso and do not count."
    )
    return Finding("Torso", text, spoken=bool(without))


def _full_frame(scores: Mapping[str, Metric]) -> Finding:
    name, on_crops = next(iter(scores.items()))
    text = (
        f"{name} is {on_crops.value:.3f} on crops around the given boxes and "
        f"{scores[name + FULL_FRAME].value:.3f} on whole pictures, which is what a camera without "
        "a detector gives."
    )
    return Finding("Without boxes", text, spoken=True)


SCORER = KeypointsScorer()
