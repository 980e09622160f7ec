"""Mixing pairs of pictures and their targets within a batch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch

from headstart.data.loader import Maps


@dataclasses.dataclass(frozen=True)
class Mixing:
    """How strongly pictures are mixed.

    Attributes:
        mixup: x of the Beta(x, x) that the share of the other picture is drawn from; 0 for never
            (H. Zhang et al., mixup, ICLR 2018; on the maps of a middle stage it is manifold mixup,
            V. Verma et al., ICML 2019).
        cutmix: the same for a rectangle of the other picture (S. Yun et al., CutMix, ICCV 2019).
    """

    mixup: float = 0.0
    cutmix: float = 0.0

    def draw(self, maps: Maps) -> Mixed:
        """The batch as it is, or mixed with itself in another order.

        Where both kinds are wanted, each has every second batch. Draws from torch's generator.

        Args:
            maps: each (n, ...); for cutmix there is one, (n, c, h, w).
        """
        paste = self.cutmix > 0 and (self.mixup == 0 or bool(torch.rand(()) < 0.5))
        strength = self.cutmix if paste else self.mixup
        if strength == 0:
            return Mixed(maps)
        share = float(torch.distributions.Beta(strength, strength).sample())
        partner = torch.randperm(len(maps[0]))
        if paste:
            return _pasted(maps[0], partner, share)
        blended = tuple((1.0 - share) * m.float() + share * m[partner].float() for m in maps)
        return Mixed(blended, partner, share)


NO_MIXING = Mixing()


@dataclasses.dataclass(frozen=True)
class Mixed:
    """A batch in which every picture holds a share of its partner.

    Attributes:
        maps: each (n, ...).
        partner: position of the other picture (n,); None where nothing is mixed.
        share: of the other picture, 0 to 1.
    """

    maps: Maps
    partner: torch.Tensor | None = None
    share: float = 0.0

    def loss(
        self, loss: Callable[[torch.Tensor], torch.Tensor], targets: torch.Tensor
    ) -> torch.Tensor:
        """The losses for both pictures' targets, weighted by their shares.

        Args:
            loss: of the batch's outputs, given targets.
            targets: (n, ...), of the pictures before they were mixed.
        """
        own = loss(targets)
        if self.partner is None:
            return own
        return (1.0 - self.share) * own + self.share * loss(targets[self.partner])


def _pasted(images: torch.Tensor, partner: torch.Tensor, share: float) -> Mixed:
    """A rectangle of the partner in the same place; the share is what it really covers."""
    height, width = images.shape[2:]
    sides = [round(side * share**0.5) for side in (height, width)]
    top, left = (
        int(torch.randint(0, whole - part + 1, ()))
        for whole, part in zip((height, width), sides, strict=True)
    )
    rows, columns = slice(top, top + sides[0]), slice(left, left + sides[1])
    mixed = images.clone()
    mixed[:, :, rows, columns] = images[partner][:, :, rows, columns]
    return Mixed((mixed,), partner, sides[0] * sides[1] / (height * width))
