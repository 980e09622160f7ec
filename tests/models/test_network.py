"""Heads, and groups of parameters for the optimizer."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from exporting.tiny import CHANNELS, tiny_backbone
from headstart.models.heads import PooledHead, PoolLast, mean_and_error
from headstart.models.network import Network, parameter_groups
from headstart.tasks.learning import HeadOptions
from headstart.types import Stage


@pytest.fixture
def network() -> Network:
    return Network(
        tiny_backbone(), PooledHead([Stage(CHANNELS, 8)] * 3, 3, HeadOptions(dropout=0.5))
    ).eval()


def test_the_head_learns_at_lr_and_the_stages_at_a_share(network: Network) -> None:
    _, rest = network.split(1)
    groups = parameter_groups(rest, lr=0.02, stage_lr_factor=0.1, weight_decay=0.3)
    rate = {id(p): g["lr"] for g in groups for p in g["params"]}
    assert {rate[id(p)] for p in rest.head.parameters()} == {0.02}
    assert {rate[id(p)] for p in rest.stages.parameters()} == {0.02 * 0.1}


def test_biases_and_norms_do_not_decay(network: Network) -> None:
    _, rest = network.split(0)
    groups = parameter_groups(rest, lr=0.02, stage_lr_factor=0.1, weight_decay=0.3)
    decay = {id(p): g["weight_decay"] for g in groups for p in g["params"]}
    seen = set()
    for module in rest.modules():
        for name, parameter in module.named_parameters(recurse=False):
            plain = name == "bias" or isinstance(module, nn.BatchNorm2d)
            assert decay[id(parameter)] == (0.0 if plain else 0.3), (module, name)
            seen.add((type(module).__name__, name))
    assert seen == {
        (kind, name) for kind in ("Conv2d", "BatchNorm2d", "Linear") for name in ("weight", "bias")
    }


def test_there_is_no_group_for_stages_that_do_not_train(network: Network) -> None:
    _, rest = network.split(network.n_stages)
    groups = parameter_groups(rest, lr=0.02, stage_lr_factor=0.1, weight_decay=0.3)
    assert [len(g["params"]) for g in groups] == [1, 1]
    assert all(g["params"] for g in groups)


def test_pooling_is_the_mean_of_the_last_map_in_float32() -> None:
    """By hand: the mean of 0..3 is 1.5; half floats would not hold 4,097 exactly."""
    maps = (torch.ones(1, 2, 4, 4), torch.arange(4.0).view(1, 1, 2, 2).half())
    assert PoolLast()(maps).tolist() == [[1.5]]
    assert PoolLast()(maps).dtype == torch.float32


def test_a_new_head_gives_zeros_and_drops_only_in_training() -> None:
    head = PooledHead([Stage(4, 8)], 2, HeadOptions(dropout=0.5))
    assert not head((torch.randn(3, 4, 2, 2),)).any()
    nn.init.ones_(head.linear.weight)
    maps = (torch.ones(1, 4, 1, 1),)
    assert head.eval()(maps).tolist() == [[4.0, 4.0]]
    torch.manual_seed(0)
    drawn = {head.train()(maps)[0, 0].item() for _ in range(50)}
    # Four features of 1, each dropped or doubled.
    assert drawn <= {0.0, 2.0, 4.0, 6.0, 8.0}
    assert len(drawn) > 2


def test_the_standard_error_of_a_mean() -> None:
    """By hand: 3 of 4 right; sqrt(0.75 * 0.25 / 4) = 0.2165."""
    mean, error = mean_and_error(torch.tensor([1.0, 1.0, 1.0, 0.0]))
    assert mean == 0.75
    assert error == pytest.approx(0.21651, abs=1e-5)
    assert mean_and_error(torch.tensor([[2.0]])) == (2.0, 0.0)
