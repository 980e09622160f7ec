"""A backbone with a head, which can be split between any two stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from headstart.models.backbones import Backbone
from headstart.models.heads import Head

Maps = tuple[torch.Tensor, ...]
"""Feature maps (n, c, h, w); the last stage's map is the last."""


class Prefix(nn.Module):
    """The frozen part: from uint8 RGB pictures (n, h, w, 3) to feature maps.

    Args:
        backbone: whose first stages it runs.
        stages: how many.
        reduce: run after the last stage when the whole backbone is frozen.
    """

    def __init__(self, backbone: Backbone, stages: int, reduce: nn.Module | None) -> None:
        super().__init__()
        self.backbone = backbone
        self.count = stages
        self.reduce = reduce

    def forward(self, images: torch.Tensor) -> Maps:
        """A tuple, because tasks may need several maps."""
        features = self.backbone.normalise(images)
        for stage in self.backbone.stages[: self.count]:
            features = stage(features)
        return (features,) if self.reduce is None else (self.reduce((features,)),)


class Rest(nn.Module):
    """The part that trains: from the prefix's maps to the head's raw outputs.

    Normalisation layers of the backbone stay in evaluation mode: their statistics come from a
    million pictures and those of a small batch would be worse.

    Args:
        stages: of the backbone, after the prefix.
        head: the task's head.
        reduced: whether the prefix has run ``head.reduce`` already.
    """

    def __init__(self, stages: Sequence[nn.Module], head: Head, reduced: bool) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.head = head
        self.reduced = reduced

    def forward(self, maps: Maps) -> torch.Tensor:
        """Raw outputs of the head."""
        raw: torch.Tensor = self.head.predict(self.reduced_features(maps))
        return raw

    def reduced_features(self, maps: Maps) -> torch.Tensor:
        """What the learning part of the head takes."""
        features = maps[-1].float()
        if self.reduced:
            return features
        for stage in self.stages:
            features = stage(features)
        reduced: torch.Tensor = self.head.reduce((*maps[:-1], features))
        return reduced

    def train(self, mode: bool = True) -> Rest:
        """Sets the mode of the head only."""
        super().train(mode)
        self.stages.eval()
        return self


class Network(nn.Module):
    """Backbone and head.

    Args:
        backbone: the stages.
        head: takes the map of the last stage.
    """

    def __init__(self, backbone: Backbone, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Raw outputs of uint8 RGB pictures (n, h, w, 3)."""
        raw: torch.Tensor = self.head((self.backbone(images),))
        return raw

    @property
    def n_stages(self) -> int:
        """Number of stages; splitting there freezes the whole backbone."""
        return len(self.backbone.stages)

    def split(self, stage: int) -> tuple[Prefix, Rest]:
        """Cuts before a stage: ``rest(prefix(images))`` equals ``self(images)``.

        Both parts share their parameters with this network.

        Args:
            stage: first stage of the rest, 0 to ``n_stages``.
        """
        whole = stage == self.n_stages
        prefix = Prefix(self.backbone, stage, self.head.reduce if whole else None)
        return prefix.eval(), Rest(list(self.backbone.stages[stage:]), self.head, whole)


def parameter_groups(
    rest: Rest, lr: float, stage_lr_factor: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Groups for an optimizer: the head at ``lr``, the stages at a fraction of it.

    Biases and normalisation layers have no weight decay.

    Args:
        rest: the part that trains.
        lr: learning rate of the head.
        stage_lr_factor: learning rate of the stages, as a share of ``lr``.
        weight_decay: of weights with more than one dimension.
    """
    groups = []
    for module, rate in ((rest.head, lr), (rest.stages, lr * stage_lr_factor)):
        parameters = list(module.parameters())
        for decays in (True, False):
            chosen = [p for p in parameters if (p.ndim > 1) == decays]
            if chosen:
                groups.append(
                    {
                        "params": chosen,
                        "lr": rate,
                        "weight_decay": weight_decay if decays else 0.0,
                    }
                )
    return groups
