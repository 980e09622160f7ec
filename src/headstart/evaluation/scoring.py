"""Runs a graph over labelled pictures and lets the task score the outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headstart import tasks
from headstart.errors import ModelError
from headstart.progress import Progress
from headstart.runtime.backends import Backend
from headstart.runtime.predictor import run_paths
from headstart.runtime.preprocess import Preprocess
from headstart.tasks.protocol import Prediction
from headstart.types import Finding, Metric, Outputs, Record


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a model scored on some pictures.

    Attributes:
        metrics: by name; the first one is the headline.
        findings: what a person should look at.
        predictions: one for each picture, in order.
    """

    metrics: Mapping[str, Metric]
    findings: Sequence[Finding]
    predictions: Sequence[Prediction]

    @property
    def headline(self) -> tuple[str, Metric]:
        """Name and value of the first metric."""
        return next(iter(self.metrics.items()))


def run_records(
    backend: Backend,
    records: Sequence[Record],
    preprocess: Preprocess,
    title: str,
    progress: Progress,
) -> Outputs:
    """The graph's outputs for the original files of records, in their order."""
    with progress.bar(title, len(records)) as advance:
        return run_paths(backend, [r.path for r in records], preprocess, advance=advance)


def evaluate_outputs(
    outputs: Outputs,
    records: Sequence[Record],
    task: str,
    schema: Any,
    calibration: Mapping[str, float],
) -> Evaluation:
    """Scores the outputs of a calibrated graph.

    Raises:
        ModelError: an output is not finite, which any metric would hide or spread.
    """
    for name, values in outputs.items():
        broken = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
        if len(broken):
            raise ModelError(
                f"the model's output {name!r} is not finite for {len(broken)} of {len(values)} "
                f"pictures, first for {records[broken[0]].image}"
            )
    scorer = tasks.scorer(task)
    return Evaluation(
        metrics=scorer.score(outputs, records, schema, calibration),
        findings=scorer.analyse(outputs, records, schema, calibration),
        predictions=tasks.spec(task).decode(outputs, schema, calibration),
    )


def metric_text(name: str, metric: Metric) -> str:
    """``accuracy 0.912 (95 % interval 0.880 to 0.935)``."""
    text = f"{name} {metric.value:.4g}"
    if metric.low is not None and metric.high is not None:
        text += f" (95 % interval {metric.low:.4g} to {metric.high:.4g})"
    return text
