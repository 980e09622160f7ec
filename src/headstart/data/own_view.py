"""Augmented views by a transform of the person's own."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torchvision import tv_tensors

from headstart.data.augment import AXES, View, are_points, moved_points, plain_view
from headstart.errors import ConfigError
from headstart.runtime.preprocess import Preprocess
from headstart.tasks.learning import Placed
from headstart.types import ImageArray, Size


def own_view(
    pixels: ImageArray,
    placed: torch.Tensor | None,
    transform: Callable[..., Any],
    preprocess: Preprocess,
    seed: int,
) -> View:
    """One view by an own transform, brought to the input's size by the resize rule.

    The transform is given a ``tv_tensors.Image`` (3, h, w), uint8, RGB, and gives one back, of any
    size. Where the target lies in the picture it is given the target as well, as a
    ``tv_tensors.Mask`` (1, h, w) or ``tv_tensors.KeyPoints`` (n, 2), and gives back both. It draws
    from the global generators of torch, numpy or Python, which the seed decides.

    Args:
        pixels: (h, w, 3), uint8, RGB.
        placed: the target in the picture, or None.
        transform: as above.
        preprocess: the resize rule.
        seed: decides everything; the same seed gives the same view.

    Returns:
        (*size, 3), uint8, RGB; and the target in it.

    Raises:
        ConfigError: the transform gave back something else.
    """
    image = tv_tensors.Image(torch.from_numpy(np.array(pixels)).permute(2, 0, 1))
    given = placed
    if placed is not None and are_points(placed):
        # Three points behind the target tell afterwards whether it was mirrored.
        points = torch.cat([placed.as_subclass(torch.Tensor), AXES])
        given = tv_tensors.KeyPoints(points, canvas_size=pixels.shape[:2])
    with _seeded(seed):
        found = transform(image) if given is None else transform(image, given)
    if given is None:
        seen, moved = _picture(found), None
    else:
        if not isinstance(found, tuple | list) or len(found) != 2:
            raise _mistake("the picture and its target", found)
        seen = _picture(found[0])
        moved = _target(found[1], given, (seen.shape[0], seen.shape[1]))
    if seen.shape[:2] == preprocess.size:
        return seen, moved
    seen, resized = plain_view(seen, moved.tensor if moved else None, preprocess)
    return seen, Placed(resized.tensor, moved.mirrored) if resized and moved else None


def _picture(found: Any) -> ImageArray:
    fits = isinstance(found, torch.Tensor) and found.dtype == torch.uint8
    if not fits or found.ndim != 3 or found.shape[0] != 3:
        raise _mistake("a uint8 picture (3, height, width), which is normalised later", found)
    return np.ascontiguousarray(found.as_subclass(torch.Tensor).permute(1, 2, 0).numpy())


def _target(found: Any, given: torch.Tensor, size: Size) -> Placed:
    """The target that a transform gave back, in a view of this size."""
    if are_points(given):
        if not isinstance(found, torch.Tensor) or found.shape != given.shape:
            raise _mistake(f"as many points as it was given, {tuple(given.shape)}", found)
        points = found.as_subclass(torch.Tensor)
        return moved_points(points[: -len(AXES)], points[-len(AXES) :], size)
    if not isinstance(found, torch.Tensor) or tuple(found.shape) != (1, *size):
        raise _mistake(f"a mask as large as its picture, {(1, *size)}", found)
    return Placed(tv_tensors.Mask(found))


def _mistake(wanted: str, found: Any) -> ConfigError:
    if isinstance(found, torch.Tensor | np.ndarray):
        got = f"{found.dtype} {tuple(found.shape)}"
    elif isinstance(found, tuple | list):
        got = f"{len(found)} values"
    else:
        got = type(found).__name__
    return ConfigError([f"transform must give back {wanted}, got {got}"])


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds every global generator, and puts their states back afterwards."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            random.seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
