"""Views are functions of the picture and the seed."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
import torch

from headstart.data.augment import Augmentation, Flip, Policy, augmented_view, plain_view
from headstart.runtime.preprocess import Preprocess
from headstart.types import Size
from pictures import make_picture

PREPROCESS = Preprocess((32, 48))
PICTURE = make_picture("disc", 3)
SEEDS = range(24)


@pytest.mark.parametrize("policy", get_args(Policy))
def test_a_seed_decides_the_view(policy: Policy) -> None:
    transform = Augmentation(policy).transform(PREPROCESS)
    views = [augmented_view(PICTURE, None, transform, seed)[0] for seed in SEEDS]
    again = [augmented_view(PICTURE, None, transform, seed)[0] for seed in reversed(SEEDS)]
    for view, same in zip(views, reversed(again), strict=True):
        np.testing.assert_array_equal(view, same)
    # Without augmentation there is the picture and its mirror image.
    assert len({view.tobytes() for view in views}) == (2 if policy == "none" else len(SEEDS))


def test_large_seeds_differ_too() -> None:
    transform = Augmentation().transform(PREPROCESS)
    seeds = (2**63 - 1, 2**63 - 2, 2**62)
    assert len({augmented_view(PICTURE, None, transform, seed)[0].tobytes() for seed in seeds}) == 3


def test_the_global_generator_is_not_touched() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    augmented_view(PICTURE, None, Augmentation().transform(PREPROCESS), 1)
    assert torch.equal(torch.random.get_rng_state(), before)
    one, _ = augmented_view(PICTURE, None, Augmentation().transform(PREPROCESS), 7)
    torch.manual_seed(6)
    two, _ = augmented_view(PICTURE, None, Augmentation().transform(PREPROCESS), 7)
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (90, 1), (48, 64), (200, 31)])
@pytest.mark.parametrize("policy", get_args(Policy))
def test_every_shape_gives_the_size(size: Size, policy: Policy) -> None:
    picture = np.full((*size, 3), 200, np.uint8)
    transform = Augmentation(policy, "both").transform(PREPROCESS)
    view, _ = augmented_view(picture, None, transform, 3)
    assert (view.shape, view.dtype, view.flags["C_CONTIGUOUS"]) == ((32, 48, 3), np.uint8, True)
    assert plain_view(picture, None, PREPROCESS)[0].shape == (32, 48, 3)


@pytest.mark.parametrize(
    ("flip", "horizontal", "vertical"),
    [
        ("none", {False}, {False}),
        ("horizontal", {True, False}, {False}),
        ("both", {True, False}, {True, False}),
    ],
)
def test_mirror_images(flip: Flip, horizontal: set[bool], vertical: set[bool]) -> None:
    # Brighter to the right and to the bottom: any crop shows which way it is.
    rows, columns = np.mgrid[0:60, 0:60]
    picture = np.repeat((rows + 3 * columns)[:, :, None], 3, axis=2).astype(np.uint8)
    transform = Augmentation("light", flip).transform(Preprocess((32, 32)))
    views = [augmented_view(picture, None, transform, seed)[0].astype(float) for seed in SEEDS]
    assert {bool(v[:, 0].mean() > v[:, -1].mean()) for v in views} == horizontal
    assert {bool(v[0].mean() > v[-1].mean()) for v in views} == vertical


def test_each_policy_moves_a_picture_further_than_the_one_before() -> None:
    plain = plain_view(PICTURE, None, Preprocess((48, 64)))[0].astype(float)

    def distance(policy: Policy) -> float:
        transform = Augmentation(policy, "none").transform(Preprocess((48, 64)))
        views = [augmented_view(PICTURE, None, transform, seed)[0] for seed in SEEDS]
        return float(np.mean([np.abs(view - plain).mean() for view in views]))

    assert distance("none") < 1 < distance("light") < distance("standard") < distance("strong")


def test_a_plain_view_is_what_the_runtime_sees() -> None:
    np.testing.assert_array_equal(
        plain_view(PICTURE, None, PREPROCESS)[0], PREPROCESS.apply(PICTURE)[0], strict=True
    )
