"""OpenVINO on the CPU."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from headstart.errors import MissingExtraError, ModelError
from headstart.runtime.openvino_library import load_openvino
from headstart.types import ImageArray, Outputs


class OpenVinoBackend:
    """Runs an intermediate representation, or an ONNX graph.

    Args:
        graph: path of the ``.xml`` file, whose ``.bin`` lies beside it, or the bytes
            of an ONNX file.
        threads: of the engine; 0 leaves the choice to OpenVINO.
        bfloat16: compute in bfloat16. Left to itself, OpenVINO does so wherever the processor can.

    Raises:
        MissingExtraError: OpenVINO is not installed.
        ModelError: the file is none that OpenVINO can run, or the processor has no bfloat16.
    """

    def __init__(self, graph: Path | bytes, threads: int = 0, *, bfloat16: bool = False) -> None:
        core = load_openvino("Running OpenVINO files").Core()
        name = "the graph" if isinstance(graph, bytes) else graph.name
        if bfloat16 and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise MissingProcessorError(name)
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            **({"INFERENCE_NUM_THREADS": threads} if threads else {}),
        }
        try:
            weights = (b"",) if isinstance(graph, bytes) else ()
            self._compiled = core.compile_model(core.read_model(graph, *weights), "CPU", settings)
        except RuntimeError as error:
            raise ModelError(f"OpenVINO cannot load {name}: {error}") from error
        # A compiled model that is called has one request, and its outputs are views of it.
        self._lock = threading.Lock()
        self._names = [output.get_any_name() for output in self._compiled.outputs]

    def run(self, batch: ImageArray) -> Outputs:
        """Runs a batch (n, height, width, 3), uint8, RGB."""
        with self._lock:
            found = self._compiled([batch])
            return {name: np.array(found[at], np.float32) for at, name in enumerate(self._names)}


class MissingProcessorError(MissingExtraError):
    """The file needs instructions that this processor does not have."""

    def __init__(self, name: str) -> None:
        super(MissingExtraError, self).__init__(
            f"{name} computes in bfloat16, which this processor cannot: run it on one that can"
        )
