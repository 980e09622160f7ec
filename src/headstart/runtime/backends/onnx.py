"""onnxruntime on the CPU."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import numpy as np
import onnxruntime

from headstart.errors import ModelError
from headstart.types import ImageArray, Outputs


class OnnxBackend:
    """Runs ``model.onnx``.

    Args:
        graph: path or the bytes of the file.
        threads: of the engine, which then runs one batch at a time; 0 leaves the choice to
            onnxruntime.

    Raises:
        ModelError: the file is no graph that onnxruntime can run.
    """

    def __init__(self, graph: Path | bytes, threads: int = 0) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = threads
        # Idle threads that spin would take the cores from decoding, which runs at the same time.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Of files in 8 bits: without it, sums of products overflow on x86 processors without VNNI,
        # where answers were not those of phones, browsers and other processors.
        options.add_session_config_entry("session.x64quantprecision", "1")
        try:
            source = graph if isinstance(graph, bytes) else str(graph)
            self._session = onnxruntime.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            name = "the graph" if isinstance(graph, bytes) else str(graph)
            raise ModelError(f"onnxruntime cannot load {name}: {error}") from error
        self._turn = threading.Lock() if threads else contextlib.nullcontext()
        self._input = self._session.get_inputs()[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, batch: ImageArray) -> Outputs:
        """Runs a batch (n, height, width, 3), uint8, RGB."""
        with self._turn:
            results = self._session.run(self._outputs, {self._input: batch})
        return {
            name: np.asarray(result, dtype=np.float32)
            for name, result in zip(self._outputs, results, strict=True)
        }
