"""The prefix in torch on the CPU."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
import torch

from headstart.models.network import Prefix
from headstart.types import ImageArray


class TorchEngine:
    """Runs the prefix with channels last, in bfloat16 or float32.

    Args:
        prefix: the frozen part; its weights are not changed.
        bfloat16: compute in bfloat16 where the operation allows it.
    """

    def __init__(self, prefix: Prefix, *, bfloat16: bool) -> None:
        self._prefix = prefix.to(memory_format=torch.channels_last)
        self._bfloat16 = bfloat16

    def run(self, images: ImageArray) -> tuple[npt.NDArray[Any], ...]:
        """Maps (n, c, h, w), float32, of pictures (n, h, w, 3), uint8, RGB."""
        with (
            torch.inference_mode(),
            torch.autocast("cpu", torch.bfloat16, enabled=self._bfloat16),
        ):
            maps = self._prefix(torch.from_numpy(images))
        return tuple(m.float().contiguous().numpy() for m in maps)
