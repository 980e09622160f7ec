"""The learning rate finder: Lightning's curve, the same twice, and nothing is left behind."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import pytest
import torch

from headstart.training.lr_finder import HIGHEST_RATE, LOWEST_RATE, RATE_STEPS
from headstart.training.module import TransferModule
from training.small import Small, same_state


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small.make(tmp_path_factory.mktemp("small"))


def test_it_suggests_a_rate_and_leaves_the_network_and_the_folder(
    small: Small, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    network = small.network()
    run = tmp_path / "run"
    run.mkdir()
    phases = small.phases(run, network)
    phases._initialise()
    before = copy.deepcopy(network)
    curve = phases.find_rate()
    assert len(curve.rates) == len(curve.losses) <= RATE_STEPS
    assert curve.suggestion in curve.rates
    assert curve.rates == tuple(sorted(curve.rates))
    assert LOWEST_RATE <= curve.rates[0] < 1.5 * LOWEST_RATE
    assert curve.rates[-1] <= HIGHEST_RATE
    assert all(map(math.isfinite, curve.losses))
    assert same_state(before, network)
    assert not list(run.iterdir())
    assert capfd.readouterr() == ("", "")
    assert small.phases(run, small.network()).find_rate() == curve


def test_stages_keep_their_share_of_the_rate(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[set[float]] = []
    configure = TransferModule.configure_optimizers

    def spying(self: TransferModule) -> torch.optim.Optimizer:
        optimizer = configure(self)

        def note(optimizer: torch.optim.Optimizer, *_: object) -> None:
            rates = [group["lr"] for group in optimizer.param_groups]
            seen.append({round(rate / max(rates), 6) for rate in rates})

        # After the finder's own hook: it registers when this function has returned.
        add = optimizer.register_step_pre_hook

        def register(hook: object) -> object:
            handle = add(hook)
            add(note)
            return handle

        optimizer.register_step_pre_hook = register
        return optimizer

    monkeypatch.setattr(TransferModule, "configure_optimizers", spying)
    small.phases(tmp_path, small.network(), stage_lr_factor=0.25).find_rate()
    assert seen
    assert all(shares == {0.25, 1.0} for shares in seen)
