"""Batches of the parts that train: which picture in which view, as a function of seed and epoch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from headstart.storage import seed_from

Maps = tuple[torch.Tensor, ...]
Batch = tuple[Maps, torch.Tensor]
Item = tuple[int, int]
"""(position of the picture, number of the view)."""


class Samples(Protocol):
    """Inputs of the part that trains and their targets, by picture and view."""

    def maps(self, item: Item) -> Maps:
        """The maps of one view, each without a batch dimension."""

    def target(self, item: Item) -> torch.Tensor:
        """The encoded target of one view, without a batch dimension."""


class EpochOrder(Sampler[list[Item]]):
    """Every picture once an epoch, in a random order and a random one of its views.

    Args:
        pictures: number of pictures.
        views: number of views of each, the plain one included.
        batch_size: pictures a batch.
        seed: decides order and views, with the epoch.
        phase: name of the phase, so that phases differ.
        weights: how often each picture is drawn (pictures,), relative to the others and with
            replacement; None sees each as often as the others.
        steps: batches of an epoch; None takes every picture once.
    """

    def __init__(
        self,
        pictures: int,
        views: int,
        batch_size: int,
        seed: int,
        phase: str,
        *,
        weights: npt.NDArray[np.float64] | None = None,
        steps: int | None = None,
    ) -> None:
        self._pictures, self._views, self._batch_size = pictures, views, batch_size
        self._seed, self._phase, self._epoch = seed, phase, 0
        self._weights, self._steps = weights, steps

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before every epoch."""
        self._epoch = epoch

    def __len__(self) -> int:
        if self._steps is not None:
            return self._steps
        full, left = divmod(self._pictures, self._batch_size)
        # A single picture would be a batch without variance; it has its turn in another epoch.
        return full + (left > 1 or full == 0)

    def __iter__(self) -> Iterator[list[Item]]:
        random = np.random.default_rng(seed_from("order", self._seed, self._phase, self._epoch))
        order = self._order(random)
        views = random.integers(0, self._views, len(order))
        # By picture where each is seen once: the figures of the documentation were measured so.
        once = self._weights is None and self._steps is None
        drawn = views[order] if once else views
        items = [(int(picture), int(view)) for picture, view in zip(order, drawn, strict=True)]
        for batch in range(len(self)):
            yield items[batch * self._batch_size : (batch + 1) * self._batch_size]

    def _order(self, random: np.random.Generator) -> npt.NDArray[np.intp]:
        """Positions of the pictures of one epoch."""
        count = self._pictures if self._steps is None else self._steps * self._batch_size
        if self._weights is not None:
            shares = self._weights / self._weights.sum()
            return random.choice(self._pictures, count, p=shares)
        rounds = -(-count // self._pictures)
        return np.concatenate([random.permutation(self._pictures) for _ in range(rounds)])[:count]


class _Batches(Dataset[Batch]):
    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def __getitem__(self, items: list[Item]) -> Batch:
        # Maps and target of one item together: they may come out of one computation.
        found = [(self._samples.maps(item), self._samples.target(item)) for item in items]
        maps = zip(*(maps for maps, _ in found), strict=True)
        targets = torch.stack([target for _, target in found])
        return tuple(torch.stack(same) for same in maps), targets


def train_loader(samples: Samples, order: EpochOrder, workers: int = 0) -> DataLoader[Batch]:
    """Batches for training, in the order's order.

    The order is the loader's ``sampler``, which draws whole batches: Lightning tells the epoch to a
    sampler, but not to a ``batch_sampler``, and without it every epoch would see the same views.

    Args:
        samples: inputs and targets.
        order: of an epoch.
        workers: processes that make batches; 0 makes them when they are asked for.
    """
    return _loader(samples, order, workers)


def plain_loader(
    samples: Samples, pictures: int, batch_size: int, workers: int = 0
) -> DataLoader[Batch]:
    """Every picture's plain view once, in order."""
    items = [(position, 0) for position in range(pictures)]
    batches = [items[at : at + batch_size] for at in range(0, len(items), batch_size)]
    return _loader(samples, batches, workers)


def _loader(
    samples: Samples, batches: Sampler[list[Item]] | list[list[Item]], workers: int
) -> DataLoader[Batch]:
    return DataLoader(
        _Batches(samples),
        sampler=batches,
        batch_size=None,
        num_workers=workers,
        persistent_workers=workers > 0,
        # What samples hold, such as open files, cannot be sent to a new process.
        multiprocessing_context="fork" if workers else None,
    )
