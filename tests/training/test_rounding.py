"""The phase under the rounding of 8 bits."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize
from torch.utils.data import DataLoader

from headstart.data.loader import Batch, plain_loader
from headstart.models.network import Rest
from headstart.progress import QuietProgress
from headstart.training.rounding import INPUT_ROUNDING, rounded
from training.small import SPLIT_STAGE, Counting, KilledError, Killing, Small, same_state


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    found = Small.make(tmp_path_factory.mktemp("small"))
    return dataclasses.replace(found, plan=dataclasses.replace(found.plan, quantize_epochs=2))


def parts(small: Small, run: Path) -> tuple[Rest, torch.Tensor, DataLoader[Batch]]:
    """The part that trains, one batch of maps for it, and batches."""
    network = small.network()
    # New heads start at zero, which hides everything before them.
    for parameter in network.head.parameters():
        nn.init.normal_(parameter)
    phases = small.phases(run, network)
    data = phases._data
    batches = plain_loader(data.train, data.n_train, 8)
    maps, _ = next(iter(batches))
    return phases._rest, maps, batches


def layers(rest: Rest) -> list[nn.Module]:
    return [m for m in rest.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def test_weights_and_inputs_lie_on_256_levels_within_and_are_free_after(
    small: Small, tmp_path: Path
) -> None:
    rest, maps, batches = parts(small, tmp_path)
    before = copy.deepcopy(rest.state_dict())
    with torch.no_grad():
        plain = rest(maps)
    *inner, last = layers(rest)
    seen: dict[int, torch.Tensor] = {}
    with rounded(rest, batches), torch.no_grad():
        hooks = [
            layer.register_forward_hook(lambda _, given, __, at=at: seen.update({at: given[0]}))
            for at, layer in enumerate(inner)
        ]
        within = rest(maps)
        for at, layer in enumerate(inner):
            for channel in layer.weight.detach().flatten(1):
                step = channel.abs().max() / 127
                torch.testing.assert_close((channel / step).round() * step, channel)
            assert 2 < len(seen[at].unique()) <= 256
        assert not parametrize.is_parametrized(last)
        assert not hasattr(last, INPUT_ROUNDING)
        for hook in hooks:
            hook.remove()
    assert 1e-6 < (within - plain).abs().max() < 0.2 * plain.abs().max()
    assert set(rest.state_dict()) == set(before)
    with torch.no_grad():
        assert torch.equal(rest(maps), plain)


def test_gradients_pass_rounding(small: Small, tmp_path: Path) -> None:
    rest, maps, batches = parts(small, tmp_path)
    rest.requires_grad_(True)
    with rounded(rest, batches):
        rest(maps).sum().backward()
    for layer in layers(rest):
        assert isinstance(layer.weight, nn.Parameter)
        assert layer.weight.grad is not None
        assert layer.weight.grad.abs().sum() > 0


def test_a_fault_within_leaves_the_network_as_it_was(small: Small, tmp_path: Path) -> None:
    rest, _, batches = parts(small, tmp_path)
    keys = set(rest.state_dict())
    with pytest.raises(KilledError), rounded(rest, batches):
        raise KilledError
    assert set(rest.state_dict()) == keys


def test_the_phase_changes_the_last_stages_and_survives_a_kill(
    small: Small, tmp_path: Path
) -> None:
    counting = Counting()
    whole = small.network()
    small.phases(tmp_path / "whole", whole).train(counting)
    assert counting.steps["train quantize"] > 0
    lines = (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()
    assert "quantize" in {json.loads(line)["phase"] for line in lines}
    plain = dataclasses.replace(small, plan=dataclasses.replace(small.plan, quantize_epochs=0))
    without = plain.network()
    plain.phases(tmp_path / "plain", without).train(QuietProgress())
    assert not same_state(whole, without)
    assert set(whole.state_dict()) == set(without.state_dict())
    for stage, other in zip(
        whole.backbone.stages[:SPLIT_STAGE], without.backbone.stages[:SPLIT_STAGE], strict=True
    ):
        assert same_state(stage, other)
    steps = sum(n for title, n in counting.steps.items() if title.startswith("train"))
    resumed = small.network()
    run = tmp_path / "killed"
    with pytest.raises(KilledError):
        small.phases(run, resumed).train(Killing(steps - 2))
    resumed = small.network()
    small.phases(run, resumed).train(QuietProgress())
    assert same_state(whole, resumed)
