"""Operations of offline augmentation, and how some of them become one transform. Needs torch."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from headstart.errors import ConfigError
from headstart.runtime.preprocess import PAD_VALUE
from headstart.types import IGNORED

FLIP = "flip"
"""Mirrors left and right."""

AFFINE = ("rotate", "shift", "shear", "zoom")
"""Together one affine map, so that the picture is sampled once."""

OPERATIONS: tuple[str, ...] = (
    "contrast",
    "channel-shift",
    "channel-inversion",
    "blur",
    "sharpen",
    "noise",
    *AFFINE,
    FLIP,
    "cutout",
)
"""In the order in which they are applied: what comes from beyond the border stays plain grey."""

# A picture with an inverted channel looks like nothing that a camera gives.
ON_REQUEST = frozenset({"channel-inversion"})

COUNTS = (2, 3)
"""Operations of one copy: with more of them little of the picture may be left, and two copies that
are only mirrored would be equal."""

# How far they go: turn and shear in degrees, shift as a share of each side, the others as factors;
# channels and noise (its deviation) in steps of 255; deviation of the blur and sides of what is cut
# out as shares of the picture's.
DEGREES = 25.0
SHIFT = 0.1
SHEAR = 12.0
ZOOM = (0.8, 1.3)
CONTRAST = (0.5, 1.5)
CHANNEL_SHIFT = 30.0
NOISE = (4.0, 16.0)
BLUR = (0.001, 0.004)
SHARPNESS = (2.0, 6.0)
AREAS = 3
AREA = (0.08, 0.2)


def parse_operations(text: str | Sequence[str] | None) -> tuple[str, ...]:
    """The operations that were asked for, in the order in which they are applied.

    Args:
        text: names, or names separated by commas; None takes all but those ``ON_REQUEST``.

    Raises:
        ConfigError: a name is unknown, or there is none.
    """
    if text is None:
        return tuple(name for name in OPERATIONS if name not in ON_REQUEST)
    parts = text.split(",") if isinstance(text, str) else text
    names = [part.strip().lower().replace("_", "-") for part in parts if part.strip()]
    problems = [_unknown(name) for name in names if name not in OPERATIONS]
    if not names:
        problems = [f"--operations must name some of {', '.join(OPERATIONS)}"]
    if problems:
        raise ConfigError(problems)
    return tuple(name for name in OPERATIONS if name in names)


def choose(operations: Sequence[str], seed: int) -> tuple[str, ...]:
    """Two or three of the operations for one copy, in the order of the operations.

    Args:
        operations: from ``parse_operations``.
        seed: decides.
    """
    random = np.random.default_rng(seed)
    count = min(int(random.choice(COUNTS)), len(operations))
    picked = random.choice(len(operations), count, replace=False)
    return tuple(operations[at] for at in sorted(picked))


def transform_of(chosen: Sequence[str]) -> v2.Compose:
    """The transform of a picture (3, h, w), uint8, and its target to the same size.

    What comes into the picture from beyond its border is grey, and ignored in masks.
    """
    steps = [_PIXELS[name]() for name in OPERATIONS if name in chosen and name in _PIXELS]
    if set(AFFINE) & set(chosen):
        steps.append(_affine(chosen))
    # Behind the turn: mirrored points are put right by ``augmented_view`` for unturned axes.
    if FLIP in chosen:
        steps.append(v2.RandomHorizontalFlip(1.0))
    if "cutout" in chosen:
        steps.append(_OnPixels(_cut_out))
    return v2.Compose(steps)


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, OPERATIONS, n=2, cutoff=0.4)
    hint = f"did you mean {' or '.join(close)}? " if close else ""
    return f"--operations: {name!r} is no operation; {hint}known are {', '.join(OPERATIONS)}"


def _affine(chosen: Sequence[str]) -> nn.Module:
    affine: nn.Module = v2.RandomAffine(
        DEGREES if "rotate" in chosen else 0.0,
        translate=(SHIFT, SHIFT) if "shift" in chosen else None,
        scale=ZOOM if "zoom" in chosen else None,
        shear=(-SHEAR, SHEAR, -SHEAR, SHEAR) if "shear" in chosen else None,
        interpolation=v2.InterpolationMode.BILINEAR,
        fill={tv_tensors.Mask: IGNORED, "others": PAD_VALUE},
    )
    return affine


class _OnPixels(v2.Transform):  # type: ignore[misc]
    """Changes the picture alone.

    Args:
        change: of values (3, h, w), uint8; what it gives is rounded and clipped to 0 to 255.
    """

    _transformed_types = (tv_tensors.Image,)

    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self._change = change

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Changes one picture."""
        changed = self._change(inpt.as_subclass(torch.Tensor)).float()
        return tv_tensors.wrap(changed.round().clamp(0, 255).to(torch.uint8), like=inpt)


def _uniform(low: float, high: float) -> float:
    return float(torch.empty(()).uniform_(low, high))


def _shift_channels(pixels: torch.Tensor) -> torch.Tensor:
    return pixels + torch.empty(3, 1, 1).uniform_(-CHANNEL_SHIFT, CHANNEL_SHIFT)


def _invert_channel(pixels: torch.Tensor) -> torch.Tensor:
    at = int(torch.randint(3, ()))
    inverted = pixels.clone()
    inverted[at] = 255 - pixels[at]
    return inverted


def _add_noise(pixels: torch.Tensor) -> torch.Tensor:
    return pixels + torch.randn(pixels.shape) * _uniform(*NOISE)


def _blur(pixels: torch.Tensor) -> torch.Tensor:
    height, width = pixels.shape[-2:]
    sigma = max(0.6, _uniform(*BLUR) * max(height, width))
    # The kernel reaches two deviations to each side, and never beyond the picture.
    reach = max(0, min(round(2.0 * sigma), min(height, width) - 1))
    blurred: torch.Tensor = functional.gaussian_blur(pixels, [2 * reach + 1] * 2, [sigma, sigma])
    return blurred


def _sharpen(pixels: torch.Tensor) -> torch.Tensor:
    sharp: torch.Tensor = functional.adjust_sharpness(pixels, _uniform(*SHARPNESS))
    return sharp


def _cut_out(pixels: torch.Tensor) -> torch.Tensor:
    """Grey rectangles; after T. DeVries and G. W. Taylor, arXiv:1708.04552."""
    height, width = pixels.shape[-2:]
    pixels = pixels.clone()
    for _ in range(int(torch.randint(1, AREAS + 1, ()))):
        high, wide = (max(1, round(_uniform(*AREA) * side)) for side in (height, width))
        top, left = int(torch.randint(height, ())), int(torch.randint(width, ()))
        pixels[:, top : top + high, left : left + wide] = PAD_VALUE
    return pixels


_PIXELS: dict[str, Callable[[], nn.Module]] = {
    "contrast": lambda: v2.ColorJitter(contrast=CONTRAST),
    "channel-shift": lambda: _OnPixels(_shift_channels),
    "channel-inversion": lambda: _OnPixels(_invert_channel),
    "blur": lambda: _OnPixels(_blur),
    "sharpen": lambda: _OnPixels(_sharpen),
    "noise": lambda: _OnPixels(_add_noise),
}
