"""Engines that run the frozen prefix over many pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy.typing as npt

from headstart.models.network import Prefix
from headstart.training.engines.torch_engine import TorchEngine
from headstart.types import ImageArray, Size

BATCH = 32
"""Pictures a batch; always full, so that a picture's maps do not depend on how many there are."""


class Engine(Protocol):
    """Runs the prefix on batches of one fixed shape."""

    def run(self, images: ImageArray) -> tuple[npt.NDArray[Any], ...]:
        """Maps (BATCH, c, h, w), float32, of pictures (BATCH, h, w, 3), uint8, RGB."""


ENGINES: dict[str, Callable[[Prefix, Size], Engine]] = {
    "torch-bfloat16": lambda prefix, size: TorchEngine(prefix, bfloat16=True),
    "torch-float32": lambda prefix, size: TorchEngine(prefix, bfloat16=False),
}


def open_engine(name: str, prefix: Prefix, size: Size) -> Engine:
    """Prepares an engine.

    Args:
        name: one of ``ENGINES``.
        prefix: the frozen part.
        size: (height, width) of the pictures.
    """
    return ENGINES[name](prefix, size)
