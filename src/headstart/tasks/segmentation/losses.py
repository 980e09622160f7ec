"""Losses of segmentation, from segmentation-models-pytorch and torch.

Each takes logits (n, classes, h, w), float32; indices (n, h, w), int64, with ``IGNORED`` where a
pixel counts for nothing; and the label smoothing. At least one pixel counts.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from segmentation_models_pytorch.losses import DiceLoss, FocalLoss, JaccardLoss
from torch.nn import functional

from headstart.types import IGNORED

Loss = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]

_DICE = DiceLoss("multiclass", ignore_index=IGNORED, smooth=1.0)
_FOCAL = FocalLoss("multiclass", ignore_index=IGNORED)


def cross_entropy(
    logits: torch.Tensor, indices: torch.Tensor, label_smoothing: float
) -> torch.Tensor:
    """Mean cross-entropy of the pixels that count."""
    return functional.cross_entropy(
        logits, indices, ignore_index=IGNORED, label_smoothing=label_smoothing
    )


def cross_entropy_and_dice(
    logits: torch.Tensor, indices: torch.Tensor, label_smoothing: float
) -> torch.Tensor:
    """Cross-entropy, which is smooth, plus Dice, which gives rare classes their weight."""
    dice: torch.Tensor = _DICE(logits, indices)
    return cross_entropy(logits, indices, label_smoothing) + dice


def focal(logits: torch.Tensor, indices: torch.Tensor, _: float) -> torch.Tensor:
    """Cross-entropy with less weight on pixels that are right (T.-Y. Lin et al., ICCV 2017).

    It is not smoothed: that would put the weight back on what is right.
    """
    value: torch.Tensor = _FOCAL(logits, indices)
    return value


def cross_entropy_and_iou(
    logits: torch.Tensor, indices: torch.Tensor, label_smoothing: float
) -> torch.Tensor:
    """Cross-entropy plus the soft Jaccard loss, 1 - IoU."""
    counts = indices != IGNORED
    # The library's Jaccard loss knows no ignored pixels: they are left out here.
    chosen = logits.permute(0, 2, 3, 1)[counts].T[None, :, None]
    jaccard: torch.Tensor = JaccardLoss("multiclass", smooth=1.0)(
        chosen, indices[counts][None, None]
    )
    return cross_entropy(logits, indices, label_smoothing) + jaccard


LOSSES: dict[str, Loss] = {
    "ce+dice": cross_entropy_and_dice,
    "ce": cross_entropy,
    "focal": focal,
    "ce+iou": cross_entropy_and_iou,
}
