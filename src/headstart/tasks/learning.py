"""What a task says about its training, and what it is told."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

from headstart.types import Size

if TYPE_CHECKING:
    import torch

HeadKind = Literal["linear", "stats", "mlp", "lse"]


@dataclasses.dataclass(frozen=True)
class TaskDefaults:
    """Settings that fit a task, for what the person leaves open.

    Attributes:
        image_size: (height, width) in pixels; None takes the median size of the pictures.
        max_pixels: of an input whose size follows the pictures; what a CPU trains on in minutes.
        enlarge: factor by which such an input may be larger than the pictures: what is small fills
            more positions of the last map.
        resize: the rule that brings pictures to it.
        trained_share: of the multiply-adds of a forward pass, those of the stages that train. The
            stage that comes closest is taken: of EfficientNet-Lite0 stage 6 for 0.15 (0.13 from
            there on), 4 for 0.55 (0.57) and 3 for 0.68 (0.69).
        bfloat16_share: training is faster in bfloat16 where no larger share trains.
        max_views: augmented views of each picture.
        view_budget: views of all training pictures together.
        epochs: of the second phase.
        freeze_epochs: of the first phase, in which the head trains alone.
        lr: peak learning rate of the head in the second phase.
        batch_size: pictures in a step.
        label_smoothing: share of the target that is spread over all classes.
        dropout: probability that the head does not see a feature in a training step.
        augment: how far views are from the picture; ``standard`` may cut away most of it.
        may_mirror: whether a mirrored picture means the same, or what changes in it is known.
        pooled: whether the head takes features that are pooled over the picture.
        heads: kinds that the person can choose from; the first is the default.
    """

    image_size: Size | None = (224, 224)
    max_pixels: int = 416 * 416
    enlarge: float = 1.0
    resize: Literal["letterbox", "crop", "squash"] = "crop"
    trained_share: float = 0.15
    bfloat16_share: float = 0.2
    max_views: int = 7
    view_budget: int = 16_000
    epochs: int = 20
    freeze_epochs: int = 5
    lr: float = 1e-3
    batch_size: int = 32
    label_smoothing: float = 0.1
    dropout: float = 0.0
    augment: Literal["light", "standard"] = "standard"
    may_mirror: bool = True
    pooled: bool = True
    heads: tuple[HeadKind, ...] = ("linear", "stats", "mlp")


@dataclasses.dataclass(frozen=True)
class Objective:
    """What training minimises.

    Attributes:
        loss: one of the task's ``losses``.
        label_smoothing: share of the target that is spread over all classes.
    """

    loss: str
    label_smoothing: float = 0.0


@dataclasses.dataclass(frozen=True)
class Placed:
    """A target in a view.

    Attributes:
        tensor: a ``torchvision.tv_tensors`` tensor.
        mirrored: whether left and right have changed places.
        growth: factor by which the transform changed areas.
    """

    tensor: torch.Tensor
    mirrored: bool = False
    growth: float = 1.0


@dataclasses.dataclass(frozen=True)
class HeadOptions:
    """What the person chose about the head.

    Attributes:
        kind: one of the task's ``heads``: ``linear``, ``stats`` on standard deviations, too,
            ``mlp`` with one hidden layer, or ``lse``, which pools what every position says instead
            of what it is.
        dropout: probability of dropping a feature.
    """

    kind: HeadKind = "linear"
    dropout: float = 0.0
