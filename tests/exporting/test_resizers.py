"""Models of how clients resize: the same place in the input, other pixels."""

from __future__ import annotations

import numpy as np
import pytest

from headstart.exporting.resizers import RESIZERS, bilinear, halved, nearest
from headstart.runtime.preprocess import PAD_VALUE, Preprocess


def ramp(height: int, width: int) -> np.ndarray:
    rows = np.linspace(0, 255, height)[:, None] + np.zeros((1, width))
    return np.repeat(rows[:, :, None], 3, axis=2).astype(np.uint8)


@pytest.mark.parametrize("name", list(RESIZERS))
@pytest.mark.parametrize("rule", ["letterbox", "crop", "squash"])
def test_a_smooth_picture_comes_out_alike(name: str, rule: str) -> None:
    """A ramp has no detail to lose: whoever shifts or scales wrongly differs by more."""
    preprocess = Preprocess((32, 48), rule)  # type: ignore[arg-type]
    image = ramp(200, 160)
    wanted, place = preprocess.apply(image)
    found, at = RESIZERS[name](image, preprocess, None)
    assert at == place
    assert found.shape == (32, 48, 3)
    assert found.dtype == np.uint8
    inside = wanted != PAD_VALUE
    assert np.abs(found.astype(int) - wanted)[inside].max() <= 8


def test_bars_are_grey() -> None:
    found, _ = bilinear(np.zeros((100, 50, 3), np.uint8), Preprocess((32, 32)), None)
    assert (found[:, :7] == PAD_VALUE).all()
    assert (found[:, 9:23] == 0).all()


def test_a_picture_of_the_right_size_is_not_changed() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for resize in RESIZERS.values():
        np.testing.assert_array_equal(resize(image, Preprocess((32, 32)), None)[0], image)


def test_only_antialiasing_averages_a_checkerboard() -> None:
    """128 x 128 in single pixels to 32 x 32: a quarter of the side."""
    board = np.indices((128, 128)).sum(axis=0) % 2 * 255
    image = np.repeat(board[:, :, None], 3, axis=2).astype(np.uint8)
    preprocess = Preprocess((32, 32))
    assert set(np.unique(nearest(image, preprocess, None)[0])) <= {0, 255}
    assert np.abs(halved(image, preprocess, None)[0].astype(int) - 127).max() <= 1
    assert np.abs(preprocess.apply(image)[0].astype(int) - 127).max() <= 4
