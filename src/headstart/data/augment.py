"""Views of a picture: the plain one as the runtime sees it, and seeded augmented ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from headstart.runtime.preprocess import Preprocess
from headstart.types import IGNORED, ImageArray, Size

# Part of the key of stored views: raised whenever a view of the same seed would look different.
VERSION = 3

View = tuple[ImageArray, torch.Tensor | None]
"""A picture (h, w, 3), uint8, RGB, and its target in it where that has a place."""

Policy = Literal["light", "standard"]
Flip = Literal["none", "horizontal", "both"]


@dataclasses.dataclass(frozen=True)
class Strength:
    """How far a view may be from the picture.

    Attributes:
        min_area: smallest share of the picture's area that is shown.
        aspect: largest change of the aspect ratio, as a factor of that of the input.
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
        aspect = preprocess.size[1] / preprocess.size[0]
        crop = v2.RandomResizedCrop(
            preprocess.size,
            scale=(strength.min_area, 1.0),
            ratio=(aspect / strength.aspect, aspect * strength.aspect),
            antialias=True,
        )
        flips = {
            "none": [],
            "horizontal": [v2.RandomHorizontalFlip()],
            "both": [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()],
        }
        colour = v2.ColorJitter(strength.colour, strength.colour, strength.colour)
        return v2.Compose([crop, *flips[self.flip], colour])


def plain_view(pixels: ImageArray, placed: torch.Tensor | None, preprocess: Preprocess) -> View:
    """The picture as the runtime would prepare it, and its target moved by the same rule.

    Args:
        pixels: (h, w, 3), uint8, RGB.
        placed: the target in the picture, as a ``torchvision.tv_tensors`` tensor, or None.
        preprocess: the rule.

    Returns:
        (*size, 3), uint8, RGB; and the target in it.
    """
    image, geometry = preprocess.apply(pixels)
    if placed is None:
        return image, None
    (height, width), (scale_y, scale_x) = geometry.original, geometry.scale
    top, left = (int(offset) for offset in geometry.offset)
    shown = (round(height * scale_y), round(width * scale_x))
    placed = functional.resize(placed, list(shown), functional.InterpolationMode.NEAREST)
    # Negative padding is not allowed and negative cropping is: one call cuts and fills up.
    placed = functional.crop(placed, -top, -left, *preprocess.size)
    return image, _outside(placed, shown, (top, left))


def _outside(placed: torch.Tensor, shown: Size, offset: tuple[int, int]) -> torch.Tensor:
    """Marks what lies beyond the picture in a mask; ``crop`` filled it with zeros."""
    if isinstance(placed, tv_tensors.Mask):
        (height, width), (top, left) = shown, offset
        bars = torch.ones_like(placed, dtype=torch.bool)
        bars[..., max(0, top) : max(0, top + height), max(0, left) : max(0, left + width)] = False
        placed[bars] = IGNORED
    return placed


def augmented_view(
    pixels: ImageArray, placed: torch.Tensor | None, transform: v2.Compose, seed: int
) -> View:
    """One random view of a picture and its target, moved together in one call.

    Args:
        pixels: (h, w, 3), uint8, RGB.
        placed: the target in the picture, as a ``torchvision.tv_tensors`` tensor, or None.
        transform: of an ``Augmentation``.
        seed: decides everything; the same seed gives the same view, with or without a target.

    Returns:
        (height, width, 3) in the transform's size, uint8, RGB; and the target in it.
    """
    image = tv_tensors.Image(torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1))
    # torchvision draws from torch's global generator: its state is put back afterwards.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        image, placed = transform(image, placed)
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy()), placed
