"""What an export format is, and what it converts from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from headstart.runtime.backends import Backend
from headstart.runtime.model_folder import ModelDescription
from headstart.types import ImageArray

if TYPE_CHECKING:
    from headstart.exporting.graph import Deployed

REFERENCE_PRECISION = "fp32"
"""Every format has it: what is compared with the reference to the last digits."""

CALIBRATED = "int8"
"""The precision whose ranges come from pictures."""

CORRECTED = frozenset({CALIBRATED, "dynamic"})
"""Precisions whose biases make up for rounded weights, where there are pictures to measure on."""


@dataclasses.dataclass(frozen=True)
class Source:
    """A trained model, as formats convert it.

    Attributes:
        folder: the model folder.
        description: its ``model.json``.
        graph: the bytes of its ``model.onnx`` in float32, after their hash was compared.
        deployed: builds the same network in torch from ``weights.safetensors``: float32, evaluation
            mode, calibration constants filled in. It takes uint8 RGB (n, h, w, 3) and gives a tuple
            in the order of ``description.outputs``. A new one at each call: it may be changed.
        calibration: preprocessed training pictures (h, w, 3), uint8, RGB; empty where nothing that
            was asked for needs them.
    """

    folder: Path
    description: ModelDescription
    graph: bytes
    deployed: Callable[[], Deployed]
    calibration: Sequence[ImageArray] = ()


class Format(Protocol):
    """Converts a model to one kind of file, and runs such a file."""

    name: str
    """As ``--to`` names it."""
    title: str
    """As people write it."""
    suffix: str
    """Of the file, with the dot."""
    companions: tuple[str, ...] = ()
    """Suffixes of further files that belong to it and have the same name otherwise."""
    extra: str
    """What ``pip install "headstart[...]"`` must name to convert and run it."""
    modules: Mapping[str, tuple[str, ...]]
    """By precision, in the order of the table: modules of the extra that the conversion imports."""
    takes: Mapping[str, Any] = {}
    """How the file's input differs from that of ``model.onnx``: entries of ``input`` in
    ``model.json``, such as ``{"dtype": "float32", "batch": 1}``."""

    def convert(
        self, source: Source, precision: str, path: Path, metadata: Mapping[str, Any]
    ) -> None:
        """Writes the file, and its companions beside it.

        Args:
            source: the model.
            precision: one of ``modules``.
            path: where to write; ends in ``suffix``.
            metadata: made by ``headstart.exporting.metadata``; goes into the file as a whole, so
                that ``metadata`` reads the same back.

        Raises:
            ModelError: the model cannot be converted; says why.
        """

    def open(self, path: Path, threads: int = 0) -> Backend:
        """What runs the file as written.

        The backend takes uint8 batches (n, h, w, 3) of any n and gives the outputs by the names of
        ``model.onnx``, float32, whatever the file itself takes and gives.

        Args:
            path: of the file.
            threads: of the engine; 0 uses every core.

        Raises:
            MissingExtraError: what runs it is not installed.
            ModelError: the file cannot be run.
        """

    def metadata(self, path: Path) -> Mapping[str, Any]:
        """What ``convert`` was given, read back from the file.

        Raises:
            ModelError: the file holds none.
        """

    @property
    def checked_by(self) -> str:
        """Name and version of what runs the file, such as ``onnxruntime 1.32.0``."""
