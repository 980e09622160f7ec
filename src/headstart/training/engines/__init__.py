"""Engines that run the frozen prefix over many pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt

from headstart.config import DeviceName
from headstart.models.network import Prefix
from headstart.training.devices import SEEN, check_device, has_bfloat16
from headstart.training.engines.openvino_engine import OpenVinoEngine, is_installed
from headstart.training.engines.torch_engine import TorchEngine
from headstart.types import ImageArray, Size

BATCH = 8
"""Pictures a batch; always full, so that a picture's maps do not depend on how many there are.

With few the maps between two layers stay in the processor's cache: on two cores OpenVINO runs
EfficientNet-Lite0 up to a quarter faster than with 32, torch up to a third.
"""


class Engine(Protocol):
    """Runs the prefix on batches of one fixed shape."""

    def stream(self, batches: Iterable[ImageArray]) -> Iterator[tuple[npt.NDArray[Any], ...]]:
        """Maps (BATCH, c, h, w), float32, of each of the batches, in their order.

        Takes batches ahead of what it has given.

        Args:
            batches: of pictures (BATCH, h, w, 3), uint8, RGB.
        """


class EngineKey(NamedTuple):
    """What tells the engines of a run apart.

    Attributes:
        name: one of ``ENGINES``.
        stage: the first one that is not run.
        size: (height, width) of the pictures in pixels.
    """

    name: str
    stage: int
    size: Size


ENGINES: dict[str, Callable[[Prefix, Size], Engine]] = {
    "openvino-bfloat16": lambda prefix, size: OpenVinoEngine(prefix, size, BATCH, bfloat16=True),
    "openvino-float32": lambda prefix, size: OpenVinoEngine(prefix, size, BATCH, bfloat16=False),
    "torch-bfloat16": lambda prefix, size: TorchEngine(prefix, bfloat16=True),
    "torch-float32": lambda prefix, size: TorchEngine(prefix, bfloat16=False),
    "cuda-bfloat16": lambda prefix, size: TorchEngine(prefix, bfloat16=True, device="cuda"),
    "cuda-float32": lambda prefix, size: TorchEngine(prefix, bfloat16=False, device="cuda"),
    "mps-float32": lambda prefix, size: TorchEngine(prefix, bfloat16=False, device="mps"),
}

OPENVINO_FROM = {"bfloat16": 1500 * 224 * 224, "float32": 500 * 224 * 224}
"""With fewer pixels in all views the conversion costs more time than OpenVINO saves."""


def default_engine(pixels: int, device: DeviceName = "cpu") -> str:
    """The fastest engine for the device, what is installed, and the pixels of all views."""
    precision = "bfloat16" if has_bfloat16(device) else "float32"
    if device != "cpu":
        return f"{device}-{precision}"
    worth = pixels >= OPENVINO_FROM[precision]
    library = "openvino" if is_installed() and worth else "torch"
    return f"{library}-{precision}"


def engine_for_few(name: str, pixels: int) -> str:
    """The same arithmetic without a conversion, where all views have too few pixels for one.

    Args:
        name: one of ``ENGINES``, which runs more views of another size.
        pixels: of all views.
    """
    library, _, precision = name.partition("-")
    worth = library != "openvino" or pixels >= OPENVINO_FROM[precision]
    return name if worth else f"torch-{precision}"


def open_engine(name: str, prefix: Prefix, size: Size) -> Engine:
    """Prepares an engine.

    Args:
        name: one of ``ENGINES``.
        prefix: the frozen part.
        size: (height, width) of the pictures.

    Raises:
        ConfigError: torch does not see the engine's device.
        MissingExtraError: the engine's library is not installed.
    """
    device = name.partition("-")[0]
    if device in SEEN:
        check_device(device)
    return ENGINES[name](prefix, size)
