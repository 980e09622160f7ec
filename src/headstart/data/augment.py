"""Views of a picture: the plain one as the runtime sees it, and seeded augmented ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torchvision.transforms import v2

from headstart.runtime.preprocess import Preprocess
from headstart.types import ImageArray

# Part of the key of stored views: raised whenever a view of the same seed would look different.
VERSION = 2

Policy = Literal["light", "standard"]
Flip = Literal["none", "horizontal", "both"]


@dataclasses.dataclass(frozen=True)
class Strength:
    """How far a view may be from the picture.

    Attributes:
        min_area: smallest share of the picture's area that is shown.
        aspect: largest change of the aspect ratio, as a factor.
        colour: largest change of brightness, contrast and saturation, as a share. Hue stays:
            turning it costs more than all the rest together.
    """

    min_area: float
    aspect: float
    colour: float


STRENGTHS: Mapping[Policy, Strength] = {
    "light": Strength(0.8, 10 / 9, 0.1),
    "standard": Strength(0.3, 4 / 3, 0.3),
}


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What augmented views look like.

    Attributes:
        policy: ``standard`` for things that may lie anywhere in the picture at any size, ``light``
            for pictures that are all taken in the same way.
        flip: ``horizontal`` where a mirrored picture means the same, ``both`` where no side is up.
    """

    policy: Policy = "standard"
    flip: Flip = "horizontal"

    def transform(self, preprocess: Preprocess) -> v2.Compose:
        """The transform of uint8 pictures (3, h, w) to (3, *size)."""
        strength = STRENGTHS[self.policy]
        crop = v2.RandomResizedCrop(
            preprocess.size,
            scale=(strength.min_area, 1.0),
            ratio=(1 / strength.aspect, strength.aspect),
            antialias=True,
        )
        flips = {
            "none": [],
            "horizontal": [v2.RandomHorizontalFlip()],
            "both": [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()],
        }
        colour = v2.ColorJitter(strength.colour, strength.colour, strength.colour)
        return v2.Compose([crop, *flips[self.flip], colour])


def plain_view(pixels: ImageArray, preprocess: Preprocess) -> ImageArray:
    """The picture (h, w, 3) as the runtime would prepare it: (*size, 3), uint8, RGB."""
    return preprocess.apply(pixels)[0]


def augmented_view(pixels: ImageArray, transform: v2.Compose, seed: int) -> ImageArray:
    """One random view.

    Args:
        pixels: (h, w, 3), uint8, RGB.
        transform: of an ``Augmentation``.
        seed: decides everything; the same seed gives the same view.

    Returns:
        (height, width, 3) in the transform's size, uint8, RGB.
    """
    # torchvision draws from torch's global generator: its state is put back afterwards.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        image = transform(torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1))
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())
