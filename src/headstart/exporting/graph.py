"""ONNX: uint8 RGB NHWC in, named outputs, free batch; normalisation and activation inside."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from headstart.errors import ModelError
from headstart.exporting.metadata import to_entries
from headstart.models.mirrored import mean_over_mirrored
from headstart.models.network import Network
from headstart.models.onnx_graph import export_onnx
from headstart.types import Size


class Deployed(nn.Module):
    """The graph that is handed over: network and finish.

    Args:
        network: backbone and head.
        finish: from raw outputs to the task's named outputs.
        tta: mirror images over which it averages, see ``models.mirrored``: inside, so that whoever
            runs the graph need not know.
    """

    def __init__(self, network: Network, finish: nn.Module, tta: str = "none") -> None:
        super().__init__()
        self.network = network
        self.finish = finish
        self.tta = tta

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Outputs of uint8 RGB pictures (n, h, w, 3)."""
        raw = mean_over_mirrored(self.network, image, self.tta)
        outputs: tuple[torch.Tensor, ...] = self.finish(raw)
        return outputs


def export_graph(deployed: Deployed, outputs: Sequence[str], size: Size) -> onnx.ModelProto:
    """Converts a network in float32.

    Args:
        deployed: in evaluation mode.
        outputs: names of the outputs, in the order of the tuple.
        size: (height, width) of the input in pixels.
    """
    example = torch.zeros((2, *size, 3), dtype=torch.uint8)
    with _constants_kept(deployed.finish) as constants:
        graph = export_onnx(deployed, example, outputs, free_batch=True)
    for name, value in constants.items():
        set_constant(graph, name, value)
    return graph


def set_constant(graph: onnx.ModelProto, name: str, value: float) -> None:
    """Changes a scalar of a graph, in place.

    Args:
        graph: made by ``export_graph``.
        name: of the buffer of ``finish`` that it came from.
        value: the new one.

    Raises:
        ModelError: the exporter kept no such constant.
    """
    for tensor in graph.graph.initializer:
        if tensor.name == f"finish.{name}":
            array = np.array(value, dtype=np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
            return
    raise ModelError(f"the exported graph has no constant {name!r} to calibrate")


def set_metadata(graph: onnx.ModelProto, metadata: Mapping[str, Any]) -> None:
    """Writes what ``headstart.exporting.metadata`` makes into the file's metadata."""
    onnx.helper.set_model_props(graph, to_entries(metadata))


@contextlib.contextmanager
def _constants_kept(finish: nn.Module) -> Iterator[dict[str, float]]:
    """Gives scalar buffers values that the exporter can neither optimise away nor merge."""
    buffers = {name: buffer for name, buffer in finish.named_buffers() if not buffer.ndim}
    values = {name: float(buffer) for name, buffer in buffers.items()}
    for number, buffer in enumerate(buffers.values()):
        buffer.fill_(1.5 + 0.25 * number)
    try:
        yield values
    finally:
        for name, buffer in buffers.items():
            buffer.fill_(values[name])
