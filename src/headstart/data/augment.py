"""Views of a picture: the plain one as the runtime sees it, and seeded augmented ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional, query_size

from headstart.runtime.preprocess import PAD_VALUE, Preprocess
from headstart.tasks.learning import Placed
from headstart.types import IGNORED, Box, ImageArray, Size

# Part of the key of stored views: raised whenever a view of the same seed would look different.
VERSION = 4

View = tuple[ImageArray, Placed | None]
"""A picture (h, w, 3), uint8, RGB, and its target in it where that has a place."""

AXES = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
"""Origin and ends of two axes (3, 2), x before y: moved with a target, they tell what became of it.
"""

Policy = Literal["none", "light", "standard", "strong"]
Flip = Literal["none", "horizontal", "both"]


@dataclasses.dataclass(frozen=True)
class Strength:
    """How far a view may be from the picture.

    Attributes:
        min_area: smallest share of the picture's area that is shown.
        aspect: largest change of the aspect ratio, as a factor of that of the input.
        colour: largest change of brightness, contrast and saturation, as a share. Hue stays:
            turning it costs more than all the rest together.
        degrees: largest turn of what a box means.
        zoom: largest change of its size, as a share.
        shift: largest change of its place, as a share of what is shown.
        faults: share of the views with faults of a camera: blur, lost colour, exposure.
    """

    min_area: float
    aspect: float
    colour: float
    degrees: float
    zoom: float
    shift: float
    faults: float = 0.0


STRENGTHS: Mapping[Policy, Strength] = {
    "none": Strength(1.0, 1.0, 0.0, 0.0, 0.0, 0.0),
    "light": Strength(0.8, 10 / 9, 0.1, 10.0, 0.1, 0.03),
    "standard": Strength(0.3, 4 / 3, 0.3, 30.0, 0.25, 0.08),
    "strong": Strength(0.15, 3 / 2, 0.5, 45.0, 0.35, 0.12, faults=0.2),
}


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """What augmented views look like.

    Attributes:
        policy: ``standard`` for things that may lie anywhere in the picture at any size, ``light``
            for pictures that are all taken in the same way, ``strong`` for long training on few
            pictures, ``none`` for no change but ``flip``.
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
        return v2.Compose([crop, *self._flips_and_colour()])

    def region_transform(self, preprocess: Preprocess, slack: float) -> v2.Compose:
        """The transform of the surroundings of a box: turned, moved, and cut to its middle.

        Args:
            preprocess: gives the size.
            slack: how many times longer the surroundings are than what is shown in the end.
        """
        strength = STRENGTHS[self.policy]
        turn = v2.RandomAffine(
            strength.degrees,
            translate=(strength.shift / slack, strength.shift / slack),
            scale=(1.0 - strength.zoom, 1.0 + strength.zoom),
            interpolation=v2.InterpolationMode.BILINEAR,
            fill=PAD_VALUE,
        )
        middle = _Middle(1.0 / slack)
        resize = v2.Resize(list(preprocess.size), antialias=True)
        return v2.Compose([turn, middle, resize, *self._flips_and_colour()])

    def _flips_and_colour(self) -> list[nn.Module]:
        strength = STRENGTHS[self.policy]
        flips: dict[Flip, list[nn.Module]] = {
            "none": [],
            "horizontal": [v2.RandomHorizontalFlip()],
            "both": [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()],
        }
        colour = v2.ColorJitter(strength.colour, strength.colour, strength.colour)
        return [*flips[self.flip], colour, *_faults(strength.faults)]


def _faults(share: float) -> list[nn.Module]:
    """What goes wrong in cameras, each in this share of the views."""
    if share == 0:
        return []
    return [
        v2.RandomApply([v2.GaussianBlur(5, (0.3, 2.0))], share),
        v2.RandomGrayscale(share / 2),
        v2.RandomAutocontrast(share),
    ]


