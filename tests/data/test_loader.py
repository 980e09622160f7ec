"""Which picture comes in which batch and view."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from headstart.data.loader import EpochOrder, Item, Maps, plain_loader, train_loader


def batches(
    pictures: int,
    views: int = 3,
    batch_size: int = 4,
    seed: int = 1,
    phase: str = "head",
    epoch: int = 0,
) -> list[list[Item]]:
    order = EpochOrder(pictures, views, batch_size, seed, phase)
    order.set_epoch(epoch)
    found = list(order)
    assert len(found) == len(order)
    return found


@pytest.mark.parametrize(
    "change", [{"seed": 2}, {"phase": "tune"}, {"epoch": 1}], ids=["seed", "phase", "epoch"]
)
def test_the_order_is_a_function_of_seed_phase_and_epoch(change: dict[str, Any]) -> None:
    plain = batches(40)
    torch.manual_seed(99)
    assert batches(40) == plain
    assert batches(40, **change) != plain
    assert batches(40, **change) == batches(40, **change)


def test_iterating_twice_without_a_new_epoch_repeats() -> None:
    order = EpochOrder(10, 3, 4, 1, "head")
    assert list(order) == list(order)
    order.set_epoch(3)
    assert list(order) == batches(10, epoch=3)


@pytest.mark.parametrize(
    ("pictures", "sizes"),
    [
        (8, [4, 4]),
        (10, [4, 4, 2]),
        (9, [4, 4]),  # a last batch of one has no variance
        (5, [4]),
        (4, [4]),
        (2, [2]),
        (1, [1]),  # but the only batch stays
    ],
)
def test_batches_hold_every_picture_once(pictures: int, sizes: list[int]) -> None:
    found = batches(pictures)
    assert [len(batch) for batch in found] == sizes
    seen = [picture for batch in found for picture, _ in batch]
    assert len(set(seen)) == len(seen) == sum(sizes)
    assert set(seen) <= set(range(pictures))


def test_whoever_is_left_out_has_a_turn_in_another_epoch() -> None:
    left_out = {
        (
            set(range(9)) - {picture for batch in batches(9, epoch=epoch) for picture, _ in batch}
        ).pop()
        for epoch in range(8)
    }
    assert len(left_out) > 1


def test_every_view_is_drawn_about_equally_often() -> None:
    views = [view for epoch in range(20) for batch in batches(60, epoch=epoch) for _, view in batch]
    assert len(views) == 1200
    # 400 each; the standard deviation is 16.3.
    assert all(abs(views.count(view) - 400) < 66 for view in range(3))
    assert {view for batch in batches(60, views=1) for _, view in batch} == {0}


class Numbered:
    """Maps that say whose they are."""

    def maps(self, item: Item) -> Maps:
        picture, view = item
        return torch.tensor([picture, view]), torch.full((2, 2), float(picture))

    def target(self, item: Item) -> torch.Tensor:
        return torch.tensor(100 * item[0] + item[1])


def test_the_training_loader_brings_maps_and_targets_in_order() -> None:
    order = EpochOrder(10, 3, 4, 1, "head")
    loaded = list(train_loader(Numbered(), order))
    assert len(loaded) == 3
    for ((who, maps), target), batch in zip(loaded, order, strict=True):
        assert who.tolist() == [list(item) for item in batch]
        assert target.tolist() == [100 * picture + view for picture, view in batch]
        assert maps.shape == (len(batch), 2, 2)


def test_the_plain_loader_shows_every_picture_once_in_order() -> None:
    loaded = list(plain_loader(Numbered(), 9, 4))
    assert [len(target) for _, target in loaded] == [4, 4, 1]
    rows = [row for (who, _), _ in loaded for row in who.tolist()]
    assert rows == [[picture, 0] for picture in range(9)]
    assert torch.cat([target for _, target in loaded]).tolist() == [100 * at for at in range(9)]


def test_weights_draw_pictures_as_often_as_they_say() -> None:
    order = EpochOrder(4, 2, 8, 1, "head", weights=np.array([3.0, 1.0, 0.0, 0.0]), steps=100)
    pictures = [picture for batch in order for picture, _ in batch]
    assert len(pictures) == 800
    # 600; the standard deviation is 12.2.
    assert abs(pictures.count(0) - 600) < 50
    assert set(pictures) == {0, 1}


@pytest.mark.parametrize(("steps", "most"), [(2, 1), (7, 3)])
def test_steps_decide_the_length_of_an_epoch(steps: int, most: int) -> None:
    """Seven batches of four out of ten pictures: every picture two or three times."""
    order = EpochOrder(10, 3, 4, 1, "head", steps=steps)
    found = list(order)
    assert [len(batch) for batch in found] == [4] * steps == [4] * len(order)
    pictures = [picture for batch in found for picture, _ in batch]
    assert max(pictures.count(at) for at in range(10)) == most
