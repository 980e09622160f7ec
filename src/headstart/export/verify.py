"""Runs an exported graph beside the reference network on real pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.errors import ModelError
from headstart.runtime.backends import Backend
from headstart.types import ImageArray

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
    """

    checked_by: str
    n_images: int
    max_difference: float

    def to_json(self) -> dict[str, Any]:
        """The form of ``model.json``."""
        return dataclasses.asdict(self)


def verify(
    backend: Backend,
    checked_by: str,
    reference: nn.Module,
    outputs: Sequence[str],
    inputs: Sequence[ImageArray],
) -> Agreement:
    """Compares every output on the same preprocessed pictures.

    Args:
        backend: runs the exported file.
        checked_by: its name and version.
        reference: the network in float32, giving a tuple in the order of ``outputs``.
        outputs: names of the outputs.
        inputs: pictures (height, width, 3), uint8, RGB.

    Raises:
        ModelError: the file answers differently; it must not be handed over.
    """
    worst = 0.0
    for start in range(0, len(inputs), BATCH):
        batch = np.stack(inputs[start : start + BATCH])
        found = backend.run(batch)
        with torch.inference_mode():
            expected = reference(torch.from_numpy(batch))
        for name, tensor in zip(outputs, expected, strict=True):
            wanted = tensor.numpy()
            difference = np.abs(found[name] - wanted) / np.maximum(1.0, np.abs(wanted))
            worst = max(worst, float(np.nan_to_num(difference, nan=np.inf).max()))
    if worst > TOLERANCE:
        raise ModelError(
            f"the exported file differs from the network by {worst:.2g} "
            f"(more than {TOLERANCE:g}) on {len(inputs)} pictures: it was not handed over"
        )
    return Agreement(checked_by, len(inputs), worst)
