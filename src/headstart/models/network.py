"""A backbone with a head, which can be split between any two stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from headstart.models.backbones import Backbone
from headstart.models.folding import joined
from headstart.models.heads import Head, Maps


class Prefix(nn.Module):
    """The frozen part: from uint8 RGB pictures (n, h, w, 3) to feature maps.

    Gives the maps of the head's taps that it passes, and last the map with which the rest goes on
    where that is none of them.

    Args:
        backbone: whose first stages it runs.
        count: how many.
        taps: of the head.
        reduce: run after the last stage when the whole backbone is frozen.
    """

    def __init__(
        self, backbone: Backbone, count: int, taps: Sequence[int], reduce: nn.Module | None
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.count = count
        self.taps = tuple(taps)
        self.reduce = reduce

    def forward(self, images: torch.Tensor) -> Maps:
        """A tuple: one map for each tap, and perhaps one more."""
        features = self.backbone.normalise(images)
        maps = []
        for number, stage in enumerate(self.backbone.stages[: self.count]):
            features = stage(features)
            if number in self.taps:
                maps.append(features)
        if self.count - 1 not in self.taps:
            maps.append(features)
        return tuple(maps) if self.reduce is None else (self.reduce(tuple(maps)),)


class Rest(nn.Module):
    """The part that trains: from the prefix's maps to the head's raw outputs.

    Normalisation layers of the backbone stay in evaluation mode: their statistics come from a
    million pictures and those of a small batch would be worse. ``train_norms`` lets them learn.

    Args:
        stages: of the backbone, after the prefix.
        start: number of the first of them.
        head: the task's head.
        reduced: whether the prefix has run ``head.reduce`` already.
        frozen: whether only the head trains.
    """

    def __init__(
        self,
        stages: Sequence[nn.Module],
        start: int,
        head: Head,
        *,
        reduced: bool = False,
        frozen: bool = False,
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        # The same modules: not registered, or state dicts would hold all weights twice.
        self._joined = tuple(joined(stage) for stage in stages)
        self.start = start
        self.head = head
        self.reduced = reduced
        self.frozen = frozen
        self.train_norms = False

    def forward(self, maps: Maps) -> torch.Tensor:
        """Raw outputs of the head."""
        raw: torch.Tensor
        if self.reduced:
            raw = self.head.predict(maps[-1].float())
        else:
            with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
                tapped = self._tapped(maps)
            raw = self.head(tapped)
        return raw

    def with_frozen_stages(self) -> Rest:
        """The same parts, of which only the head trains."""
        return Rest(list(self.stages), self.start, self.head, reduced=self.reduced, frozen=True)

    def reduced_features(self, maps: Maps) -> torch.Tensor:
        """The head's summary of the maps, which its learning part takes where it reduces them."""
        if self.reduced:
            return maps[-1].float()
        summary = self.head.summary
        if summary is None:
            raise TypeError(f"{type(self.head).__name__} does not reduce its maps")
        reduced: torch.Tensor = summary(self._tapped(maps))
        return reduced

    def _tapped(self, maps: Maps) -> Maps:
        """The maps of all taps of the head; stored ones are float16."""
        # The layout in which processors convolve fastest.
        found = [m.to(torch.float32, memory_format=torch.channels_last) for m in maps]
        features = found[-1]
        if self.start - 1 not in self.head.taps:
            found.pop()
        for number, stage in enumerate(self._joined, self.start):
            features = stage(features)
            if number in self.head.taps:
                found.append(features)
        return tuple(found)

    def train(self, mode: bool = True) -> Rest:
        """Sets the mode of the head, and of the stages only where ``train_norms`` is set."""
        super().train(mode)
        self.stages.train(mode and self.train_norms and not self.frozen)
        return self


class Network(nn.Module):
    """Backbone and head.

    Args:
        backbone: the stages.
        head: takes the maps of its taps.
    """

    def __init__(self, backbone: Backbone, head: Head) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Raw outputs of uint8 RGB pictures (n, h, w, 3)."""
        features = self.backbone.normalise(images)
        maps = []
        for number, stage in enumerate(self.backbone.stages[: self.n_stages]):
            features = stage(features)
            if number in self.head.taps:
                maps.append(features)
        raw: torch.Tensor = self.head(tuple(maps))
        return raw

    @property
    def n_stages(self) -> int:
        """Number of stages that are run; splitting there freezes the whole backbone."""
        return self.head.taps[-1] + 1

    def trained_share(self, stage: int) -> float:
        """Share of the multiply-adds that is in the stages from the given one on."""
        work = [found.multiply_adds for found in self.backbone.outputs[: self.n_stages]]
        return sum(work[stage:]) / sum(work)

    def stage_training(self, share: float) -> int:
        """The first stage that trains so that about the given share of the multiply-adds does."""
        stages = range(1, max(2, self.n_stages))
        return min(stages, key=lambda stage: abs(self.trained_share(stage) - share))

    def split(self, stage: int) -> tuple[Prefix, Rest]:
        """Cuts before a stage: ``rest(prefix(images))`` equals ``self(images)``.

        Both parts share their parameters with this network.

        Args:
            stage: first stage of the rest, 0 to ``n_stages``.
        """
        whole = stage == self.n_stages
        reduce = self.head.reduce if whole else None
        prefix = Prefix(self.backbone, stage, self.head.taps, reduce)
        stages = list(self.backbone.stages[stage : self.n_stages])
        return prefix.eval(), Rest(stages, stage, self.head, reduced=reduce is not None)


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
    parts: list[tuple[nn.Module, float]] = [(rest.head, lr)]
    if not rest.frozen:
        parts.append((rest.stages, lr * stage_lr_factor))
    for module, rate in parts:
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
