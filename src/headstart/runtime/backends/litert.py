"""LiteRT on the CPU."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from headstart.errors import ModelError, needing_extra
from headstart.storage import cpu_count
from headstart.types import ImageArray, Outputs

EXTRA = "litert"

CHANNELS_LAST = (0, 3, 1, 2)
"""Axes of an output with a picture's axes, (1, h, w, c) in the file, in the order of ours."""


class LiteRtBackend:
    """Runs a ``.tflite`` file that headstart made: one picture at a time, as phones do.

    Args:
        path: of the file.
        threads: of the engine; 0 uses every core.

    Raises:
        MissingExtraError: LiteRT is not installed.
        ModelError: the file is none that LiteRT can run.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        with needing_extra("Running LiteRT files", EXTRA):
            from ai_edge_litert.interpreter import Interpreter

        try:
            with silenced():
                interpreter = Interpreter(str(path), num_threads=threads or cpu_count())
                self._run = interpreter.get_signature_runner()
            (self._input,) = self._run.get_input_details()
        except (RuntimeError, ValueError) as error:
            first = str(error).partition("\n")[0]
            raise ModelError(f"LiteRT cannot load {path.name}: {first}") from error

    def run(self, batch: ImageArray) -> Outputs:
        """Runs a batch (n, height, width, 3), uint8, RGB.

        Outputs with the axes of a picture are (n, channels, height, width), as in ``model.onnx``.
        """
        found = [self._run(**{self._input: pixels[None].astype(np.float32)}) for pixels in batch]
        return {
            name: _ours(np.concatenate([np.atleast_1d(outputs[name]) for outputs in found]))
            for name in found[0]
        }


def _ours(values: np.ndarray) -> np.ndarray:
    ordered = values.transpose(CHANNELS_LAST) if values.ndim == len(CHANNELS_LAST) else values
    return np.ascontiguousarray(ordered, dtype=np.float32)


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Standard error without what C++ writes there past Python, and what no option turns off."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
