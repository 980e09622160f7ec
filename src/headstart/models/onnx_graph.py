"""Converts modules to ONNX graphs."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence

import onnx
import torch
from torch import nn

from headstart.errors import ModelError
from headstart.models.folding import folded

INPUT = "image"
OPSET = 20


def export_onnx(
    module: nn.Module, example: torch.Tensor, outputs: Sequence[str] | None, *, free_batch: bool
) -> onnx.ModelProto:
    """Converts a module with one input in float32.

    Args:
        module: in evaluation mode.
        example: an input of the right shape; its batch must not be one when the batch is free,
            because a one would be taken for a constant.
        outputs: names of the outputs; None leaves them to the exporter.
        free_batch: whether the graph takes any number of pictures.
    """
    batch = torch.export.Dim("batch", min=1)
    with _quiet():
        program = torch.onnx.export(
            _simpler(module),
            (example,),
            input_names=[INPUT],
            output_names=list(outputs) if outputs else None,
            dynamic_shapes=({0: batch},) if free_batch else None,
            opset_version=OPSET,
            dynamo=True,
        )
    if program is None:
        raise ModelError("torch gave no ONNX program")
    graph: onnx.ModelProto = program.model_proto
    return graph


class _Clamp(nn.Module):
    """What ``nn.Hardtanh`` and ``nn.ReLU6`` do.

    Args:
        module: whose borders are taken.
    """

    def __init__(self, module: nn.Hardtanh) -> None:
        super().__init__()
        self._borders = float(module.min_val), float(module.max_val)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Values between the borders."""
        return values.clamp(*self._borders)


def _simpler(module: nn.Module) -> nn.Module:
    """A copy that makes the same graph in less than half of the time.

    Of the time for EfficientNet-Lite0 a third goes into ``hardtanh``, which the exporter takes
    apart with symbolic sizes, while it leaves ``clamp`` whole; and half of the rest into
    normalisation.
    """
    copied = folded(module)
    for parent in list(copied.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.Hardtanh):
                setattr(parent, name, _Clamp(child))
    return copied


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter reports its own progress on standard output and warns about its internals."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
