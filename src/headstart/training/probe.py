"""Measures this machine on the run's own pictures: what a view, a step and a score cost."""

from __future__ import annotations

import copy
import functools
import itertools
import tempfile
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from headstart.config import TrainConfig
from headstart.data.image_cache import ImageCache
from headstart.data.store import ArrayStore
from headstart.models.folding import folded
from headstart.models.heads import Maps
from headstart.models.mirrored import MIRRORED
from headstart.models.network import Network, Prefix
from headstart.runtime.predictor import load_input
from headstart.runtime.preprocess import Preprocess
from headstart.training import engines
from headstart.training.devices import has_bfloat16
from headstart.training.features import BATCHES_A_CHUNK, compact
from headstart.training.settings import settled
from headstart.training.views import ViewMaker
from headstart.types import Manifest, Size

REPEATS = 3
ENOUGH = 0.15
"""Seconds after which nothing is repeated."""

VIEWS = 24
"""Views that are made to time one."""

ENGINE_BATCHES = {"openvino": 4, "torch": 1, "cuda": 4, "mps": 4}
"""Batches that are run to time one, by library: some have several at work at once."""

SCORED = 8
"""Pictures that are run to time the scoring of one."""

RUNTIME_SHARE = 0.6
"""Time of the runtime's engine as a share of torch's where both compute in float32."""

STEP_PICTURES = 32
"""Pictures of the largest training step that is timed: a larger one takes as long for each."""

STORED_BYTES = 100_000_000
"""Of maps at most are written to time their writing."""

OVERLAP = 0.25
"""Share of the shorter of making a view and running the engine that does not hide behind the longer
one: both want the same cores."""


class Probe:
    """Costs in seconds; each is measured when it is first asked for, and once.

    Args:
        config: settled.
        network: that will train.
        manifest: the pictures with their sides.
        maker: makes the views of training pictures.
        images: the decoded pictures.
        preprocess: the resize rule of the model.
    """

    def __init__(
        self,
        config: TrainConfig,
        network: Network,
        manifest: Manifest,
        maker: ViewMaker,
        images: ImageCache,
        preprocess: Preprocess,
    ) -> None:
        self._network, self._manifest = network, manifest
        self._maker, self._images = maker, images
        self._preprocess = preprocess
        self._batch_size = settled(config.batch_size)
        self._device = config.device
        self._train_norms = config.train_norms
        self._tta = config.tta
        self._engines: dict[engines.EngineKey, engines.Engine] = {}
        self._found: dict[tuple[Any, ...], float] = {}

    def engine(self, key: engines.EngineKey) -> engines.Engine:
        """Opened when it is first asked for."""
        if key not in self._engines:
            name, stage, size = key
            prefix, _ = self._network.split(stage)
            self._engines[key] = engines.open_engine(name, prefix, size)
        return self._engines[key]

    def keep(self, keys: Collection[engines.EngineKey]) -> None:
        """Lets go of all other engines."""
        self._engines = {key: engine for key, engine in self._engines.items() if key in keys}

    def view(self, key: engines.EngineKey) -> float:
        """Making, running and storing one view."""
        return self._once(("view", *key), lambda: self._view(key))

    def step(self, stage: int, precision: str) -> float:
        """Forward and backward pass of one picture, from its maps."""
        return self._once(("step", stage, precision), lambda: self._step(stage, precision))

    def _once(self, key: tuple[Any, ...], measure: Callable[[], float]) -> float:
        if key not in self._found:
            self._found[key] = measure()
        return self._found[key]

    def _view(self, key: engines.EngineKey) -> float:
        engine = self.engine(key)
        batch = np.zeros((engines.BATCH, *key.size, 3), dtype=np.uint8)
        batches = [batch] * ENGINE_BATCHES[key.name.partition("-")[0]]
        running = _seconds(lambda: list(engine.stream(batches))) / engines.BATCH / len(batches)
        longer, shorter = max(running, self.making), min(running, self.making)
        return longer + OVERLAP * shorter + _storing(next(iter(engine.stream([batch]))))

    @functools.cached_property
    def making(self) -> float:
        """Cutting one augmented view out of its decoded picture."""
        records = itertools.cycle(self._manifest.on("train"))
        views = [(record, number) for number, record in zip(range(VIEWS), records, strict=False)]
        start = time.perf_counter()
        for view in views:
            self._maker.make(view, self._images)
        return (time.perf_counter() - start) / VIEWS

    def _step(self, stage: int, precision: str) -> float:
        prefix, rest = self._network.split(stage)
        count = min(self._batch_size, STEP_PICTURES)
        found = example_maps(prefix, self._maker.preprocess.size, count)
        maps = tuple(m.to(self._device) for m in found)
        # A copy: where normalisation learns, a step changes its statistics.
        rest = copy.deepcopy(rest).to(self._device)
        rest.stages.train(self._train_norms)

        def train_step() -> None:
            with torch.autocast(self._device, torch.bfloat16, enabled=precision != "32-true"):
                loss = rest(maps).float().square().mean()
            loss.backward()
            rest.zero_grad()
            # Waits for the device.
            loss.item()

        return _seconds(train_step) / len(maps[0])

    @functools.cached_property
    def score(self) -> float:
        """Reading one original file and running the whole network on it.

        The runtime's engine in float32 is about as fast as torch in bfloat16.
        """
        records = self._manifest.on("val")[:SCORED]
        start = time.perf_counter()
        for record in records:
            load_input(record.path, self._preprocess, record.box)
        reading = (time.perf_counter() - start) / max(1, len(records))
        share = 1.0 if has_bfloat16() else RUNTIME_SHARE
        views = 1 + len(MIRRORED[self._tta])
        return reading + views * share * seconds_per_picture(self._network, self._preprocess.size)


def example_maps(prefix: Prefix, size: Size, count: int) -> Maps:
    """What the prefix makes of black pictures, as often as asked for, to train a step on.

    Args:
        prefix: run once.
        size: (height, width) of the pictures in pixels.
        count: length of the batch.
    """
    with torch.inference_mode():
        found = prefix(torch.zeros((1, *size, 3), dtype=torch.uint8))
    # Repeated outside inference mode, because these tensors take part in autograd.
    return tuple(m.repeat(count, *(1 for _ in m.shape[1:])) for m in found)


def _storing(maps: Sequence[npt.NDArray[Any]]) -> float:
    """Writing the maps of one view, out of those of a batch, in a chunk as long as a run writes."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        # Its lock lies beside it.
        store = ArrayStore(Path(folder) / "views")
        batches = min(BATCHES_A_CHUNK, max(1, STORED_BYTES // sum(found.nbytes for found in maps)))
        chunk = {
            f"{batch}/{at}#{number}": row
            for batch in range(batches)
            for number, found in enumerate(maps)
            for at, row in enumerate(compact(found))
        }
        store.put(chunk)
        store.close()
        return (time.perf_counter() - start) / engines.BATCH / batches


def seconds_per_picture(network: nn.Module, size: Size) -> float:
    """The whole network on one picture, at torch's best."""
    whole = torch.zeros((SCORED, *size, 3), dtype=torch.uint8)
    fast = has_bfloat16()
    network = folded(network).to(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=fast):
        return _seconds(lambda: network(whole)) / SCORED


def _seconds(work: Callable[[], object]) -> float:
    """Shortest of a few runs, after one that warms up; one is enough for work that takes long."""
    work()
    taken: list[float] = []
    while len(taken) < REPEATS and sum(taken) < ENOUGH:
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return min(taken)
