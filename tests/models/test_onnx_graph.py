"""What the conversion to ONNX changes on its way, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import onnxruntime
import torch
from torch import nn

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
