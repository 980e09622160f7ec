"""``.tflite`` models in fewer bits: float16 or 8-bit weights, and 8 bits throughout."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from headstart.types import ImageArray

FLOAT_OPERATIONS = ("SOFTMAX", "LOGISTIC", "INPUT", "OUTPUT")
"""What stays in float32 where all else has 8 bits: what people read as probabilities, and what goes
in and comes out. Browsers and MediaPipe's segmenter take no other outputs."""

ACTIVATIONS = ("SOFTMAX", "LOGISTIC")


def to_float16_weights(model: bytes) -> bytes:
    """Weights in float16, arithmetic as the device likes."""
    from ai_edge_quantizer import qtyping, quantizer

    weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
    found = quantizer.Quantizer(model)
    found.update_quantization_recipe(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=weights, compute_precision=qtyping.ComputePrecision.FLOAT
        ),
        algorithm_key=quantizer.AlgorithmName.FLOAT_CASTING,
    )
    return _content(found.quantize())


def to_int8_weights(model: bytes) -> bytes:
    """Weights in 8 bits for each channel, activations in 8 bits by the range of each picture."""
    from ai_edge_quantizer import quantizer, recipe

    return _content(quantizer.Quantizer(model, recipe.dynamic_wi8_afp32()).quantize())


def to_int8(model: bytes, pictures: Sequence[ImageArray]) -> bytes:
    """Weights in 8 bits for each channel, activations in 8 bits between their extremes.

    Args:
        model: in float32.
        pictures: preprocessed (h, w, 3), uint8, RGB; the extremes are taken over all of them. The
            quantiser's own choice, a moving average, gives ranges so narrow that probabilities
            saturate.
    """
    from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    found = quantizer.Quantizer(model, recipe.static_wi8_ai8())
    for name in FLOAT_OPERATIONS:
        found.update_quantization_recipe(
            regex=".*",
            operation_name=qtyping.TFLOperationName(name),
            algorithm_key=quantizer.AlgorithmName.NO_QUANTIZE,
        )
    for tensors in _after_activations(model):
        found.update_quantization_recipe(
            regex=re.escape(tensors),
            operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
            algorithm_key=quantizer.AlgorithmName.NO_QUANTIZE,
        )
    rules = recipe_manager.RecipeManager()
    rules.load_quantization_recipe(found.get_quantization_recipe())
    ranges = calibrator.Calibrator(model, qsv_update_func=qsv_utils.min_max_update)
    (signature,) = ranges.get_signature_list()
    inputs = ranges.get_signature_list()[signature]["inputs"]
    examples = [{inputs[0]: picture[None].astype(np.float32)} for picture in pictures]
    ranges.calibrate({signature: examples}, rules)
    return _content(found.quantize(ranges.get_model_qsvs()))


def _after_activations(model: bytes) -> list[str]:
    """Scopes, as the quantiser names operations, of all that comes from probabilities."""
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils

    found = tfl_flatbuffer_utils.read_model(model)
    (graph,) = found.subgraphs
    names = tfl_flatbuffer_utils.TFL_OP_CODE_TO_NAME
    probable: set[int] = set()
    scopes = []
    # Operations of a file stand in the order in which they run.
    for operation in graph.operators:
        later = not probable.isdisjoint(operation.inputs)
        kind = names.get(found.operatorCodes[operation.opcodeIndex].builtinCode, "")
        if later or kind in ACTIVATIONS:
            probable.update(operation.outputs)
        if later:
            scopes.append(tfl_flatbuffer_utils.get_op_scope(operation, graph.tensors))
    return scopes


def _content(result: Any) -> bytes:
    return bytes(result.quantized_model)
