"""ONNX graphs in fewer bits: float16, and 8 bits with ranges from pictures."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx

from headstart.models.onnx_graph import INPUT
from headstart.types import ImageArray

FLOAT_OPERATIONS = ("Softmax", "Sigmoid", "ReduceMax", "ReduceMean", "GlobalAveragePool")
"""What stays in float32: sums over many values, and what people read as probabilities."""

QUANTIZED = ("Add", "AveragePool", "Clip", "Concat", "Conv", "Gemm", "MatMul", "MaxPool", "Relu")
"""Operations of a network in 8 bits; normalisation of the input and activations are not in it."""

WEIGHTED = ("Conv", "Gemm", "MatMul")

BATCH = 8
"""Pictures that the ranges are taken from at a time: the whole set would not fit into memory."""


def to_float16(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Weights and arithmetic in float16; the input stays uint8, the outputs float32."""
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    with _quiet():
        found: onnx.ModelProto = convert_float_to_float16(
            graph,
            keep_io_types=True,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, *FLOAT_OPERATIONS],
            node_block_list=[node.name for node in _input_nodes(graph)],
        )
    return found


def to_int8(graph: onnx.ModelProto, pictures: Sequence[ImageArray]) -> onnx.ModelProto:
    """Weights in 8 bits for each channel, activations in 8 bits between their extremes.

    The last layer stays in float32: it is small, and its errors are the answer's.

    Args:
        graph: in float32; changed.
        pictures: preprocessed (h, w, 3), uint8, RGB; the extremes are taken over all of them.
    """
    from onnxruntime.quantization import (
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, _quiet():
        plain, ready, done = (Path(folder) / f"{n}.onnx" for n in ("plain", "ready", "done"))
        onnx.save(graph, plain)
        # Folds normalisation layers into convolutions and gives every tensor its shape.
        quant_pre_process(plain, ready, skip_symbolic_shape=True)
        quantize_static(
            ready,
            done,
            _Reader(pictures),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED),
            nodes_to_exclude=_last_layers(onnx.load(ready)),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return onnx.load(done)


class _Reader:
    """Gives pictures to onnxruntime's calibration (its ``CalibrationDataReader``)."""

    def __init__(self, pictures: Sequence[ImageArray]) -> None:
        starts = range(0, len(pictures), BATCH)
        self._batches = iter([pictures[start : start + BATCH] for start in starts])

    def get_next(self) -> dict[str, npt.NDArray[np.uint8]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: np.stack(batch)}

    def __iter__(self) -> Iterator[dict[str, npt.NDArray[np.uint8]]]:
        while (batch := self.get_next()) is not None:
            yield batch


def _input_nodes(graph: onnx.ModelProto) -> list[onnx.NodeProto]:
    """What lies between the input and the first layer with weights: casts and normalisation."""
    reached = {INPUT}
    found = []
    for node in graph.graph.node:
        if reached.intersection(node.input) and node.op_type not in WEIGHTED:
            found.append(node)
            reached.update(node.output)
        if node.op_type in WEIGHTED:
            break
    return found


def _last_layers(graph: onnx.ModelProto) -> list[str]:
    """Names of the last layers with weights before each output."""
    makers = {name: node for node in graph.graph.node for name in node.output}
    waiting = [output.name for output in graph.graph.output]
    seen: set[str] = set()
    found: list[str] = []
    while waiting:
        name = waiting.pop()
        node = makers.get(name)
        if node is None or name in seen:
            continue
        seen.add(name)
        if node.op_type in WEIGHTED:
            found.append(node.name)
        else:
            waiting += node.input
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The tools advise on the root logger, and warn about values that float16 rounds to zero."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
