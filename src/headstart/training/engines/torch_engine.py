"""The prefix in torch, on the processor or an accelerator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy.typing as npt
import torch

from headstart.models.folding import folded
from headstart.models.network import Prefix
from headstart.types import ImageArray


class TorchEngine:
    """Runs the prefix with channels last, in bfloat16 or float32.

    Args:
        prefix: the frozen part; its weights are not changed.
        bfloat16: compute in bfloat16 where the operation allows it.
        device: of torch.
    """

    def __init__(self, prefix: Prefix, *, bfloat16: bool, device: str = "cpu") -> None:
        self._prefix = folded(prefix).to(device).to(memory_format=torch.channels_last)
        self._bfloat16, self._device = bfloat16, device

    def stream(self, batches: Iterable[ImageArray]) -> Iterator[tuple[npt.NDArray[Any], ...]]:
        """Maps (n, c, h, w), float32, of each batch of pictures (n, h, w, 3), uint8, RGB."""
        return map(self._run, batches)

    def _run(self, images: ImageArray) -> tuple[npt.NDArray[Any], ...]:
        with (
            torch.inference_mode(),
            torch.autocast(self._device, torch.bfloat16, enabled=self._bfloat16),
        ):
            maps = self._prefix(torch.from_numpy(images).to(self._device))
        return tuple(m.float().contiguous().cpu().numpy() for m in maps)
