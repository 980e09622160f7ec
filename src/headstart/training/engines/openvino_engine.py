"""The prefix in OpenVINO: several times faster than torch on processors with bfloat16."""

from __future__ import annotations

import importlib.util
from collections import deque
from collections.abc import Iterable, Iterator
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


AHEAD = 2
"""Batches that wait for each stream, so that none is idle while results are stored."""


class OpenVinoEngine:
    """Runs the prefix, converted to ONNX, for one fixed batch shape.

    Each core has a stream of its own: cores that share one batch wait for each other at every
    layer, and for longer where one of them also makes views.

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
            "NUM_STREAMS": cpu_count(),
            "INFERENCE_NUM_THREADS": cpu_count(),
        }
        model = core.read_model(graph.SerializeToString(), b"")
        self._compiled = core.compile_model(model, "CPU", settings)
        count = AHEAD * cpu_count()
        self._idle = [self._compiled.create_infer_request() for _ in range(count)]

    def stream(self, batches: Iterable[ImageArray]) -> Iterator[tuple[npt.NDArray[Any], ...]]:
        """Maps (n, c, h, w), float32, of each batch of pictures (n, h, w, 3), uint8, RGB."""
        running: deque[Any] = deque()
        try:
            for images in batches:
                if not self._idle:
                    yield self._finished(running)
                request = self._idle.pop()
                running.append(request)
                request.start_async([images])
            while running:
                yield self._finished(running)
        finally:
            # Also when the caller stops in the middle.
            for request in running:
                request.wait()
            self._idle += running

    def _finished(self, running: deque[Any]) -> tuple[npt.NDArray[Any], ...]:
        """The maps of the batch that was started first."""
        request = running[0]
        request.wait()
        found = tuple(np.array(tensor.data, dtype=np.float32) for tensor in request.output_tensors)
        self._idle.append(running.popleft())
        return found
