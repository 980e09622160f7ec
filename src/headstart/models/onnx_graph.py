"""Converts modules to ONNX graphs."""

from __future__ import annotations

import contextlib
import gc
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from headstart.errors import ModelError
from headstart.models.folding import folded

INPUT = "image"
OPSET = 20
BATCH = "batch"

UNUSUAL = 97
"""Pictures of a graph whose batch is made free afterwards, which takes two thirds of the time of a
conversion with a batch that is free from the start. A prime, so that its multiples stand out."""

WHOLE = (onnx.TensorProto.INT64, onnx.TensorProto.INT32)
"""Types of sizes in a graph."""


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
    module = _simpler(module)
    if not free_batch:
        return _convert(module, example, outputs)
    # Its content is never read, and takes no memory.
    many = example.new_empty((UNUSUAL, *example.shape[1:]))
    graph = _convert(module, many, outputs)
    if _knows(graph, UNUSUAL):
        batch = torch.export.Dim(BATCH, min=1)
        return _convert(module, example, outputs, ({0: batch},))
    _free_batch(graph, UNUSUAL)
    return graph


def _convert(
    module: nn.Module,
    example: torch.Tensor,
    outputs: Sequence[str] | None,
    shapes: tuple[dict[int, Any], ...] | None = None,
) -> onnx.ModelProto:
    with _quiet(), _uncollected():
        program = torch.onnx.export(
            module,
            (example,),
            input_names=[INPUT],
            output_names=list(outputs) if outputs else None,
            dynamic_shapes=shapes,
            opset_version=OPSET,
            dynamo=True,
        )
    if program is None:
        raise ModelError("torch gave no ONNX program")
    graph: onnx.ModelProto = program.model_proto
    return graph


def _knows(graph: onnx.ModelProto, count: int) -> bool:
    """Whether anything but the shapes of its maps depends on the number of pictures.

    Args:
        graph: made for ``count`` pictures.
        count: a prime that is in no network's own sizes.
    """
    attributes = [attribute for node in graph.graph.node for attribute in node.attribute]
    tensors = [*graph.graph.initializer, *(a.t for a in attributes if a.HasField("t"))]
    numbers = [numpy_helper.to_array(tensor) for tensor in tensors if tensor.data_type in WHOLE]
    numbers += [np.array([attribute.i, *attribute.ints]) for attribute in attributes]
    numbers += [np.array(tensor.dims) for tensor in tensors]
    inside = any(((found != 0) & (found % count == 0)).any() for found in numbers)
    # Anywhere but in front it may as well be a height.
    later = [dim.dim_value for dims in _shapes(graph) for dim in dims[1:]]
    moved = any(value and value % count == 0 for value in later)
    return inside or moved or bool(graph.functions) or any(a.HasField("g") for a in attributes)


def _free_batch(graph: onnx.ModelProto, count: int) -> None:
    """Gives the first side of all maps a name instead of a number, in place."""
    for dims in _shapes(graph):
        if dims and dims[0].dim_value == count:
            dims[0].dim_param = BATCH
        elif dims and dims[0].dim_value % count == 0:
            # Such as twice the pictures, for two views of each; zero is unknown already.
            dims[0].Clear()


def _shapes(graph: onnx.ModelProto) -> Iterator[Sequence[onnx.TensorShapeProto.Dimension]]:
    for value in [*graph.graph.input, *graph.graph.output, *graph.graph.value_info]:
        yield value.type.tensor_type.shape.dim


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
def _uncollected() -> Iterator[None]:
    """Without looking for garbage: a conversion makes little, and a sixth of its time was that."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


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
