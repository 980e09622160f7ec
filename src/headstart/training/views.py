"""Views of a picture with its target: made from the decoded picture, as a function of the seed."""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import torch

from headstart.data import augment
from headstart.data.image_cache import ImageCache
from headstart.data.own_view import own_view
from headstart.data.regions import SLACK, region_geometry
from headstart.data.store import ArrayStore
from headstart.models.network import Prefix, Rest
from headstart.runtime.preprocess import Preprocess, sample
from headstart.storage import content_key, seed_from
from headstart.tasks.learning import Placed
from headstart.tasks.protocol import TaskLearner
from headstart.training.custom import Transform, key_of
from headstart.types import Geometry, ImageArray, Record, Size

PLAIN = 0
"""Number of the plain view; augmented views are 1, 2, ..."""

View = tuple[Record, int]


FULL_FRAME_EVERY = 3
"""Of the augmented views of a box every third one shows the whole picture."""


class Views(Protocol):
    """Where training takes its views from."""

    def get(self, view: View) -> tuple[torch.Tensor, ...]:
        """The maps of one view, each (c, h, w) or (c,)."""

    def target(self, view: View) -> torch.Tensor:
        """The moved and encoded target of one view."""

    def key(self, view: View) -> str:
        """Names the maps of a view."""

    def vectors(self, rest: Rest) -> ArrayStore | None:
        """Where ``rest.reduced_features`` of the views is kept; None where it is not."""

    def close(self) -> None:
        """Training needs them no more."""


@dataclasses.dataclass(frozen=True)
class SideViews:
    """The views of both sides; the same where these do not differ in size.

    Attributes:
        train: of the training pictures.
        val: of the validation pictures.
    """

    train: Views
    val: Views

    def close(self) -> None:
        """Training needs them no more."""
        self.train.close()
        self.val.close()


@dataclasses.dataclass(frozen=True)
class MovingTargets:
    """Targets that lie in their pictures, and are moved with them from view to view.

    Attributes:
        learner: of the task.
        schema: of the training data.
    """

    learner: TaskLearner
    schema: Any

    def key(self, record: Record) -> str:
        """Differs when the encoded target differs: a relabelled picture is seen anew."""
        return content_key(self.learner.identity(record.target, self.schema))

    def place(self, record: Record, geometry: Geometry) -> torch.Tensor:
        """The target of a record in the array that its views are made of."""
        return self.learner.place(record.target, self.schema, geometry)

    def encode(self, record: Record, placed: Placed | None) -> torch.Tensor:
        """The target of a view as the loss takes it."""
        return self.learner.encode(record.target, placed, self.schema)


class ViewMaker:
    """Makes views.

    Args:
        preprocess: the resize rule of the model, for which pictures are decoded and cut.
        seed: decides the augmented views.
        augmentation: what they look like.
        targets: that are moved with the pictures; None where they have no place.
        transform: of the person's own, which makes the augmented views instead.
        size: (height, width) of the views in pixels; None for that of the model's input.

    Attributes:
        preprocess: the resize rule of plain views.
        targets: as given.
        description: tells views of the same key apart.
    """

    def __init__(
        self,
        preprocess: Preprocess,
        seed: int,
        augmentation: augment.Augmentation,
        targets: MovingTargets | None = None,
        transform: Transform | None = None,
        size: Size | None = None,
    ) -> None:
        self._decoded = preprocess
        self.preprocess = dataclasses.replace(preprocess, size=size or preprocess.size)
        self.targets = targets
        self.description = (
            preprocess.to_json(),
            self.preprocess.size,
            augment.VERSION,
            dataclasses.asdict(augmentation)
            if transform is None
            else key_of(transform, "transform"),
            # Whole pictures are cut for some kinds of targets and turned for others.
            type(targets.learner).__name__ if targets else None,
        )
        self._seed = seed
        self._own = transform
        self._transform = augmentation.transform(self.preprocess)
        self._region_transform = augmentation.region_transform(self.preprocess, SLACK)

    def key(self, view: View) -> str:
        """Names a view's picture among those of the same description."""
        record, number = view
        shown = record.pixels if _is_full_frame(view) else record.region
        return shown if number == PLAIN else f"{shown}/{self._seed}-{number}"

    def target_key(self, view: View) -> str:
        """Names a view's moved target."""
        return f"{self.key(view)}#target-{self.targets.key(view[0]) if self.targets else None}"

    def make(self, view: View, images: ImageCache) -> tuple[ImageArray, torch.Tensor | None]:
        """The picture of a view (*size, 3), uint8, RGB, and its encoded target if that moves."""
        record, number = view
        box = None if _is_full_frame(view) else record.box
        if box is None:
            pixels = images.get(record.pixels)
            geometry = _whole(record, pixels)
        else:
            pixels = images.get(record.region)
            geometry = region_geometry(record, self._decoded)
            box = geometry.box_to_input(box)
        placed = self.targets.place(record, geometry) if self.targets else None
        seed = seed_from("view", self._seed, record.region, number)
        if number == PLAIN:
            seen, moved = augment.plain_view(pixels, placed, self.preprocess, box)
        elif self._own is not None:
            if box is not None:
                # What the box means: room to move it in would be shown as part of it.
                pixels, shown = augment.plain_view(pixels, placed, self.preprocess, box)
                placed = shown.tensor if shown else None
            seen, moved = own_view(pixels, placed, self._own, self.preprocess, seed)
        else:
            transform = self._transform if box is None else self._region_transform
            if self.targets and box is None and augment.are_points(placed):
                # Cutting out parts would cut off points: they are turned and moved instead.
                pixels, geometry = self._surroundings(pixels, geometry)
                placed, transform = self.targets.place(record, geometry), self._region_transform
            seen, moved = augment.augmented_view(pixels, placed, transform, seed)
        return seen, self.targets.encode(record, moved) if self.targets else None

    def _surroundings(self, pixels: ImageArray, geometry: Geometry) -> tuple[ImageArray, Geometry]:
        """A whole picture with room around it, in the shape of the input."""
        region = self.preprocess.frame(geometry.size, SLACK)
        height, width = (round(side * SLACK) for side in self.preprocess.size)
        return sample(pixels, region, (height, width)), geometry.cut(region, (height, width))


def _is_full_frame(view: View) -> bool:
    """Whether a view shows the whole picture although a box says what is meant.

    A model that has only seen crops fails as soon as somebody holds a camera in the hand.
    """
    record, number = view
    boxed = record.box is not None and record.alone
    return boxed and number > PLAIN and number % FULL_FRAME_EVERY == 0


def _whole(record: Record, pixels: ImageArray) -> Geometry:
    """How the original lies in its decoded picture."""
    size = (pixels.shape[0], pixels.shape[1])
    scale = (size[0] / record.size[0], size[1] / record.size[1])
    return Geometry(record.size, scale, (0.0, 0.0), size)


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

    def key(self, view: View) -> str:
        """Names the maps of a view."""
        return self._maker.key(view)

    def vectors(self, rest: Rest) -> ArrayStore | None:
        """Nothing is kept: the views of a run are as good as never those of another one."""
        return None

    def close(self) -> None:
        """Nothing is held; the decoded pictures are closed by whoever opened them."""

    def _made(self, view: View) -> tuple[ImageArray, torch.Tensor | None]:
        if self._last is None or self._last[0] != view:
            self._last = (view, *self._maker.make(view, self._images))
        return self._last[1], self._last[2]
