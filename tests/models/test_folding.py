"""Normalisation that became part of the convolution before it."""

from __future__ import annotations

import copy

import pytest
import torch
from timm.layers import BatchNormAct2d, Conv2dSame, StdConv2d
from torch import fx, nn

from headstart.models.backbones import load_backbone
from headstart.models.folding import folded

PICTURES = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)


def randomised(norm: nn.BatchNorm2d) -> nn.BatchNorm2d:
    """Statistics and weights as after training; those of a new layer change nothing."""
    with torch.no_grad():
        for values in (norm.running_mean, norm.bias):
            if values is not None:
                values.normal_()
        for values in (norm.running_var, norm.weight):
            if values is not None:
                values.uniform_(0.5, 2.0)
    return norm


def norms(module: nn.Module) -> int:
    return sum(isinstance(part, nn.BatchNorm2d) for part in module.modules())


def check_same(module: nn.Module, values: torch.Tensor, left: int) -> None:
    """The copy gives the same, keeps so many normalisations, and the module stays as it was."""
    before = copy.deepcopy(module.state_dict())
    count = norms(module)
    copied = folded(module.eval())
    with torch.inference_mode():
        found, expected = copied(values), module(values)
    # With statistics that do not belong to the weights, values are as large as many thousands.
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert norms(copied) == left
    assert norms(module) == count
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("name", ["efficientnet_lite0", "resnet18"])
def test_a_backbone_without_its_normalisations_answers_the_same(name: str) -> None:
    torch.manual_seed(0)
    backbone = load_backbone(name, pretrained=False)
    for part in backbone.modules():
        if isinstance(part, nn.BatchNorm2d):
            randomised(part)
    check_same(backbone, PICTURES, 0)


@pytest.mark.parametrize("convolution", [nn.Conv2d, Conv2dSame])
def test_activations_of_a_normalisation_are_kept(convolution: type[nn.Conv2d]) -> None:
    torch.manual_seed(0)
    norm = randomised(BatchNormAct2d(4))
    check_same(nn.Sequential(convolution(3, 4, 3, stride=2), norm), torch.randn(2, 3, 9, 9), 0)


class Twice(nn.Module):
    """One convolution whose output is used twice, and one that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.again = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.norm, self.other = (randomised(nn.BatchNorm2d(3)) for _ in range(2))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        found = self.first(values)
        found = self.norm(found) + found
        again: torch.Tensor = self.other(self.again(found)) + self.again(found)
        return again


@pytest.mark.parametrize(
    "module",
    [
        fx.symbolic_trace(Twice()),
        nn.Sequential(StdConv2d(3, 4, 3), randomised(nn.BatchNorm2d(4))),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), randomised(nn.BatchNorm2d(4))),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
    ],
    ids=["used twice", "standardised weights", "with something between", "without statistics"],
)
def test_what_cannot_be_folded_is_left_alone(module: nn.Module) -> None:
    check_same(module, torch.randn(2, 3, 9, 9), norms(module))
