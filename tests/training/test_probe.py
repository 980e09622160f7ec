"""Costs on a small network: positive, measured once, and larger for more work."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

import pytest
import torch
from torch import nn

from exporting.tiny import TINY_SIZE
from headstart.data.augment import Augmentation
from headstart.data.loader import Maps
from headstart.models.network import Rest
from headstart.training import engines
from headstart.training import probe as probe_module
from headstart.training.probe import Probe
from headstart.training.views import ViewMaker
from training.small import SPLIT_STAGE, Small

KEY = engines.EngineKey("torch-float32", SPLIT_STAGE, TINY_SIZE)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small.make(tmp_path_factory.mktemp("small"))


@pytest.fixture
def probe(small: Small) -> Probe:
    return probe_of(small, batch_size=40)


def probe_of(small: Small, **settings: object) -> Probe:
    config = small.config.model_copy(update=settings)
    maker = ViewMaker(small.preprocess, 0, Augmentation())
    return Probe(config, small.network(), small.manifest, maker, small.images, small.preprocess)


def test_everything_has_a_cost_and_is_measured_once(
    probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    original = engines.open_engine

    def counted(*arguments: object) -> engines.Engine:
        opened.append(arguments)
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(engines, "open_engine", counted)

    def costs() -> list[float]:
        return [
            probe.view(KEY),
            probe.step(SPLIT_STAGE, "32-true"),
            probe.making,
            probe.score,
        ]

    first = costs()
    assert all(cost > 0 for cost in first)
    assert costs() == first
    assert first[0] > first[2]
    assert len(opened) == 1


def test_a_mean_over_mirror_images_takes_as_many_times_as_long(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe_module, "seconds_per_picture", lambda *_: 1e6)
    asked = ("none", "horizontal", "both")
    scores = [probe_of(small, tta=tta, batch_size=40).score for tta in asked]
    assert [score / scores[0] for score in scores] == pytest.approx([1, 2, 4], rel=1e-3)


def test_engines_that_were_measured_are_handed_on(probe: Probe) -> None:
    keys = [KEY, KEY._replace(stage=SPLIT_STAGE + 1), KEY._replace(size=(64, 64))]
    for key in keys:
        probe.view(key)
    measured = [probe.engine(key) for key in keys]
    probe.keep([keys[0], keys[2]])
    kept = [probe.engine(key) for key in keys]
    assert [ours is theirs for ours, theirs in zip(kept, measured, strict=True)] == [1, 0, 1]


def test_nothing_is_left_in_the_cache_or_among_temporary_files(
    probe: Probe, small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = sorted(small.cache.rglob("*"))
    probe.view(KEY)
    assert sorted(small.cache.rglob("*")) == before
    assert list(tmp_path.iterdir()) == []


def test_a_step_is_timed_as_it_trains_and_changes_nothing(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes = []

    def seen(self: Rest, maps: Maps) -> torch.Tensor:
        norms = (layer for layer in self.stages.modules() if isinstance(layer, nn.BatchNorm2d))
        modes.append({norm.training for norm in norms})
        return forward(self, maps)

    forward = Rest.forward
    monkeypatch.setattr(Rest, "forward", seen)
    for train_norms in (False, True):
        measured = probe_of(small, train_norms=train_norms, batch_size=4)
        before = copy.deepcopy(measured._network.state_dict())
        assert measured.step(SPLIT_STAGE, "32-true") > 0
        after = measured._network.state_dict()
        assert all(torch.equal(after[name], value) for name, value in before.items())
        assert all(p.grad is None for p in measured._network.parameters())
        assert modes
        assert all(found == {train_norms} for found in modes)
        modes.clear()
