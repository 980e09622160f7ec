"""Heads, and groups of parameters for the optimizer."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from exporting.tiny import CHANNELS, tiny_backbone
from headstart.models.heads import LogSumExp, LseHead, PooledHead, PoolLast, mean_and_error
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


def test_log_sum_exp_lies_between_mean_and_maximum() -> None:
    """By hand: log((e^0 + e^(2 ln 3)) / 2) / 2 = log(5) / 2 for positions 0 and ln 3 at 2."""
    logits = torch.tensor([0.0, math.log(3.0)]).view(1, 1, 1, 2)
    found = LogSumExp(2.0)(logits)
    torch.testing.assert_close(found, torch.tensor([[math.log(5.0) / 2]]))
    assert LogSumExp(1e-4)(logits).item() == pytest.approx(math.log(3.0) / 2, abs=1e-3)
    assert LogSumExp(1e4)(logits).item() == pytest.approx(math.log(3.0), abs=1e-3)


def test_log_sum_exp_holds_large_logits_and_half_floats() -> None:
    logits = torch.tensor([-3e4, 3e4]).view(1, 1, 2, 1).half()
    found = LogSumExp()(logits)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(3e4, rel=1e-3)


def test_one_position_is_enough_for_a_head_of_positions() -> None:
    head = LseHead([Stage(2, 8)], outputs=1, dropout=0.0).eval()
    with torch.no_grad():
        head.linear.weight.copy_(torch.tensor([4.0, 0.0]).view(1, 2, 1, 1))
    maps = torch.zeros(2, 2, 8, 8)
    maps[1, 0, 3, 5] = 5.0
    nothing, small = head((maps,)).flatten().tolist()
    assert nothing == pytest.approx(0.0, abs=1e-5)
    # log(64) / 10 below the maximum of 20; the mean of all positions would be 0.3.
    assert small == pytest.approx(20.0 - math.log(64.0) / 10, abs=1e-2)


def test_a_new_head_of_positions_gives_its_biases_and_drops_channels_only_in_training() -> None:
    head = LseHead([Stage(64, 8)], outputs=2, dropout=0.5)
    head.linear.bias = nn.Parameter(torch.tensor([1.0, -2.0]))
    maps = (torch.rand(4, 64, 3, 3),)
    torch.testing.assert_close(head.eval()(maps), torch.tensor([[1.0, -2.0]]).expand(4, 2))
    with torch.no_grad():
        head.linear.weight.fill_(1.0)
    assert torch.equal(head(maps), head(maps))
    head.train()
    assert not torch.equal(head(maps), head(maps))


def test_a_head_of_positions_is_cut_between_any_two_stages() -> None:
    network = Network(tiny_backbone(), LseHead([Stage(CHANNELS, 8)] * 3, 2, 0.0)).eval()
    head = network.head
    assert isinstance(head, LseHead)
    nn.init.normal_(head.linear.weight)
    pictures = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    whole = network(pictures)
    for stage in range(network.n_stages + 1):
        prefix, rest = network.split(stage)
        maps = prefix(pictures)
        torch.testing.assert_close(rest(maps), whole)
        assert rest.reduced_features(maps).shape == (2, CHANNELS)


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
