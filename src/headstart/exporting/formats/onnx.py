"""ONNX: uint8 RGB NHWC in, named float32 outputs, free batch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.errors import ModelError
from headstart.exporting.formats.protocol import Format, Source
from headstart.exporting.metadata import from_entries
from headstart.runtime.backends.onnx import OnnxBackend


class OnnxFormat(Format):
    """See ``Format``."""

    name = "onnx"
    title = "ONNX"
    suffix = ".onnx"
    extra = "train"
    modules: Mapping[str, tuple[str, ...]] = {
        "fp32": ("onnx",),
        "fp16": ("onnx",),
        "int8": ("onnx",),
    }

    def convert(
        self, source: Source, precision: str, path: Path, metadata: Mapping[str, Any]
    ) -> None:
        """The graph of the model folder, in fewer bits, with the metadata of an export."""
        import onnx

        from headstart.exporting.bias_correction import correct_biases
        from headstart.exporting.graph import export_graph, set_metadata
        from headstart.exporting.quantize import to_float16, to_int8

        description = source.description
        if precision == "int8":
            network = correct_biases(source.deployed(), source.calibration, last=False)
            graph = export_graph(network, description.outputs, description.preprocess.size)
            graph = to_int8(graph, source.calibration)
        else:
            graph = onnx.load_from_string(source.graph)
            if precision == "fp16":
                graph = to_float16(graph)
        set_metadata(graph, metadata)
        path.write_bytes(graph.SerializeToString())

    def open(self, path: Path, threads: int = 0) -> OnnxBackend:
        """Runs in onnxruntime on the CPU."""
        return OnnxBackend(path, threads)

    def metadata(self, path: Path) -> Mapping[str, Any]:
        """Entries of the graph's properties."""
        import onnx

        try:
            graph = onnx.load(path)
        except Exception as error:
            raise ModelError(f"{path.name} is no ONNX file: {error}") from error
        return from_entries({entry.key: entry.value for entry in graph.metadata_props}, path.name)

    @property
    def checked_by(self) -> str:
        """The name of onnxruntime and its version."""
        import onnxruntime

        return f"onnxruntime {onnxruntime.__version__}"


FORMAT = OnnxFormat()
