"""The torch half of segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from torchvision import tv_tensors

from headstart.models.decoders import UnetHead
from headstart.models.heads import Head
from headstart.tasks.learning import HeadOptions, Objective, Placed, TaskDefaults
from headstart.tasks.protocol import TaskLearner
from headstart.tasks.segmentation.losses import LOSSES
from headstart.tasks.segmentation.spec import MaskPrediction, MaskSchema, MaskTarget, MovedMask
from headstart.types import IGNORED, Geometry, Size, Stage

LOSS_STRIDE = 2
"""The loss compares every second pixel: masks at full size cost twice the time of a step."""

ERROR_DRAWS = 100


class Finish(nn.Module):
    """Softmax over the classes."""

    def forward(self, raw: torch.Tensor) -> tuple[torch.Tensor]:
        """Takes logits (n, classes, h, w); gives probabilities of the same shape."""
        return (torch.softmax(raw, dim=1),)


class SegmentationLearner(TaskLearner):
    """See ``TaskLearner``."""

    losses: tuple[str, ...] = tuple(LOSSES)
    higher_is_better = True

    def defaults(self, schema: MaskSchema) -> TaskDefaults:
        """See ``TaskDefaults``."""
        return TaskDefaults(
            image_size=None,
            resize="letterbox",
            trained_share=0.68,
            bfloat16_share=1.0,
            max_views=6,
            view_budget=3_000,
            epochs=20,
            freeze_epochs=0,
            batch_size=8,
            label_smoothing=0.0,
            pooled=False,
            heads=("linear",),
        )

    def moves(self, schema: MaskSchema) -> bool:
        """A mask moves with its picture."""
        return True

    def head(
        self,
        stages: Sequence[Stage],
        schema: MaskSchema,
        targets: Sequence[MaskTarget],
        options: HeadOptions,
    ) -> Head:
        """A U-Net decoder."""
        return UnetHead(stages, len(schema.classes), options.dropout)

    def place(self, target: MaskTarget, schema: MaskSchema, geometry: Geometry) -> torch.Tensor:
        """The upright mask (1, height, width), uint8."""
        indices = target.read(schema)
        size = geometry.size
        if indices.shape != size:
            image = Image.fromarray(indices).resize(size[::-1], Image.Resampling.NEAREST)
            indices = np.asarray(image)
        mask: torch.Tensor = tv_tensors.Mask(torch.from_numpy(indices.copy())[None])
        return mask

    def identity(self, target: MaskTarget, schema: MaskSchema) -> Any:
        """The mask's content, how it is turned, and which of its values are which class."""
        return (target.fingerprint, target.orientation, schema.coding.to_json())

    def encode(self, target: MaskTarget, placed: Placed | None, schema: MaskSchema) -> torch.Tensor:
        """Indices of every second pixel (height / 2, width / 2), uint8."""
        if placed is None:
            raise TypeError("a mask is encoded in a view")
        plain = placed.tensor.as_subclass(torch.Tensor)
        return plain[0, 1::LOSS_STRIDE, 1::LOSS_STRIDE].contiguous()

    def moved(self, target: MaskTarget, placed: Placed, schema: MaskSchema) -> MovedMask:
        """The mask, at the size of the picture."""
        return MovedMask(placed.tensor.as_subclass(torch.Tensor)[0].contiguous().numpy())

    def in_view(self, encoded: torch.Tensor, schema: MaskSchema, size: Size) -> MaskPrediction:
        """The mask at the size of the view: each index stands for the pixels around it."""
        indices = Image.fromarray(encoded.numpy()).resize(size[::-1], Image.Resampling.NEAREST)
        return MaskPrediction.of(np.asarray(indices), schema.classes)

    def loss(
        self, head: nn.Module, raw: torch.Tensor, encoded: torch.Tensor, objective: Objective
    ) -> torch.Tensor:
        """See ``losses``; zero where every pixel of the batch is ignored."""
        if bool((encoded == IGNORED).all()):
            return raw.sum() * 0.0
        logits = _resized(raw, encoded)
        loss = LOSSES[objective.loss]
        return loss(logits, encoded.long(), objective.label_smoothing)

    def comparable(
        self, head: nn.Module, raw: torch.Tensor, encoded: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (n, classes, h, w) and indices (n, h, w), int64, at half the input's size."""
        return _resized(raw, encoded), encoded.long()

    def statistics(self, head: nn.Module, raw: torch.Tensor, encoded: torch.Tensor) -> torch.Tensor:
        """Pixels of each picture by true and predicted class (n, classes, classes)."""
        classes = raw.shape[1]
        guess = _resized(raw, encoded).argmax(dim=1)
        cells = torch.where(encoded == IGNORED, classes**2, encoded.long() * classes + guess)
        counts = [torch.bincount(c.flatten(), minlength=classes**2 + 1)[:-1] for c in cells]
        return torch.stack(counts).view(len(counts), classes, classes)

    def epoch_metric(self, statistics: torch.Tensor) -> tuple[float, float]:
        """Mean IoU; its standard error is that of a bootstrap over pictures."""
        random = torch.Generator().manual_seed(0)
        count = len(statistics)
        draws = torch.randint(0, count, (ERROR_DRAWS, count), generator=random)
        values = torch.stack([_mean_iou(statistics[draw].sum(dim=0)) for draw in draws])
        return float(_mean_iou(statistics.sum(dim=0))), float(values.std())

    def finish(self, head: nn.Module) -> nn.Module:
        """Probabilities."""
        return Finish()


def _resized(raw: torch.Tensor, encoded: torch.Tensor) -> torch.Tensor:
    size = encoded.shape[1:]
    resized: torch.Tensor = functional.interpolate(
        raw.float(), size=size, mode="bilinear", align_corners=False
    )
    return resized


def _mean_iou(counts: torch.Tensor) -> torch.Tensor:
    """Of pixels (classes, classes), over the classes that occur; 0 where none does."""
    hits = counts.diagonal().double()
    union = counts.sum(dim=0) + counts.sum(dim=1) - hits
    present = union > 0
    return (hits[present] / union[present]).mean() if present.any() else hits.sum()


LEARNER = SegmentationLearner()
