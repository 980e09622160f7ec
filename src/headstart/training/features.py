"""Stored views: the frozen prefix is run once over every view, and its maps are kept on disk."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from headstart.data.image_cache import ImageCache
from headstart.data.store import ArrayStore
from headstart.models.network import Prefix, Rest
from headstart.models.weights import state_key
from headstart.progress import Progress
from headstart.storage import content_key
from headstart.training import engines
from headstart.training.views import View, ViewMaker
from headstart.types import ImageArray

BATCHES_A_CHUNK = 32

PREPARED_AHEAD = 4
"""Batches that are made ahead of the engine."""

# Views that are looked up together.
ASKED_AT_ONCE = 4096

Prepared = tuple[list[str], ImageArray, dict[str, npt.NDArray[Any]]]
"""Keys of a batch of views, their pixels, and their encoded targets by key."""


class StoredViews:
    """The prefix's maps, and moved targets, by picture and view.

    Args:
        folder: of the whole cache.
        prefix: the frozen part.
        maker: makes the views.
        engine: name of the engine that computes the maps.
    """

    def __init__(self, folder: Path, prefix: Prefix, maker: ViewMaker, engine: str) -> None:
        self._prefix = prefix
        self._maker = maker
        self._engine = engine
        self._folder = folder
        self._space = content_key(
            prefix.backbone.info.name,
            prefix.backbone.weights_key,
            # Several backbones pool in more than one way, with the same weights.
            [stage.channels for stage in prefix.backbone.outputs],
            prefix.count,
            prefix.taps,
            prefix.reduce is not None,
            maker.description,
            engine,
        )
        self._description = {
            "kind": "views",
            "backbone": prefix.backbone.info.name,
            "stage": prefix.count,
            "size": list(maker.preprocess.size),
            "engine": engine,
        }
        self._store = ArrayStore(folder / f"views-{self._space}", self._description)
        # Of each view; the same for all of one store.
        self._n_maps: int | None = None

    def get(self, view: View) -> tuple[torch.Tensor, ...]:
        """The maps of one view, each (c, h, w) or (c,), as they were stored."""
        key = self._maker.key(view)
        if self._n_maps is None:
            numbers = itertools.count()
            self._n_maps = next(at for at in numbers if f"{key}#{at}" not in self._store) or None
        names = [f"{key}#{number}" for number in range(self._n_maps or 1)]
        return tuple(torch.from_numpy(self._store.get(name)) for name in names)

    def target(self, view: View) -> torch.Tensor:
        """The moved and encoded target of one view."""
        return torch.from_numpy(self._store.get(self._maker.target_key(view)))

    def key(self, view: View) -> str:
        """Names the maps of a view among those of this store."""
        return self._maker.key(view)

    def vectors(self, rest: Rest) -> ArrayStore:
        """Where ``rest.reduced_features`` of these views is kept, for the weights it has now."""
        reduction = type(rest.head.summary).__name__
        space = content_key(self._space, state_key(rest.stages), reduction)
        return ArrayStore(
            self._folder / f"vectors-{space}", {**self._description, "kind": "vectors"}
        )

    def close(self) -> None:
        """The stored views are not in use any more."""
        self._store.close()

    def missing(self, views: Sequence[View]) -> list[View]:
        """The views that have to be computed, each once."""
        missing: dict[str, View] = {}
        # In pieces: the keys of all views of a large data set take more memory than the views.
        for start in range(0, len(views), ASKED_AT_ONCE):
            wanted = {self._last_part(view): view for view in views[start : start + ASKED_AT_ONCE]}
            maps = [self._first_map(view) for view in wanted.values()]
            absent = set(self._store.missing([*wanted, *maps]))
            for (part, view), first in zip(wanted.items(), maps, strict=True):
                if part in absent or first in absent:
                    missing[part] = view
        return list(missing.values())

    def _first_map(self, view: View) -> str:
        return f"{self._maker.key(view)}#0"

    def _last_part(self, view: View) -> str:
        """Names what tells a view apart: equal pictures may have different targets."""
        return self._maker.target_key(view) if self._maker.targets else self._first_map(view)

    def compute(
        self,
        views: Sequence[View],
        images: ImageCache,
        progress: Progress,
        engine: engines.Engine | None = None,
    ) -> int:
        """Computes and stores the views that are missing.

        Args:
            views: pairs (picture, number of the view).
            images: the decoded pictures.
            engine: that of the constructor's name, when it is open already.
            progress: shows a bar.

        Returns:
            The number of views that had to be computed.
        """
        todo = self.missing(views)
        if not todo:
            return 0
        if engine is None:
            engine = engines.open_engine(self._engine, self._prefix, self._maker.preprocess.size)
        chunk: dict[str, npt.NDArray[Any]] = {}
        batches = 0
        with progress.bar("frozen part", len(todo)) as advance:
            for (names, _, encoded), maps in _with_maps(
                _ahead(self._prepared(todo, images)), engine
            ):
                chunk.update(encoded)
                for number, stored in enumerate(maps):
                    rows = compact(stored[: len(names)])
                    chunk.update((f"{n}#{number}", row) for n, row in zip(names, rows, strict=True))
                batches += 1
                advance(len(names))
                if batches % BATCHES_A_CHUNK == 0:
                    self._store.put(chunk)
                    chunk = {}
        self._store.put(chunk)
        return len(todo)

    def _prepared(self, views: Sequence[View], images: ImageCache) -> Iterator[Prepared]:
        """Batches of one fixed shape; the last one is filled up with grey."""
        height, width = self._maker.preprocess.size
        for start in range(0, len(views), engines.BATCH):
            chosen = views[start : start + engines.BATCH]
            batch = np.full((engines.BATCH, height, width, 3), 128, dtype=np.uint8)
            encoded = {}
            for position, view in enumerate(chosen):
                batch[position], target = self._maker.make(view, images)
                if target is not None:
                    encoded[self._maker.target_key(view)] = target.numpy()
            yield [self._maker.key(view) for view in chosen], batch, encoded


def compact(maps: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """The maps (n, ...) of a batch one by one: float16 where every value fits, else float32."""
    with np.errstate(over="ignore"):
        halves = maps.astype(np.float16)
    if np.isfinite(halves).all():
        return list(halves)
    pairs = zip(halves, maps, strict=True)
    return [half if np.isfinite(half).all() else whole for half, whole in pairs]


def _ahead(source: Iterator[Prepared]) -> Iterator[Prepared]:
    """Lets one thread prepare the next batches while the engine works on those before.

    One thread and no more: views are drawn from torch's global generator, which must not be shared.
    """
    threads = torch.get_num_threads()
    # Several threads of torch would wait for each other on cores that the engine keeps busy.
    try:
        with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            waiting = deque(pool.submit(next, source, None) for _ in range(PREPARED_AHEAD))
            while (item := waiting.popleft().result()) is not None:
                waiting.append(pool.submit(next, source, None))
                yield item
    finally:
        torch.set_num_threads(threads)


def _with_maps(
    prepared: Iterator[Prepared], engine: engines.Engine
) -> Iterator[tuple[Prepared, tuple[npt.NDArray[Any], ...]]]:
    """Batches with the maps that the engine gives for their pictures."""
    started: deque[Prepared] = deque()

    def pixels() -> Iterator[ImageArray]:
        for item in prepared:
            started.append(item)
            yield item[1]

    for maps in engine.stream(pixels()):
        yield started.popleft(), maps
