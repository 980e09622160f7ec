"""Views of a picture: the plain one as the runtime sees it, and seeded augmented ones."""

from __future__ import annotations

import numpy as np
import torch
from torchvision.transforms import v2

from headstart.runtime.preprocess import Preprocess
from headstart.types import ImageArray

# Part of the key of stored views: raised whenever a view of the same seed would look different.
VERSION = 1

MIN_AREA = 0.35
"""Smallest share of the picture's area that an augmented view shows."""

BRIGHTNESS = CONTRAST = SATURATION = 0.2


def plain_view(pixels: ImageArray, preprocess: Preprocess) -> ImageArray:
    """The picture (h, w, 3) as the runtime would prepare it: (*size, 3), uint8, RGB."""
    return preprocess.apply(pixels)[0]


def augmented_view(pixels: ImageArray, preprocess: Preprocess, seed: int) -> ImageArray:
    """A crop of random size, place and aspect ratio, perhaps mirrored, with other colours.

    Hue stays: turning it costs more than all the rest together.

    Args:
        pixels: (h, w, 3), uint8, RGB.
        preprocess: gives the size; its resize rule shapes plain views only.
        seed: decides everything; the same seed gives the same view.

    Returns:
        (*size, 3), uint8, RGB.
    """
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(preprocess.size, scale=(MIN_AREA, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(BRIGHTNESS, CONTRAST, SATURATION),
        ]
    )
    # torchvision draws from torch's global generator: its state is put back afterwards.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        image = transform(torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1))
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())
