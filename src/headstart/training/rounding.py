"""Training under the rounding of 8 bits (quantisation-aware training)."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.ao.quantization import FakeQuantize, MinMaxObserver, PerChannelMinMaxObserver
from torch.nn.utils import parametrize
from torch.utils.data import DataLoader

from headstart.data.loader import Batch
from headstart.models.network import Rest

CALIBRATION_BATCHES = 16
"""Batches of training views that the ranges of layers' inputs are taken from."""

INPUT_ROUNDING = "input_rounding"
"""Name of the submodule of a layer that rounds its input."""


@contextlib.contextmanager
def rounded(rest: Rest, batches: DataLoader[Batch]) -> Iterator[None]:
    """Within it, layers compute with weights and inputs rounded as an int8 file rounds them.

    Weights: 8 bits for each output channel, symmetric. Folding a normalisation layer into a
    convolution, as converters do, scales channel and grid alike, so nothing has to be folded here.
    Inputs: 8 bits between the extremes that the given batches show. Gradients pass rounding
    unchanged (straight-through estimator, Y. Bengio et al., arXiv 1308.3432). The last layer stays
    as it is: exported files keep it in float32.

    Args:
        rest: the part that trains; left as it was, but for what was learned.
        batches: of training views; the first ``CALIBRATION_BATCHES`` are used.
    """
    layers = _layers(rest)
    roundings = []
    for layer in layers:
        rounding = _rounding(observer=MinMaxObserver, quant_min=0, quant_max=255)
        rounding.disable_fake_quant()
        layer.add_module(INPUT_ROUNDING, rounding)
        roundings.append(rounding)
    hooks = [layer.register_forward_pre_hook(_round_input) for layer in layers]
    try:
        _observe(rest, batches)
        for layer, rounding in zip(layers, roundings, strict=True):
            rounding.enable_fake_quant()
            rounding.disable_observer()
            parametrize.register_parametrization(layer, "weight", weight_rounding())
        yield
    finally:
        for hook in hooks:
            hook.remove()
        for layer in layers:
            delattr(layer, INPUT_ROUNDING)
            if parametrize.is_parametrized(layer, "weight"):
                parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)


def _layers(rest: Rest) -> list[nn.Conv2d | nn.Linear]:
    """What is computed in 8 bits: convolutions and linear layers, but for the last one."""
    found = [module for module in rest.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    return found[:-1]


def _rounding(**options: Any) -> FakeQuantize:
    found: FakeQuantize = FakeQuantize(**options)  # type: ignore[no-untyped-call]
    return found


def weight_rounding() -> FakeQuantize:
    """Rounds weights as int8 files hold them: 8 bits for each output channel, symmetric."""
    return _rounding(
        observer=PerChannelMinMaxObserver,
        quant_min=-127,
        quant_max=127,
        dtype=torch.qint8,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
    )


def _round_input(layer: nn.Module, inputs: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
    rounded_input: torch.Tensor = layer.get_submodule(INPUT_ROUNDING)(inputs[0])
    return (rounded_input,)


def _observe(rest: Rest, batches: DataLoader[Batch]) -> None:
    """Shows batches to the layers, which note the extremes of their inputs."""
    rest.eval()
    # What the observers note is used where gradients flow: no inference tensors.
    with torch.no_grad():
        for maps, _ in itertools.islice(batches, CALIBRATION_BATCHES):
            rest(maps)