class _Middle(v2.Transform):  # type: ignore[misc]
    """Cuts out the middle of a picture and of what lies in it.

    Args:
        share: of both sides.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self._share = share

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """The size of what is kept."""
        height, width = query_size(flat_inputs)
        return {"size": [round(height * self._share), round(width * self._share)]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Cuts one of the inputs."""
        return self._call_kernel(functional.center_crop, inpt, output_size=params["size"])


def are_points(placed: torch.Tensor | None) -> bool:
    """Whether a placed target is made of points."""
    return isinstance(placed, tv_tensors.KeyPoints)


def plain_view(
    pixels: ImageArray,
    placed: torch.Tensor | None,
    preprocess: Preprocess,
    box: Box | None = None,
) -> View:
    """The picture as the runtime would prepare it, and its target moved by the same rule.

    Args:
        pixels: (h, w, 3), uint8, RGB.
        placed: the target in the picture, as a ``torchvision.tv_tensors`` tensor, or None.
        preprocess: the rule.
        box: around the thing that is meant, in these pixels.

    Returns:
        (*size, 3), uint8, RGB; and the target in it.
    """
    image, geometry = preprocess.apply(pixels, box)
    if placed is None:
        return image, None
    if isinstance(placed, tv_tensors.KeyPoints):
        scale, offset = (torch.tensor(pair[::-1]) for pair in (geometry.scale, geometry.offset))
        points = placed.as_subclass(torch.Tensor) * scale + offset
        return image, Placed(tv_tensors.KeyPoints(points, canvas_size=preprocess.size))
    (height, width), (scale_y, scale_x) = geometry.original, geometry.scale
    top, left = (int(offset) for offset in geometry.offset)
    shown = (round(height * scale_y), round(width * scale_x))
    placed = functional.resize(placed, list(shown), functional.InterpolationMode.NEAREST)
    # Negative padding is not allowed and negative cropping is: one call cuts and fills up.
    placed = functional.crop(placed, -top, -left, *preprocess.size)
    return image, Placed(_outside(placed, shown, (top, left)))


def _outside(placed: torch.Tensor, shown: Size, offset: tuple[int, int]) -> torch.Tensor:
    """Marks what lies beyond the picture in a mask; ``crop`` filled it with zeros."""
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
    image = tv_tensors.Image(torch.from_numpy(np.array(pixels)).permute(2, 0, 1))
    # Three points beside the target tell afterwards what happened to it.
    axes = tv_tensors.KeyPoints(AXES.clone(), canvas_size=pixels.shape[:2])
    # torchvision draws from torch's global generator: its state is put back afterwards.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        image, placed, axes = transform(image, placed, axes)
    seen = np.ascontiguousarray(image.permute(1, 2, 0).numpy())
    if placed is None:
        return seen, None
    axes = axes.as_subclass(torch.Tensor)
    if are_points(placed):
        size = (seen.shape[0], seen.shape[1])
        return seen, moved_points(placed.as_subclass(torch.Tensor), axes, size)
    _, _, growth = _turned(axes)
    return seen, Placed(placed, growth < 0, abs(growth))


def _turned(axes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Where right and down point in a view (2,), and the area between: below 0 where mirrored."""
    right, down = axes[1] - axes[0], axes[2] - axes[0]
    return right, down, float(right[0] * down[1] - right[1] * down[0])


def moved_points(points: torch.Tensor, axes: torch.Tensor, size: Size) -> Placed:
    """Points as a transform of torchvision left them, in continuous coordinates.

    Args:
        points: (n, 2), x before y, in pixels.
        axes: ``AXES`` after the same transform.
        size: of the view.
    """
    right, down, growth = _turned(axes)
    # torchvision mirrors points between the centres of pixels (x becomes width - 1 - x), but
    # resizes and turns them in continuous coordinates, where it would be width - x.
    missing = torch.tensor([float(right[0] < 0), float(down[1] < 0)])
    return Placed(tv_tensors.KeyPoints(points + missing, canvas_size=size), growth < 0, abs(growth))
