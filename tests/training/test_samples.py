"""Vectors that a head takes: computed once, kept for the next run, and never anything else."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.data.augment import Augmentation
from headstart.data.cache import list_stores
from headstart.models.network import Network, Rest
from headstart.progress import QuietProgress
from headstart.training import samples
from headstart.training.samples import ReducedSamples, ViewSamples
from headstart.training.views import LiveViews, ViewMaker
from training.small import SPLIT_STAGE, VIEWS, Small, same_state


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small.make(tmp_path_factory.mktemp("samples"))


@pytest.fixture
def small(made: Small) -> Iterator[Small]:
    """With stored views and no stored vectors."""
    yield made
    for store in kept(made):
        shutil.rmtree(store)


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that are computed."""
    computed: list[int] = []
    reduce = Rest.reduced_features

    def counted(rest: Rest, maps: tuple[torch.Tensor, ...]) -> torch.Tensor:
        computed.append(len(maps[0]))
        return reduce(rest, maps)

    monkeypatch.setattr(Rest, "reduced_features", counted)
    monkeypatch.setattr(samples, "REDUCE_BATCH", 8)
    return computed


def kept(small: Small) -> list[Path]:
    return sorted(path for path in small.cache.glob("vectors-*") if path.is_dir())


def reduced(small: Small, network: Network, pictures: int) -> np.ndarray:
    given = ViewSamples(small.stored(network), small.manifest.on("train"), None)
    rest = network.split(SPLIT_STAGE)[1]
    return ReducedSamples(given, rest, pictures, VIEWS + 1).by_view(VIEWS + 1)


@pytest.mark.parametrize("chunk", [1, 64])
def test_vectors_are_computed_once(
    small: Small, batches: list[int], monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(samples, "BATCHES_A_CHUNK", chunk)
    first = reduced(small, small.network(), 9)
    assert batches == [8, 8, 8, 3]
    again = reduced(small, small.network(), 9)
    assert batches == [8, 8, 8, 3]
    assert first.shape[:2] == (VIEWS + 1, 9)
    assert first.dtype == np.float32
    assert np.ptp(first) > 0
    assert again.tobytes() == first.tobytes()


def test_only_batches_of_other_views_are_computed_again(small: Small, batches: list[int]) -> None:
    reduced(small, small.network(), 9)
    del batches[:]
    more = reduced(small, small.network(), 10)
    assert batches == [6]
    shutil.rmtree(kept(small)[0])
    assert more.tobytes() == reduced(small, small.network(), 10).tobytes()


def test_other_weights_give_other_vectors(small: Small, batches: list[int]) -> None:
    first = reduced(small, small.network(), 9)
    changed = small.network()
    # After the split: the stored views are the same.
    with torch.no_grad():
        next(changed.backbone.stages[SPLIT_STAGE].parameters()).mul_(1.5)
    second = reduced(small, changed, 9)
    assert batches == [8, 8, 8, 3] * 2
    assert not np.allclose(first, second)
    assert len(kept(small)) == 2


def test_vectors_are_a_store_of_the_cache(small: Small) -> None:
    reduced(small, small.network(), 9)
    (views,) = [store for store in list_stores(small.cache) if store.kind == "views"]
    (vectors,) = [store for store in list_stores(small.cache) if store.kind == "vectors"]
    assert vectors.arrays == 1
    assert vectors.description == {**views.description, "kind": "vectors"}


def test_vectors_are_in_use_as_long_as_a_run_trains_on_them(small: Small) -> None:
    network = small.network()
    given = ViewSamples(small.stored(network), small.manifest.on("train"), None)
    used = ReducedSamples(given, network.split(SPLIT_STAGE)[1], 9, 1)
    assert [s.in_use for s in list_stores(small.cache) if s.kind == "vectors"] == [True]
    del used
    # Of other tests in this process, too, which end in cycles of references.
    gc.collect()
    assert [s.in_use for s in list_stores(small.cache) if s.kind == "vectors"] == [False]


def test_of_live_views_nothing_is_kept(small: Small, batches: list[int]) -> None:
    prefix, rest = small.network().split(SPLIT_STAGE)
    maker = ViewMaker(small.preprocess, small.config.seed, Augmentation())
    given = ViewSamples(LiveViews(prefix, maker, small.images), small.manifest.on("train"), None)
    first, second = (ReducedSamples(given, rest, 3, 2).by_view(2) for _ in range(2))
    assert batches == [6, 6]
    assert first.tobytes() == second.tobytes()
    assert kept(small) == []


def test_a_run_that_finds_vectors_trains_what_it_would_train_without(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def train(run: Path) -> Network:
        network = small.network()
        small.phases(run, network).train(QuietProgress())
        return network

    first = train(tmp_path / "first")
    assert len(kept(small)) == 1

    def refuse(*_: object) -> None:
        pytest.fail("vectors were computed although all are stored")

    monkeypatch.setattr(Rest, "reduced_features", refuse)
    second = train(tmp_path / "second")
    assert same_state(first, second)
    journals = [(tmp_path / run / "metrics.jsonl").read_text() for run in ("first", "second")]
    assert journals[0]
    assert journals[0] == journals[1]
