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
            module.eval(),
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
