"""Views of a picture with its target: made from the decoded picture, as a function of the seed."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import torch

from headstart.data import augment
from headstart.data.image_cache import ImageCache
from headstart.models.network import Prefix
from headstart.runtime.preprocess import Preprocess
from headstart.storage import content_key, seed_from
from headstart.tasks.protocol import TaskLearner, TaskSpec
from headstart.types import ImageArray, Record

PLAIN = 0
"""Number of the plain view; augmented views are 1, 2, ..."""

View = tuple[Record, int]


class Views(Protocol):
    """Where training takes its views from."""

    def get(self, view: View) -> tuple[torch.Tensor, ...]:
        """The maps of one view, each (c, h, w) or (c,)."""

    def target(self, view: View) -> torch.Tensor:
        """The moved and encoded target of one view."""


@dataclasses.dataclass(frozen=True)
class MovingTargets:
    """Targets that lie in their pictures, and are moved with them from view to view.

    Attributes:
        spec: of the task.
        learner: of the task.
        schema: of the training data.
    """

    spec: TaskSpec
    learner: TaskLearner
    schema: Any

    def key(self, record: Record) -> str:
        """Differs when the target or its meaning differs: a relabelled picture is seen anew."""
        schema = self.spec.schema_to_json(self.schema)
        return content_key(schema, self.spec.target_to_json(self.schema, record.target))

    def place(self, record: Record, pixels: ImageArray) -> torch.Tensor:
        """The target of a record in its decoded picture."""
        size = (pixels.shape[0], pixels.shape[1])
        return self.learner.place(record.target, self.schema, size)

    def encode(self, record: Record, placed: torch.Tensor | None) -> torch.Tensor:
        """The target of a view as the loss takes it."""
        return self.learner.encode(record.target, placed, self.schema)


class ViewMaker:
    """Makes views.

    Args:
        preprocess: the resize rule of plain views.
        seed: decides the augmented views.
        augmentation: what they look like.
        targets: that are moved with the pictures; None where they have no place.
    """

    def __init__(
        self,
        preprocess: Preprocess,
        seed: int,
        augmentation: augment.Augmentation,
        targets: MovingTargets | None = None,
    ) -> None:
        self.preprocess = preprocess
        self.targets = targets
        self.description = (
            preprocess.to_json(),
            augment.VERSION,
            dataclasses.asdict(augmentation),
        )
        self._seed = seed
        self._transform = augmentation.transform(preprocess)

    def key(self, view: View) -> str:
        """Names a view's picture among those of the same description."""
        record, number = view
        return record.pixels if number == PLAIN else f"{record.pixels}/{self._seed}-{number}"

    def target_key(self, view: View) -> str:
        """Names a view's moved target."""
        return f"{self.key(view)}#target-{self.targets.key(view[0]) if self.targets else None}"

    def make(self, view: View, images: ImageCache) -> tuple[ImageArray, torch.Tensor | None]:
        """The picture of a view (*size, 3), uint8, RGB, and its encoded target if that moves."""
        record, number = view
        pixels = images.get(record.pixels)
        placed = self.targets.place(record, pixels) if self.targets else None
        if number == PLAIN:
            seen, placed = augment.plain_view(pixels, placed, self.preprocess)
        else:
            seed = seed_from("view", self._seed, record.fingerprint, number)
            seen, placed = augment.augmented_view(pixels, placed, self._transform, seed)
        return seen, self.targets.encode(record, placed) if self.targets else None


class LiveViews:
    """Views that are made whenever they are needed: for training end to end.

    Args:
        prefix: what runs before the part that trains, usually only the normalisation.
        maker: makes the views.
        images: the decoded pictures.
    """

    def __init__(self, prefix: Prefix, maker: ViewMaker, images: ImageCache) -> None:
        self._prefix, self._maker, self._images = prefix, maker, images
        # Maps and target are asked for one after the other.
        self._last: tuple[View, ImageArray, torch.Tensor | None] | None = None

    def get(self, view: View) -> tuple[torch.Tensor, ...]:
        """The maps of one view, each (c, h, w)."""
        pixels, _ = self._made(view)
        with torch.inference_mode():
            maps = self._prefix(torch.from_numpy(pixels.copy())[None])
        # Cloned outside inference mode, because these tensors take part in autograd.
        return tuple(m[0].clone() for m in maps)

    def target(self, view: View) -> torch.Tensor:
        """The moved and encoded target of one view."""
        _, target = self._made(view)
        if target is None:
            raise TypeError("the targets of this task do not move with the view")
        return target

    def _made(self, view: View) -> tuple[ImageArray, torch.Tensor | None]:
        if self._last is None or self._last[0] != view:
            self._last = (view, *self._maker.make(view, self._images))
        return self._last[1], self._last[2]
