"""Gives back to biases what rounding weights to 8 bits takes from the outputs of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from headstart.exporting.graph import Deployed
from headstart.training.rounding import weight_rounding
from headstart.types import ImageArray

PICTURES = 64
"""Calibration pictures that means are taken over: they hardly change with more."""

BATCH = 8

Layer = nn.Conv2d | nn.Linear


def correct_biases(deployed: Deployed, pictures: Sequence[ImageArray], *, last: bool) -> Deployed:
    """Changes the biases so that layers with weights of 8 bits have the means of float32.

    Rounded weights shift the mean of a channel, most where few weights are summed (depthwise
    convolutions). The shift is measured on pictures and taken from the bias: bias correction, M.
    Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV
    2019, section 4.2. Weights stay in float32: the converter rounds them, as ``weight_rounding``
    does.

    Args:
        deployed: in evaluation mode; changed.
        pictures: preprocessed (h, w, 3), uint8, RGB; the first ``PICTURES`` are used.
        last: whether the converter rounds the last layer too.

    Returns:
        The network that was given.
    """
    layers = [module for module in deployed.modules() if isinstance(module, Layer)]
    shifts: dict[Layer, _Mean] = {}

    def measure(layer: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        if not isinstance(layer, Layer):
            raise TypeError(f"hooked to a {type(layer).__name__}")
        exact = layer.weight.data
        layer.weight.data = weight_rounding()(exact)
        try:
            # Not the layer itself, whose hooks would be called again.
            shift = layer.forward(*inputs) - output
        finally:
            layer.weight.data = exact
        channels = 1 if isinstance(layer, nn.Conv2d) else shift.ndim - 1
        # The order of the calls is that of the layers in the network.
        shifts.setdefault(layer, _Mean()).add(shift.transpose(0, channels).flatten(1))

    hooks = [layer.register_forward_hook(measure) for layer in layers]
    try:
        with torch.inference_mode():
            for start in range(0, min(PICTURES, len(pictures)), BATCH):
                deployed(torch.from_numpy(np.stack(pictures[start : start + BATCH])))
    finally:
        for hook in hooks:
            hook.remove()
    changed = list(shifts.items())
    for layer, shift in changed if last else changed[:-1]:
        before = torch.zeros_like(shift.value) if layer.bias is None else layer.bias.data
        layer.bias = nn.Parameter(before - shift.value, requires_grad=False)
    return deployed


class _Mean:
    """The mean of each channel over batches."""

    def __init__(self) -> None:
        self._sum = torch.zeros(())
        self._count = 0

    def add(self, values: torch.Tensor) -> None:
        """Adds values (channels, n)."""
        self._sum = self._sum + values.sum(dim=1)
        self._count += values.shape[1]

    @property
    def value(self) -> torch.Tensor:
        """(channels,), float32."""
        return self._sum / self._count
