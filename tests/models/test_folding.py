"""Normalisation that became part of the convolution before it, for running and for training."""

from __future__ import annotations

import copy

import pytest
import torch
from timm.layers import BatchNormAct2d, Conv2dSame, StdConv2d
from torch import fx, nn

from headstart.models.backbones import load_backbone
from headstart.models.folding import folded, joined
from headstart.models.heads import PooledHead
from headstart.models.network import Rest
from headstart.tasks.learning import HeadOptions
from headstart.types import Stage

PICTURES = torch.randint(
    0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


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


def stage_and_input() -> tuple[fx.GraphModule, torch.Tensor]:
    """A stage with depthwise convolutions, and a map for it."""
    torch.manual_seed(0)
    stage = load_backbone("efficientnet_lite0", pretrained=False).stages[2]
    assert isinstance(stage, fx.GraphModule)
    for part in stage.modules():
        if isinstance(part, nn.BatchNorm2d):
            randomised(part)
    return stage.eval(), torch.randn(4, 24, 12, 12, requires_grad=True)


def outputs_and_gradients(
    run: nn.Module, stage: nn.Module, values: torch.Tensor
) -> dict[str, torch.Tensor]:
    stage.zero_grad()
    values.grad = None
    found = run(values)
    (found * torch.linspace(-1, 1, found.numel()).view_as(found)).sum().backward()
    gradients = {name: p.grad for name, p in stage.named_parameters() if p.grad is not None}
    assert values.grad is not None
    return {"output": found.detach(), "input": values.grad, **gradients}


def check_equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        error = (found[name] - value).abs().max() / value.abs().max()
        assert error < 1e-4, (name, error)


def test_a_joined_stage_has_the_outputs_and_gradients_of_the_stage() -> None:
    stage, values = stage_and_input()
    run = joined(stage)
    expected = outputs_and_gradients(stage, stage, values)
    assert len(expected) == 2 + len(list(stage.parameters()))
    called = []
    for part in stage.modules():
        if isinstance(part, nn.Conv2d | nn.BatchNorm2d):
            part.register_forward_hook(lambda *given: called.append(given[0]))
    check_equal(outputs_and_gradients(run, stage, values), expected)
    assert not called, "a normalisation went over a map"


def test_a_joined_stage_follows_its_stage() -> None:
    """New weights, the mode of normalisation, and hooks that a layer has got."""
    stage, values = stage_and_input()
    run = joined(stage)
    with torch.no_grad():
        for parameter in stage.parameters():
            parameter.mul_(1.1)
    check_equal(
        outputs_and_gradients(run, stage, values), outputs_and_gradients(stage, stage, values)
    )
    hooks = [
        part.register_forward_pre_hook(lambda _, given: (given[0] * 2,))
        for part in stage.modules()
        if isinstance(part, nn.Conv2d)
    ]
    check_equal(
        outputs_and_gradients(run, stage, values), outputs_and_gradients(stage, stage, values)
    )
    for hook in hooks:
        hook.remove()
    twin = copy.deepcopy(stage).train()
    expected = outputs_and_gradients(twin, twin, values)
    stage.train()
    check_equal(outputs_and_gradients(run, stage, values), expected)
    for name, buffer in twin.named_buffers():
        torch.testing.assert_close(stage.get_buffer(name), buffer)


def test_a_copy_of_a_rest_trains_its_own_weights() -> None:
    stage, values = stage_and_input()
    head = PooledHead([Stage(40, 8)], 3, HeadOptions())
    rest = Rest([stage], 0, head)
    assert set(rest.state_dict()) == {
        *(f"stages.0.{name}" for name in stage.state_dict()),
        *(f"head.{name}" for name in head.state_dict()),
    }
    copied = copy.deepcopy(rest)
    with torch.no_grad():
        for parameter in copied.stages.parameters():
            parameter.zero_()
    assert copied.reduced_features((values,)).abs().max() == 0
    assert rest.reduced_features((values,)).abs().max() > 0


def test_a_stage_with_tensors_of_its_own_stays_as_it_is() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
            self.scale = nn.Parameter(torch.ones(1))

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.layers(values) * self.scale
            return found

    for stage in (fx.symbolic_trace(Scaled()), nn.Sequential(nn.ReLU())):
        assert joined(stage) is stage
