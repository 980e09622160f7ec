"""What the two phases train on: maps of views, and vectors that are computed from them once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch

from headstart.data.loader import Item, Maps
from headstart.data.rows import RowFile
from headstart.data.store import ArrayStore
from headstart.models.network import Rest
from headstart.storage import cache_dir, content_key
from headstart.training.views import Views
from headstart.types import Record

REDUCE_BATCH = 64

BATCHES_A_CHUNK = 64

Vectors = npt.NDArray[np.float32]
"""Of one batch of views: (n, channels)."""


class ViewSamples:
    """Maps and targets of views, stored or made when they are needed.

    Args:
        views: gives all views.
        records: the pictures.
        targets: of the pictures (n, ...); None where they are stored with each view.
    """

    def __init__(
        self, views: Views, records: Sequence[Record], targets: torch.Tensor | None
    ) -> None:
        self._views, self._records, self._targets = views, records, targets

    def maps(self, item: Item) -> Maps:
        """The maps of one view."""
        return self._views.get((self._records[item[0]], item[1]))

    def key(self, item: Item) -> str:
        """Names the maps of one view."""
        return self._views.key((self._records[item[0]], item[1]))

    def vectors(self, rest: Rest) -> ArrayStore | None:
        """Where reduced features are kept, see ``Views.vectors``."""
        return self._views.vectors(rest)

    def target(self, item: Item) -> torch.Tensor:
        """The target of one view."""
        if self._targets is not None:
            return self._targets[item[0]]
        return self._views.target((self._records[item[0]], item[1]))


class ReducedSamples:
    """What the head's learning part takes, of all views in one table on disk.

    What an earlier run has computed of the same views with the same weights is taken from the
    cache. It is kept by whole batches: a batch of other views or of another size could round
    differently, and a run that finds vectors must train exactly what it would train without them.

    Args:
        samples: where the maps come from.
        rest: runs its stages and the head's reduction, with the weights it has now.
        pictures: number of pictures.
        views: number of views of each.
    """

    def __init__(self, samples: ViewSamples, rest: Rest, pictures: int, views: int) -> None:
        items = itertools.product(range(pictures), range(views))
        rows = RowFile(cache_dir())
        rest.eval()
        # Open until ``close``: what a run uses is not removed from the cache.
        self._store = samples.vectors(rest)
        for vectors in _reduced(samples, rest, items, self._store):
            rows.append(vectors)
        self.views = views
        self._samples = samples
        self._table = rows.table()

    def maps(self, item: Item) -> Maps:
        """The reduced features of one view."""
        # A copy: the table cannot be written, which tensors do not know.
        return (torch.from_numpy(np.array(self._table[item[0] * self.views + item[1]])),)

    def target(self, item: Item) -> torch.Tensor:
        """The target of one view."""
        return self._samples.target(item)

    def close(self) -> None:
        """The vectors in the cache are not in use any more."""
        if self._store is not None:
            self._store.close()

    def by_view(self, views: int, step: int = 1) -> Vectors:
        """The first views of every ``step``-th picture, the plain one first.

        Returns:
            (views, pictures, channels), copied into memory.
        """
        table = self._table.reshape(-1, self.views, *self._table.shape[1:])
        return np.array(table[::step, :views].swapaxes(0, 1), order="C")


def _reduced(
    samples: ViewSamples, rest: Rest, items: Iterator[Item], store: ArrayStore | None
) -> Iterator[Vectors]:
    """The vectors of all items, batch by batch; stores those that are not stored yet."""
    fresh: dict[str, Vectors] = {}
    while some := list(itertools.islice(items, REDUCE_BATCH)):
        key = content_key([samples.key(item) for item in some])
        if store is not None and key in store:
            yield store.get(key)
            continue
        fresh[key] = _compute(samples, rest, some)
        yield fresh[key]
        if store is None:
            fresh.clear()
        elif len(fresh) == BATCHES_A_CHUNK:
            store.put(fresh)
            fresh = {}
    if store is not None:
        store.put(fresh)


def _compute(samples: ViewSamples, rest: Rest, items: Sequence[Item]) -> Vectors:
    with torch.inference_mode():
        found = [samples.maps(item) for item in items]
        maps = tuple(torch.stack(same) for same in zip(*found, strict=True))
        vectors: Vectors = rest.reduced_features(maps).numpy()
    return vectors
