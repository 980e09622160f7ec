"""Views by an own transform: picture and target move together, and the seed decides all."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2

from headstart.data.own_view import own_view
from headstart.errors import ConfigError
from headstart.runtime.preprocess import Preprocess
from headstart.types import IGNORED
from pictures import make_picture

SQUARE = Preprocess((64, 64), "letterbox")


def test_a_picture_is_changed_and_then_brought_to_the_size() -> None:
    pixels = make_picture("disc", 0)
    seen, moved = own_view(pixels, None, lambda image: 255 - image, SQUARE, 1)
    plain, _ = SQUARE.apply(255 - pixels)
    assert moved is None
    assert np.array_equal(seen, plain)


def test_a_view_of_the_right_size_is_taken_as_it_is() -> None:
    seen, _ = own_view(make_picture("disc", 0), None, v2.Resize((64, 64)), SQUARE, 1)
    assert seen.shape == (64, 64, 3)
    # A letterbox would have bars.
    assert (seen[0] != seen[0, 0]).any()


def noisy(image: torch.Tensor) -> torch.Tensor:
    found = image + torch.randint(0, 2, ()) + random.randint(0, 100) + np.random.randint(0, 100)  # noqa: NPY002
    return found.to(torch.uint8)


def test_the_seed_decides_every_generator_and_leaves_it_as_it_was() -> None:
    pixels = make_picture("disc", 0)
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    states = [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()]  # noqa: NPY002
    views = [own_view(pixels, None, noisy, SQUARE, seed)[0] for seed in (7, 7, 8, 2**62)]
    assert np.array_equal(views[0], views[1])
    assert not np.array_equal(views[0], views[2])
    assert not np.array_equal(views[0], views[3])
    assert states == [
        random.getstate(),
        np.random.get_state()[1].tolist(),  # noqa: NPY002
        torch.get_rng_state().tolist(),
    ]


@pytest.mark.parametrize("resize", ["letterbox", "crop", "squash"])
def test_a_mask_moves_with_its_picture(resize: Any) -> None:
    """The mask marks what is bright: it does so in every view, and bars count for nothing."""
    pixels = np.full((48, 80, 3), 30, np.uint8)
    pixels[10:30, 5:40] = 220
    mask = tv_tensors.Mask(torch.from_numpy((pixels[None, ..., 0] > 125).astype(np.uint8)))
    transform = v2.Compose([v2.RandomHorizontalFlip(1.0), v2.RandomCrop((40, 60))])
    seen, moved = own_view(pixels, mask, transform, Preprocess((64, 64), resize), 3)
    assert moved is not None
    found = moved.tensor[0].numpy()
    counts = found != IGNORED
    assert found.shape == seen.shape[:2] == (64, 64)
    assert counts.all() == (resize != "letterbox")
    assert ((seen[..., 0] > 125) == (found == 1))[counts].mean() > 0.97
    assert (found[counts] == 1).any()


@pytest.mark.parametrize("mirror", [0.0, 1.0])
def test_points_move_with_their_picture_and_mirrors_are_noticed(mirror: float) -> None:
    pixels = np.zeros((48, 80, 3), np.uint8)
    pixels[20:23, 60:63] = 255
    points = tv_tensors.KeyPoints(torch.tensor([[61.5, 21.5], [2.0, 3.0]]), canvas_size=(48, 80))
    transform = v2.RandomHorizontalFlip(mirror)
    seen, moved = own_view(pixels, points, transform, Preprocess((48, 80)), 0)
    assert moved is not None
    assert moved.mirrored == bool(mirror)
    rows, columns = np.nonzero(seen[..., 0])
    wanted = [columns.mean() + 0.5, rows.mean() + 0.5]
    assert moved.tensor[0].tolist() == pytest.approx(wanted)
    assert moved.tensor.shape == (2, 2)


MASK = tv_tensors.Mask(torch.zeros((1, 48, 64), dtype=torch.uint8))
POINTS = tv_tensors.KeyPoints(torch.zeros((2, 2)), canvas_size=(48, 64))


@pytest.mark.parametrize(
    ("placed", "transform", "expected"),
    [
        (None, lambda image: image.float(), r"a uint8 picture .*, got torch.float32 \(3, 48, 64\)"),
        (None, lambda image: image[0], r"a uint8 picture .*, got torch.uint8 \(48, 64\)"),
        (None, lambda image: None, "a uint8 picture .*, got NoneType"),
        (MASK, lambda image, mask: image, r"the picture and its target, got torch.uint8 \(3, 48"),
        (MASK, lambda image, mask: (image, mask, 1), "the picture and its target, got 3 values"),
        (
            MASK,
            lambda image, mask: (image, mask[:, ::2]),
            r"a mask as large as its picture, \(1, 48, 64\), got torch.uint8 \(1, 24, 64\)",
        ),
        (
            POINTS,
            lambda image, points: (image, points[:2]),
            r"as many points as it was given, \(5, 2\), got torch.float32 \(2, 2\)",
        ),
    ],
)
def test_something_else_than_a_view_is_refused(
    placed: torch.Tensor | None, transform: Any, expected: str
) -> None:
    with pytest.raises(ConfigError, match=f"^transform must give back {expected}"):
        own_view(make_picture("disc", 0), placed, transform, SQUARE, 0)
