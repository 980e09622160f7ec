"""LiteRT: float32 RGB from 0 to 255, one picture, in; named float32 outputs, channels last."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import warnings
import weakref
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.exporting.formats.protocol import CORRECTED, Format, Source
from headstart.exporting.tflite_metadata import pack, unpack
from headstart.exporting.tflite_quantize import to_float16_weights, to_int8, to_int8_weights
from headstart.runtime.backends.litert import STRIDE, LiteRtBackend, silenced
from headstart.types import Size

if TYPE_CHECKING:
    from headstart.exporting.graph import Deployed

CONVERTER = ("litert_torch", "ai_edge_litert", "flatbuffers")
QUANTIZER = (*CONVERTER, "ai_edge_quantizer")


class LiteRtFormat(Format):
    """See ``Format``."""

    name = "litert"
    title = "LiteRT"
    suffix = ".tflite"
    extra = "litert"
    modules: Mapping[str, tuple[str, ...]] = {
        "fp32": CONVERTER,
        "fp16": QUANTIZER,
        "dynamic": QUANTIZER,
        "int8": QUANTIZER,
    }
    takes: Mapping[str, Any] = {"dtype": "float32", "batch": 1}

    def __init__(self) -> None:
        self._converted: dict[bool, tuple[weakref.ref[Source], bytes]] = {}

    def convert(
        self, source: Source, precision: str, path: Path, metadata: Mapping[str, Any]
    ) -> None:
        """Converts the network itself, quantises, and packs the metadata last."""
        with _quiet():
            corrected = precision in CORRECTED and bool(source.calibration)
            model = self._float(source, corrected=corrected)
            if precision == "fp16":
                model = to_float16_weights(model)
            elif precision == "dynamic":
                model = to_int8_weights(model)
            elif precision == "int8":
                model = to_int8(model, source.calibration)
            path.write_bytes(pack(model, metadata, source.description.outputs))

    def _float(self, source: Source, *, corrected: bool) -> bytes:
        """The model in float32 that precisions start from, converted once for each source.

        Args:
            source: the model.
            corrected: whether its weights will be rounded to 8 bits.
        """
        known = self._converted.get(corrected)
        if known is not None and known[0]() is source:
            return known[1]
        description, deployed = source.description, source.deployed()
        if corrected:
            from headstart.exporting.bias_correction import correct_biases

            deployed = correct_biases(deployed, source.calibration, last=True)
        model = _converted(
            deployed,
            description.outputs,
            description.preprocess.size,
            classes="classes" in description.to_json(),
        )
        self._converted[corrected] = weakref.ref(source), model
        return model

    def open(self, path: Path, threads: int = 0) -> LiteRtBackend:
        """Runs in LiteRT's interpreter on the CPU."""
        return LiteRtBackend(path, threads)

    def metadata(self, path: Path) -> Mapping[str, Any]:
        """The ``model.json`` in the archive behind the model."""
        return unpack(path)

    @property
    def checked_by(self) -> str:
        """The name of LiteRT and its version."""
        from importlib.metadata import version

        return f"litert {version('ai-edge-litert')}"


def _converted(deployed: Deployed, outputs: Sequence[str], size: Size, *, classes: bool) -> bytes:
    """The model in float32, for one picture.

    Args:
        deployed: the network.
        outputs: names of its outputs, in order.
        size: (height, width) of the input in pixels.
        classes: whether channels of maps are classes; such maps are given for each pixel.
    """
    import litert_torch
    import torch
    from torch import nn
    from torch.nn import functional

    def as_on_device(values: torch.Tensor) -> torch.Tensor:
        if values.ndim != 4:
            return values
        if not classes or values.shape[-1] * STRIDE != size[1]:
            return values.permute(0, 2, 3, 1)
        # As predictions are decoded: logarithms between the centres of the positions.
        logs = functional.interpolate(torch.log(values.clamp(min=1e-12)), size, mode="bilinear")
        return torch.softmax(logs.permute(0, 2, 3, 1), dim=-1)

    class OnDevice(nn.Module):
        """Names the outputs, and gives those with a picture's axes in the order of the platform."""

        def __init__(self) -> None:
            super().__init__()
            self.deployed = deployed

        def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
            found = zip(outputs, self.deployed(image), strict=True)
            return {name: as_on_device(values) for name, values in found}

    example = {"image": torch.zeros((1, *size, 3))}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.tflite"
        litert_torch.convert(OnDevice().eval(), sample_kwargs=example).export(str(file))
        return file.read_bytes()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what converter and quantiser print, and without their warnings about themselves."""
    os.environ.setdefault("LITERT_TORCH_SHOW_PROGRESS", "n")
    with silenced(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


FORMAT = LiteRtFormat()
