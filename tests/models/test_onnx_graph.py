"""What the conversion to ONNX changes on its way, and what it leaves alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from headstart.models import onnx_graph
from headstart.models.onnx_graph import INPUT, export_onnx


class Borders(nn.Module):
    """Two kinds of borders, one of them nested."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU6(inplace=True))
        self.outer = nn.Hardtanh(-0.5, 2.5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.outer(self.inner(image.permute(0, 3, 1, 2).float() - 128) - 1)
        return found


def test_borders_are_one_operation_and_the_module_stays_as_it_was() -> None:
    torch.manual_seed(0)
    module = Borders().eval()
    pictures = torch.randint(0, 256, (3, 6, 5, 3), dtype=torch.uint8)
    with torch.inference_mode():
        expected = module(pictures)
    graph = export_onnx(module, pictures[:2], ["found"], free_batch=True)
    assert [node.op_type for node in graph.graph.node].count("Clip") == 2
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    (found,) = session.run(["found"], {INPUT: pictures.numpy()})
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-5)
    assert {-0.5, 2.5} <= set(np.unique(found).tolist())
    assert isinstance(module.inner[1], nn.ReLU6)
    assert isinstance(module.outer, nn.Hardtanh)


class Pooled(nn.Module):
    """Only the shapes of its maps depend on the number of pictures."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.float().mean(dim=(1, 2))


class Flat(nn.Module):
    """The exporter writes the number of pictures into a new shape."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.float().reshape(image.shape[0], -1)[:, ::7]


class Mirrored(nn.Module):
    """Looks at twice as many pictures."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        both = torch.cat([image, image.flip(2)]).float() ** 2
        first, second = both.mean(dim=(2, 3)).chunk(2)
        return first - 0.5 * second


class Numbered(nn.Module):
    """Gives every picture another number."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.float().mean(dim=(1, 2)) + torch.arange(image.shape[0])[:, None]


@pytest.mark.parametrize(
    ("module", "conversions"), [(Pooled(), 1), (Flat(), 2), (Mirrored(), 1), (Numbered(), 2)]
)
def test_a_graph_takes_any_number_of_pictures(
    module: nn.Module, conversions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where more than shapes knew how many there were; then it is converted once more."""
    shapes: list[Any] = []
    original = onnx_graph._convert

    def convert(*arguments: Any) -> onnx.ModelProto:
        shapes.append(arguments[3:])
        return original(*arguments)

    monkeypatch.setattr(onnx_graph, "_convert", convert)
    torch.manual_seed(0)
    pictures = torch.randint(0, 256, (5, 6, 5, 3), dtype=torch.uint8)
    graph = export_onnx(module, pictures[:2], ["found"], free_batch=True)
    assert len(shapes) == conversions
    onnx.checker.check_model(graph, full_check=True)
    fixed = {dim.dim_value for dims in onnx_graph._shapes(graph) for dim in dims}
    assert not fixed & {97, 2 * 97}
    named = [value.type.tensor_type.shape.dim[0].dim_param for value in graph.graph.input]
    assert named == ["batch"]
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    for count in (1, 2, 5):
        (found,) = session.run(["found"], {INPUT: pictures[:count].numpy()})
        np.testing.assert_allclose(found, module(pictures[:count]).numpy(), rtol=1e-5, atol=1e-4)
