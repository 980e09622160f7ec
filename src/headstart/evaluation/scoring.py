"""Runs a graph over labelled pictures and lets the task score the outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from headstart import tasks
from headstart.errors import ModelError
from headstart.progress import Progress
from headstart.runtime.backends import Backend
from headstart.runtime.predictor import run_paths
from headstart.runtime.preprocess import Preprocess
from headstart.tasks.protocol import FULL_FRAME, Calibration, Prediction
from headstart.types import Finding, Metric, Outputs, Record


@dataclasses.dataclass(frozen=True)
class Scored:
    """What a model is scored with.

    Attributes:
        backend: runs the graph.
        task: name of the task.
        schema: of the model.
        preprocess: the model's resize rule.
    """

    backend: Backend
    task: str
    schema: Any
    preprocess: Preprocess


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What a model scored on some pictures.

    Attributes:
        metrics: by name; the first one is the headline.
        findings: what a person should look at.
        answers: for each picture, in order, the prediction as plain values.
    """

    metrics: Mapping[str, Metric]
    findings: Sequence[Finding]
    answers: Sequence[Mapping[str, Any]]

    @property
    def headline(self) -> tuple[str, Metric]:
        """Name and value of the first metric."""
        return next(iter(self.metrics.items()))


def observe(model: Scored, records: Sequence[Record], title: str, progress: Progress) -> Outputs:
    """What calibration needs of a graph's outputs for the original files of records, in order.

    Raises:
        ModelError: an output is not finite.
    """
    return _joined([part for part, _ in _run(model, records, {}, title, progress)])


def evaluate_records(
    model: Scored, records: Sequence[Record], calibration: Calibration, progress: Progress
) -> Evaluation:
    """Scores a calibrated graph on the original files of records.

    Raises:
        ModelError: an output is not finite, which any metric would hide or spread.
    """
    scorer = tasks.scorer(model.task)
    parts: list[Outputs] = []
    answers: list[Mapping[str, Any]] = []
    for part, predictions in _run(model, records, calibration, "evaluate", progress):
        parts.append(part)
        answers += [prediction.to_json() for prediction in predictions]
    observed = _joined(parts)
    if any(record.box for record in records):
        # Boxes come from labels: a camera has none.
        whole = [dataclasses.replace(record, box=None) for record in records]
        without = observe(model, whole, "evaluate whole pictures", progress)
        observed = {**observed, **{f"{n}{FULL_FRAME}": part for n, part in without.items()}}
    found = scorer.score(observed, records, model.schema, calibration)
    findings = scorer.analyse(observed, records, model.schema, calibration, found)
    return Evaluation(found, findings, answers)


def metric_text(name: str, metric: Metric) -> str:
    """``accuracy 0.912 (95 % interval 0.880 to 0.935)``."""
    text = f"{name} {metric.value:.4g}"
    if metric.low is not None and metric.high is not None:
        text += f" (95 % interval {metric.low:.4g} to {metric.high:.4g})"
    return text


def _run(
    model: Scored,
    records: Sequence[Record],
    calibration: Calibration,
    title: str,
    progress: Progress,
) -> Iterator[tuple[Outputs, Sequence[Prediction]]]:
    """What is observed of every batch, and its predictions.

    Batch by batch, because the outputs of a whole data set could be larger than memory.
    """
    spec, scorer, schema = tasks.spec(model.task), tasks.scorer(model.task), model.schema
    start = 0
    with progress.bar(title, len(records)) as advance:
        pictures = [(record.path, record.box) for record in records]
        for outputs, geometries in run_paths(model.backend, pictures, model.preprocess):
            batch = records[start : start + len(geometries)]
            _check(outputs, batch)
            predictions = spec.decode(outputs, schema, calibration, geometries=geometries)
            yield scorer.observe(outputs, predictions, batch, schema), predictions
            start += len(batch)
            advance(len(batch))


def _check(outputs: Outputs, records: Sequence[Record]) -> None:
    for name, values in outputs.items():
        broken = np.flatnonzero(~np.isfinite(values.reshape(len(values), -1)).all(axis=1))
        if len(broken):
            raise ModelError(
                f"the model's output {name!r} is not finite, first for {records[broken[0]].image}"
            )


def _joined(parts: Sequence[Outputs]) -> Outputs:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
