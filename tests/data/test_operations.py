"""Operations of offline augmentation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision import tv_tensors

from headstart.data.augment import augmented_view
from headstart.data.operations import OPERATIONS, choose, parse_operations, transform_of
from headstart.errors import ConfigError
from headstart.types import IGNORED
from pictures import make_picture


def test_names_are_put_into_their_order() -> None:
    assert parse_operations("flip, Noise,channel_shift") == ("channel-shift", "noise", "flip")
    assert set(OPERATIONS) - set(parse_operations(None)) == {"channel-inversion"}


def test_an_unknown_name_is_answered_with_close_ones() -> None:
    with pytest.raises(
        ConfigError, match="'rotation' is no operation; did you mean rotate"
    ) as told:
        parse_operations("rotation,flip,wibble")
    assert len(told.value.problems) == 2
    with pytest.raises(ConfigError, match="must name some of"):
        parse_operations(" , ")


def test_two_or_three_are_chosen_and_all_have_their_turn() -> None:
    chosen = [choose(OPERATIONS, seed) for seed in range(200)]
    assert {len(names) for names in chosen} == {2, 3}
    assert {name for names in chosen for name in names} == set(OPERATIONS)
    assert choose(("flip",), 0) == ("flip",)


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_changes_the_picture_and_keeps_its_size(name: str) -> None:
    pixels = make_picture("disc", 0)
    mask = tv_tensors.Mask(torch.zeros(1, *pixels.shape[:2], dtype=torch.uint8))
    seen, placed = augmented_view(pixels, mask, transform_of([name]), 3)
    again, _ = augmented_view(pixels, mask, transform_of([name]), 3)
    assert seen.shape == pixels.shape
    assert seen.dtype == np.uint8
    assert (seen != pixels).any()
    np.testing.assert_array_equal(seen, again)
    assert placed is not None
    beyond = bool((placed.tensor == IGNORED).any())
    # Only what moves the picture brings in what lies beyond it; a large zoom does not.
    assert beyond or name not in ("rotate", "shift", "shear")
    assert not beyond or name in ("rotate", "shift", "shear", "zoom")


def test_a_picture_of_few_pixels_is_no_trouble() -> None:
    pixels = make_picture("disc", 0, (2, 3))
    seen, _ = augmented_view(pixels, None, transform_of(OPERATIONS), 0)
    assert seen.shape == (2, 3, 3)
