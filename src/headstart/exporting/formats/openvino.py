"""OpenVINO: uint8 RGB NHWC in, named float32 outputs, free batch; ``.xml`` and ``.bin``."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from headstart.errors import ModelError
from headstart.exporting.formats.protocol import Format, Source
from headstart.exporting.metadata import PREFIX, from_entries, to_entries
from headstart.runtime.backends.openvino import OpenVinoBackend
from headstart.runtime.openvino_library import load_openvino

EXPORTING = "Exporting OpenVINO files"

SECTION = "headstart"
"""Of the file's ``rt_info``."""

NEVER_QUANTIZED = ("SoftMax", "Softmax", "Sigmoid", "Divide", "Subtract", "ReduceMax", "Concat")
"""Normalisation of the input, activation of the output, and what would get one scale for tensors of
different ranges: the skip connections of a decoder lose three bits by it."""

WEIGHTED = ("Convolution", "GroupConvolution", "MatMul")


class OpenVinoFormat(Format):
    """See ``Format``."""

    name = "openvino"
    title = "OpenVINO"
    suffix = ".xml"
    companions = (".bin",)
    extra = "openvino"
    modules: Mapping[str, tuple[str, ...]] = {
        "fp32": ("openvino",),
        "fp16": ("openvino",),
        "bf16": ("openvino",),
        "int8": ("openvino", "nncf"),
    }

    def convert(
        self, source: Source, precision: str, path: Path, metadata: Mapping[str, Any]
    ) -> None:
        """Reads ``model.onnx`` with OpenVINO's core, and quantises with NNCF.

        ``fp16`` and ``bf16`` hold float16 weights; which arithmetic is meant, the file says in
        ``rt_info`` (``runtime_options``), and the metadata's ``export.precision``.
        """
        openvino = load_openvino(EXPORTING)
        model = openvino.Core().read_model(source.graph, b"")
        if precision == "int8":
            model = _quantized(model, source)
        hint = "bf16" if precision == "bf16" else "f32"
        model.set_rt_info(hint, ["runtime_options", "INFERENCE_PRECISION_HINT"])
        for key, text in to_entries(metadata).items():
            model.set_rt_info(text, [SECTION, key.removeprefix(PREFIX)])
        openvino.save_model(model, path, compress_to_fp16=precision in ("fp16", "bf16"))

    def open(self, path: Path, threads: int = 0) -> OpenVinoBackend:
        """Runs in the arithmetic that the file asks for."""
        exported = self.metadata(path).get("export", {})
        bfloat16 = isinstance(exported, dict) and exported.get("precision") == "bf16"
        return OpenVinoBackend(path, threads, bfloat16=bfloat16)

    def metadata(self, path: Path) -> Mapping[str, Any]:
        """Entries of ``rt_info``, read without OpenVINO."""
        from xml.etree import ElementTree as ET

        try:
            # Ours or a person's own file, and the standard parser resolves no external entities.
            root = ET.parse(path).getroot()  # noqa: S314
        except (OSError, ET.ParseError) as error:
            raise ModelError(f"{path.name} is no OpenVINO file: {error}") from error
        section = root.find(f"./rt_info/{SECTION}")
        entries = {} if section is None else {e.tag: e.get("value", "") for e in section}
        return from_entries({f"{PREFIX}{key}": text for key, text in entries.items()}, path.name)

    @property
    def checked_by(self) -> str:
        """The name of OpenVINO and its version."""
        openvino = load_openvino(EXPORTING)
        return f"openvino {openvino.__version__.partition('-')[0]}"


def _quantized(model: Any, source: Source) -> Any:
    """Weights and activations in 8 bits, ranges from the pictures."""
    with _quiet():
        import nncf
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet

        dataset = nncf.Dataset([np.asarray(picture)[None] for picture in source.calibration])
        types_known = {operation.get_type_name() for operation in model.get_ops()}
        return nncf.quantize(
            model,
            dataset,
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(source.calibration),
            ignored_scope=nncf.IgnoredScope(
                types=[name for name in NEVER_QUANTIZED if name in types_known],
                names=_last_layers(model),
            ),
            # The default averages the extremes of the pictures, which cuts off what few have.
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
            ),
        )


def _last_layers(model: Any) -> list[str]:
    """Names of the last layers with weights before each output: small, and the answer's errors."""
    waiting = [result.input_value(0).get_node() for result in model.get_results()]
    seen: set[str] = set()
    found = []
    while waiting:
        node = waiting.pop()
        name = node.get_friendly_name()
        if name in seen:
            continue
        seen.add(name)
        if node.get_type_name() in WEIGHTED:
            found.append(name)
        else:
            waiting += [value.get_source_output().get_node() for value in node.inputs()]
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """NNCF without progress bars and warnings about what is not installed."""
    level = logging.getLogger("nncf").level
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            logging.getLogger("nncf").setLevel(logging.ERROR)
            yield
    finally:
        logging.getLogger("nncf").setLevel(level)


FORMAT = OpenVinoFormat()
