"""Decoders: heads that give a map at a quarter of the input's size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import nn

from headstart.errors import ConfigError
from headstart.models.heads import Head, Maps, last_map
from headstart.types import Stage

STRIDES = (4, 8, 16, 32)
CHANNELS = (128, 64, 48)
"""Of the decoder's blocks at strides 16, 8 and 4."""


class Unet(nn.Module):
    """The U-Net decoder of segmentation-models-pytorch from stride 32 up to stride 4.

    Args:
        channels: of the maps at strides 4, 8, 16 and 32.
        outputs: channels of the result.
        dropout: probability of dropping a channel before the last layer.
    """

    def __init__(self, channels: Sequence[int], outputs: int, dropout: float) -> None:
        super().__init__()
        # The decoder drops the first map, which is the input in its own models.
        self.decoder = UnetDecoder([0, *channels], CHANNELS, n_blocks=len(CHANNELS))
        self.last = nn.Sequential(nn.Dropout2d(dropout), nn.Conv2d(CHANNELS[-1], outputs, 1))

    def forward(self, maps: Maps) -> torch.Tensor:
        """From the four maps to (n, outputs, h / 4, w / 4)."""
        result: torch.Tensor = self.last(self.decoder([maps[0], *maps]))
        return result


class UnetHead(Head):
    """Takes the last map of each stride from 4 to 32; a convolution behind them is left out.

    Args:
        stages: of the backbone.
        outputs: channels of the result.
        dropout: probability of dropping a channel before the last layer.

    Raises:
        ConfigError: the backbone lacks one of the strides.
    """

    def __init__(self, stages: Sequence[Stage], outputs: int, dropout: float) -> None:
        super().__init__()
        taps = {stages[number].stride: number for number in range(last_map(stages) + 1)}
        missing = [stride for stride in STRIDES if stride not in taps]
        if missing:
            found = ", ".join(str(stride) for stride in sorted(taps))
            problem = (
                f"--backbone must have feature maps at strides {', '.join(map(str, STRIDES))} "
                f"for this task's decoder, got one with {found}: choose another"
            )
            raise ConfigError([problem])
        self.taps = tuple(taps[stride] for stride in STRIDES)
        self.reduce = None
        self.predict = Unet([stages[tap].channels for tap in self.taps], outputs, dropout)
