"""Stored views: what the frozen part says, bit for bit, whatever stood beside the picture."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from exporting.tiny import INFO, tiny_backbone
from headstart.data import augment
from headstart.errors import MissingExtraError
from headstart.models.backbones import Backbone, load_backbone
from headstart.models.heads import PooledHead, PoolLast
from headstart.models.network import Network, Prefix
from headstart.models.several import beside
from headstart.progress import QuietProgress
from headstart.runtime.preprocess import Preprocess
from headstart.storage import seed_from
from headstart.tasks.learning import HeadOptions
from headstart.training import engines, features
from headstart.training.features import StoredViews
from headstart.training.views import PLAIN
from headstart.types import Stage
from training.small import STANDARD, KilledError, Killing, Small, store_views

SIZE = (64, 64)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small.make(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def prefix() -> Prefix:
    """Of the real architecture: the engines must be exact on its kinds of layers."""
    backbone = load_backbone("efficientnet_lite0")
    return Network(backbone, PooledHead(backbone.outputs, 2, HeadOptions())).split(5)[0]


def in_batch(
    picture: npt.NDArray[np.uint8], position: int, others: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    batch = others.copy()
    batch[position] = picture
    return batch


def noise(seed: int) -> npt.NDArray[np.uint8]:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (engines.BATCH, *SIZE, 3), dtype=np.uint8)


def opened(name: str, prefix: Prefix) -> engines.Engine:
    try:
        return engines.open_engine(name, prefix, SIZE)
    except MissingExtraError as error:
        pytest.skip(str(error))


HERE = sorted(name for name in engines.ENGINES if name.startswith(("torch", "openvino")))
"""Engines that need no accelerator."""


def run(engine: engines.Engine, batch: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[Any], ...]:
    (found,) = engine.stream([batch])
    return found


def test_there_are_engines() -> None:
    assert {name.partition("-")[2] for name in HERE} == {"bfloat16", "float32"}


@pytest.mark.parametrize("name", HERE)
def test_batches_come_back_in_order(name: str, prefix: Prefix) -> None:
    engine = opened(name, prefix)
    batches = [noise(seed) for seed in range(9)]
    alone = [run(engine, batch) for batch in batches]
    together = list(engine.stream(iter(batches)))
    assert len(together) == 9
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
    assert list(engine.stream([])) == []


@pytest.mark.parametrize("name", HERE)
def test_an_engine_goes_on_after_somebody_stopped_in_the_middle(name: str, prefix: Prefix) -> None:
    engine = opened(name, prefix)
    expected = run(engine, noise(0))[0]
    for _ in range(5):
        for _ in engine.stream(noise(seed) for seed in range(9)):
            break
        gc.collect()
    np.testing.assert_array_equal(run(engine, noise(0))[0], expected)


@pytest.mark.parametrize("name", HERE)
def test_maps_do_not_depend_on_neighbours_or_position(name: str, prefix: Prefix) -> None:
    engine = opened(name, prefix)
    picture = noise(0)[0]
    grey = np.full((engines.BATCH, *SIZE, 3), 128, dtype=np.uint8)
    (reference,) = run(engine, in_batch(picture, 0, grey))
    assert reference.dtype == np.float32
    assert reference.shape == (engines.BATCH, prefix.backbone.outputs[4].channels, 4, 4)
    for position, others in ((0, noise(1)), (1, noise(2)), (4, noise(3)), (7, grey)):
        (found,) = run(engine, in_batch(picture, position, others))
        np.testing.assert_array_equal(found[position], reference[0], err_msg=f"at {position}")


@pytest.mark.parametrize("name", HERE)
def test_engines_agree_with_the_plain_prefix(name: str, prefix: Prefix) -> None:
    """Relative norm of the difference; bfloat16 keeps 8 bits (measured: 0.02 to 0.05)."""
    pictures = noise(4)
    (found,) = run(opened(name, prefix), pictures)
    with torch.inference_mode():
        expected = prefix(torch.from_numpy(pictures))[0].numpy()
    difference = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert difference < (1e-5 if name.endswith("float32") else 0.08)


def test_stored_maps_are_live_maps(tmp_path: Path, small: Small, prefix: Prefix) -> None:
    """Bit for bit: float16 of the float32 engine, for plain and augmented views."""
    preprocess = Preprocess(SIZE)
    stored = store_views(tmp_path, prefix, preprocess, seed=3)
    records = small.manifest.on("val")[:3]
    views = [(record, view) for record in records for view in (0, 1, 2)]
    assert stored.compute(views, small.images, QuietProgress()) == 9
    engine = engines.open_engine("torch-float32", prefix, SIZE)
    for record, view in views:
        pixels = small.images.get(record.pixels)
        if view == PLAIN:
            shown = augment.plain_view(pixels, None, preprocess)[0]
        else:
            seed = seed_from("view", 3, record.fingerprint, view)
            shown, _ = augment.augmented_view(pixels, None, STANDARD.transform(preprocess), seed)
        (live,) = run(engine, in_batch(shown, 5, noise(5)))
        (found,) = stored.get((record, view))
        assert found.dtype == torch.float16
        np.testing.assert_array_equal(found.numpy(), live[5].astype(np.float16))


def test_augmented_views_are_a_function_of_seed_and_number(small: Small, tmp_path: Path) -> None:
    prefix, _ = small.network().split(1)
    record = small.manifest.records[0]
    views = [(record, number) for number in range(3)]

    def maps(folder: str, seed: int) -> list[torch.Tensor]:
        stored = store_views(tmp_path / folder, prefix, small.preprocess, seed=seed)
        stored.compute(views, small.images, QuietProgress())
        return [stored.get(view)[0] for view in views]

    first, again, other = maps("a", 0), maps("b", 0), maps("c", 1)
    assert all(torch.equal(x, y) for x, y in zip(first, again, strict=True))
    assert torch.equal(first[PLAIN], other[PLAIN])
    assert not torch.equal(first[1], other[1])
    assert not torch.equal(first[1], first[2])


def test_views_computed_before_a_kill_are_kept(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "BATCHES_A_CHUNK", 1)
    prefix, _ = small.network().split(1)
    views = small.views()
    assert len(views) > 2 * engines.BATCH

    def stored(folder: str) -> StoredViews:
        return store_views(tmp_path / folder, prefix, small.preprocess)

    with pytest.raises(KilledError):
        stored("killed").compute(views, small.images, Killing(after=2 * engines.BATCH - 1))
    resumed, whole = stored("killed"), stored("whole")
    assert len(resumed.missing(views)) == len(views) - engines.BATCH
    assert resumed.compute(views, small.images, QuietProgress()) == len(views) - engines.BATCH
    assert whole.compute(views, small.images, QuietProgress()) == len(views)
    assert resumed.compute(views, small.images, QuietProgress()) == 0
    for view in views:
        assert torch.equal(resumed.get(view)[0], whole.get(view)[0])


def test_what_changes_the_maps_has_a_place_of_its_own(small: Small, tmp_path: Path) -> None:
    network = small.network()
    record = (small.manifest.records[0], PLAIN)
    other = Network(tiny_backbone(), network.head)
    other.backbone.weights_key = "others"
    first, usual = network.split(1)[0], small.preprocess
    cases = [
        (first, usual, "torch-float32", STANDARD),
        (network.split(2)[0], usual, "torch-float32", STANDARD),
        (network.split(3)[0], usual, "torch-float32", STANDARD),
        (other.split(1)[0], usual, "torch-float32", STANDARD),
        (first, Preprocess((32, 48)), "torch-float32", STANDARD),
        (first, Preprocess((32, 32), "crop"), "torch-float32", STANDARD),
        (first, usual, "torch-bfloat16", STANDARD),
        (first, usual, "torch-float32", augment.Augmentation("light")),
        (first, usual, "torch-float32", augment.Augmentation(flip="none")),
    ]
    for prefix, preprocess, engine, augmentation in cases:
        stored = store_views(tmp_path, prefix, preprocess, engine, 0, augmentation)
        assert stored.compute([record], small.images, QuietProgress()) == 1
    pairs = [beside([tiny_backbone(1), tiny_backbone(2)], statistics=s) for s in (False, True)]
    for pair in pairs:
        # As where both go on from one model: its file is their key.
        pair.weights_key = "start"
        prefix = Prefix(pair, 1, (0,), PoolLast())
        stored = store_views(tmp_path, prefix, usual, "torch-float32", 0, STANDARD)
        assert stored.compute([record], small.images, QuietProgress()) == 1
    assert len(list(tmp_path.glob("views-*/"))) == len(cases) + len(pairs)


def test_values_beyond_float16_are_kept_in_float32(small: Small, tmp_path: Path) -> None:
    """float16 ends at 65,504."""
    layer = nn.Conv2d(3, 2, 8, 8)
    nn.init.constant_(layer.weight, 1e5)
    prefix, _ = Network(
        Backbone(INFO, [layer], [Stage(2, 8)], "random"),
        PooledHead([Stage(2, 8)], 2, HeadOptions()),
    ).split(0)
    prefix.count = 1
    stored = store_views(tmp_path, prefix, small.preprocess)
    view = (small.manifest.records[0], PLAIN)
    stored.compute([view], small.images, QuietProgress())
    (found,) = stored.get(view)
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()
    assert found.abs().max() > 65_504
