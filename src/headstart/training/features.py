"""Stored views: the frozen prefix is run once over every view, and its maps are kept on disk."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from headstart.data import augment
from headstart.data.image_cache import ImageCache
from headstart.data.store import ArrayStore
from headstart.models.network import Prefix
from headstart.progress import Progress
from headstart.runtime.preprocess import Preprocess
from headstart.storage import content_key, seed_from
from headstart.training import engines
from headstart.types import ImageArray, Record

PLAIN = 0
"""Number of the plain view; augmented views are 1, 2, ..."""

BATCHES_A_CHUNK = 8

View = tuple[Record, int]


class StoredViews:
    """The prefix's maps by picture and view.

    Args:
        folder: of the whole cache.
        prefix: the frozen part.
        preprocess: the resize rule of plain views.
        engine: name of the engine that computes the maps.
        seed: decides the augmented views.
        augmentation: what they look like.
    """

    def __init__(
        self,
        folder: Path,
        prefix: Prefix,
        preprocess: Preprocess,
        engine: str,
        seed: int,
        augmentation: augment.Augmentation,
    ) -> None:
        self._prefix = prefix
        self._preprocess = preprocess
        self._engine = engine
        self._seed = seed
        self._transform = augmentation.transform(preprocess)
        space = content_key(
            prefix.backbone.info.name,
            prefix.backbone.weights_key,
            prefix.count,
            prefix.reduce is not None,
            preprocess.to_json(),
            augment.VERSION,
            dataclasses.asdict(augmentation),
            engine,
        )
        self._store = ArrayStore(folder / f"views-{space}")

    def get(self, view: View) -> tuple[torch.Tensor, ...]:
        """The maps of one view, each (c, h, w) or (c,), as they were stored."""
        key = self._key(view)
        maps = [torch.from_numpy(self._store.get(f"{key}#0"))]
        while f"{key}#{len(maps)}" in self._store:
            maps.append(torch.from_numpy(self._store.get(f"{key}#{len(maps)}")))
        return tuple(maps)

    def missing(self, views: Sequence[View]) -> list[View]:
        """The views that have to be computed, each once."""
        by_key = {f"{self._key(view)}#0": view for view in views}
        return [by_key[key] for key in self._store.missing(by_key)]

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
            engine = engines.open_engine(self._engine, self._prefix, self._preprocess.size)
        chunk: dict[str, npt.NDArray[Any]] = {}
        batches = 0
        with progress.bar("frozen part", len(todo)) as advance:
            for names, pixels in _ahead(self._prepared(todo, images)):
                maps = engine.run(pixels)
                for position, name in enumerate(names):
                    for number, stored in enumerate(maps):
                        chunk[f"{name}#{number}"] = _compact(stored[position])
                batches += 1
                advance(len(names))
                if batches % BATCHES_A_CHUNK == 0:
                    self._store.put(chunk)
                    chunk = {}
        self._store.put(chunk)
        return len(todo)

    def _key(self, view: View) -> str:
        record, number = view
        return record.pixels if number == PLAIN else f"{record.pixels}/{self._seed}-{number}"

    def _pixels(self, view: View, images: ImageCache) -> ImageArray:
        record, number = view
        pixels = images.get(record.pixels)
        if number == PLAIN:
            return augment.plain_view(pixels, self._preprocess)
        seed = seed_from("view", self._seed, record.fingerprint, number)
        return augment.augmented_view(pixels, self._transform, seed)

    def _prepared(
        self, views: Sequence[View], images: ImageCache
    ) -> Iterator[tuple[list[str], ImageArray]]:
        """Batches of one fixed shape; the last one is filled up with grey."""
        height, width = self._preprocess.size
        for start in range(0, len(views), engines.BATCH):
            chosen = views[start : start + engines.BATCH]
            batch = np.full((engines.BATCH, height, width, 3), 128, dtype=np.uint8)
            for position, view in enumerate(chosen):
                batch[position] = self._pixels(view, images)
            yield [self._key(view) for view in chosen], batch


def _compact(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """float16 where every value fits, else float32."""
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    return half if np.isfinite(half).all() else values


def _ahead(
    source: Iterator[tuple[list[str], ImageArray]],
) -> Iterator[tuple[list[str], ImageArray]]:
    """Lets one thread prepare the next batch while the engine works on the present one.

    One thread and no more: views are drawn from torch's global generator, which must not be shared.
    """
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, source, None)
        while (item := waiting.result()) is not None:
            waiting = pool.submit(next, source, None)
            yield item
