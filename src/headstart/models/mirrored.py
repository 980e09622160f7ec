"""Answers as the mean over a picture and its mirror images ("test-time augmentation")."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

MIRRORED: Mapping[str, tuple[tuple[int, ...], ...]] = {
    "none": (),
    "horizontal": ((2,),),
    "both": ((2,), (1,), (1, 2)),
}
"""By the words of ``--tta``: axes of (n, h, w, 3) that are turned around in each further view."""


def mean_over_mirrored(network: nn.Module, images: torch.Tensor, tta: str) -> torch.Tensor:
    """The mean of a network's raw outputs (n, ...) for pictures and their mirror images.

    Args:
        network: takes pictures.
        images: (n, h, w, 3), uint8, RGB.
        tta: which mirror images, see ``MIRRORED``.
    """
    raw: torch.Tensor
    turned = MIRRORED[tta]
    if not turned:
        raw = network(images)
    else:
        views = torch.cat([images, *(images.flip(axes) for axes in turned)])
        raw = network(views).unflatten(0, (1 + len(turned), -1)).mean(0)
    return raw
