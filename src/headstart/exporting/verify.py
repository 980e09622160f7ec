"""Runs an exported graph beside the reference network on real pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart import tasks
from headstart.errors import HeadstartError, ModelError
from headstart.exporting.differences import Differences
from headstart.exporting.formats.openvino import FORMAT
from headstart.exporting.verdict import SHIFTS, floor_of
from headstart.runtime.backends import Backend
from headstart.runtime.backends.openvino import OpenVinoBackend
from headstart.runtime.predictor import BFLOAT16, Input
from headstart.tasks.protocol import Calibration

TOLERANCE = 1e-3
"""Largest difference of any output, relative to its size where that is above 1."""

BATCH = 16


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How close an exported file's outputs are to the reference's.

    Attributes:
        checked_by: what ran the file.
        n_images: pictures that were compared.
        max_difference: largest difference of any output value.
        answers: mean agreement of the decoded answers, 0 to 1: the share of equal classes, of
            shared labels, of the masks' union, of points that are close, ...
    """

    checked_by: str
    n_images: int
    max_difference: float
    answers: float

    def to_json(self) -> dict[str, Any]:
        """The form of ``model.json``."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Decoding:
    """From outputs to answers.

    Attributes:
        task: name of the task.
        schema: of the model.
        calibration: of the model.
    """

    task: str
    schema: Any
    calibration: Calibration


def verify(
    backend: Backend,
    checked_by: str,
    reference: nn.Module,
    decoding: Decoding,
    inputs: Sequence[Input],
) -> Agreement:
    """Compares every output, and every answer, on the same preprocessed pictures.

    Args:
        backend: runs the exported file.
        checked_by: its name and version.
        reference: the network in float32, giving a tuple in the order of the task's outputs.
        decoding: from outputs to answers.
        inputs: preprocessed pictures, at least one.

    Raises:
        ModelError: the file answers differently; it must not be handed over.
    """
    worst = 0.0
    agreed: list[float] = []
    spec = tasks.spec(decoding.task)
    for start in range(0, len(inputs), BATCH):
        batch = np.stack([pixels for pixels, _ in inputs[start : start + BATCH]])
        geometries = [geometry for _, geometry in inputs[start : start + BATCH]]
        found = backend.run(batch)
        with torch.inference_mode():
            tensors = reference(torch.from_numpy(batch))
        expected = {n: t.numpy() for n, t in zip(spec.outputs, tensors, strict=True)}
        for name, wanted in expected.items():
            difference = np.abs(found[name] - wanted) / np.maximum(1.0, np.abs(wanted))
            worst = max(worst, float(np.nan_to_num(difference, nan=np.inf).max()))
        answers, wanted_answers = (
            spec.decode(values, decoding.schema, decoding.calibration, geometries=geometries)
            for values in (found, expected)
        )
        agreed += map(spec.agreement, answers, wanted_answers)
    if worst > TOLERANCE:
        raise ModelError(
            f"the exported file differs from the network by {worst:.2g} "
            f"(more than {TOLERANCE:g}) on {len(inputs)} pictures: it was not handed over"
        )
    return Agreement(checked_by, len(inputs), worst, float(np.mean(agreed)))


def verify_bfloat16(
    graph: bytes, reference: Backend, decoding: Decoding, inputs: Sequence[Input]
) -> Agreement | None:
    """Whether OpenVINO in bfloat16 gives the answers of the file, by the rules for exported files.

    Args:
        graph: content of ``model.onnx``.
        reference: runs it in float32.
        decoding: from outputs to answers.
        inputs: preprocessed pictures, at least one.

    Returns:
        None where the answers differ, OpenVINO is not installed or cannot run the graph, or the
        processor has no bfloat16: training goes on without.
    """
    try:
        differences, answers = _compare_bfloat16(graph, reference, decoding, inputs)
    except (HeadstartError, RuntimeError, ValueError):
        return None
    if not answers >= floor_of(BFLOAT16) or not differences.shift <= SHIFTS[BFLOAT16]:
        return None
    checked_by = f"{FORMAT.checked_by} in bfloat16"
    return Agreement(checked_by, len(inputs), differences.largest, answers)


def _compare_bfloat16(
    graph: bytes, reference: Backend, decoding: Decoding, inputs: Sequence[Input]
) -> tuple[Differences, float]:
    """How far outputs lie apart, and the mean agreement of the answers."""
    backend = OpenVinoBackend(graph, bfloat16=True)
    spec, differences = tasks.spec(decoding.task), Differences()
    agreed: list[float] = []
    for start in range(0, len(inputs), BATCH):
        batch = np.stack([pixels for pixels, _ in inputs[start : start + BATCH]])
        geometries = [geometry for _, geometry in inputs[start : start + BATCH]]
        found, expected = backend.run(batch), reference.run(batch)
        differences.compare(found, expected)
        answers = (
            spec.decode(values, decoding.schema, decoding.calibration, geometries=geometries)
            for values in (found, expected)
        )
        agreed += map(spec.agreement, *answers)
    return differences, float(np.mean(agreed))
