"""The prefix in OpenVINO: several times faster than torch on processors with bfloat16."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from headstart.models.network import Prefix
from headstart.models.onnx_graph import export_onnx
from headstart.runtime.openvino_library import load_openvino
from headstart.storage import cpu_count
from headstart.types import ImageArray, Size

MODULE = "openvino"


def is_installed() -> bool:
    """Whether the extra ``openvino`` is there; imports nothing."""
    return importlib.util.find_spec(MODULE) is not None


class OpenVinoEngine:
    """Runs the prefix, converted to ONNX, for one fixed batch shape.

    Args:
        prefix: the frozen part; its weights are not changed.
        size: (height, width) of the pictures in pixels.
        batch: pictures a batch.
        bfloat16: compute in bfloat16 instead of float32.

    Raises:
        MissingExtraError: OpenVINO is not installed.
    """

    def __init__(self, prefix: Prefix, size: Size, batch: int, *, bfloat16: bool) -> None:
        example = torch.zeros((batch, *size, 3), dtype=torch.uint8)
        graph = export_onnx(prefix, example, outputs=None, free_batch=False)
        name = f"{MODULE}-{'bfloat16' if bfloat16 else 'float32'}"
        core = load_openvino(f"The engine {name}").Core()
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": cpu_count(),
        }
        model = core.read_model(graph.SerializeToString(), b"")
        self._compiled = core.compile_model(model, "CPU", settings)
        self._outputs = list(self._compiled.outputs)

    def run(self, images: ImageArray) -> tuple[npt.NDArray[Any], ...]:
        """Maps (n, c, h, w), float32, of pictures (n, h, w, 3), uint8, RGB."""
        found = self._compiled([images])
        return tuple(np.array(found[output], dtype=np.float32) for output in self._outputs)
