"""LiteRT on the CPU."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headstart.errors import ModelError, needing_extra
from headstart.storage import cpu_count
from headstart.types import ImageArray, Outputs

EXTRA = "litert"

Values = npt.NDArray[np.float32]

CHANNELS_LAST = (0, 3, 1, 2)
"""Axes of an output with a picture's axes, (1, h, w, c) in the file, in the order of ours."""

STRIDE = 4
"""Pixels for each position of a map in ``model.onnx``. A file gives maps of classes for each pixel:
MediaPipe would enlarge smaller ones with other corners than everybody else, and shift the masks."""


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
                # Here, because its engine announces itself when it is made.
                interpreter.allocate_tensors()
                self._run = interpreter.get_signature_runner()
            ((self._input, details),) = self._run.get_input_details().items()
        except (RuntimeError, ValueError) as error:
            first = str(error).partition("\n")[0]
            raise ModelError(f"LiteRT cannot load {path.name}: {first}") from error
        # An interpreter computes in memory of its own.
        self._lock = threading.Lock()
        self._size = tuple(int(side) for side in details["shape"][1:3])

    def run(self, batch: ImageArray) -> Outputs:
        """Runs a batch (n, height, width, 3), uint8, RGB.

        Outputs with the axes of a picture are (n, channels, height, width) and have the positions
        of those of ``model.onnx``.
        """
        with self._lock:
            found = [
                self._run(**{self._input: pixels[None].astype(np.float32)}) for pixels in batch
            ]
        return {
            name: np.concatenate([self._ours(outputs[name]) for outputs in found])
            for name in found[0]
        }

    def _ours(self, values: Values) -> Values:
        if values.ndim != len(CHANNELS_LAST):
            return np.atleast_1d(values).astype(np.float32)
        if values.shape[1:3] == self._size:
            values = as_before(values)
        return np.ascontiguousarray(values.transpose(CHANNELS_LAST), dtype=np.float32)


def as_before(probabilities: Values) -> Values:
    """Maps of classes (1, h, w, classes) at the positions from which the file enlarged them.

    It interpolates logarithms, up to one number a pixel that all classes share: least squares finds
    the values that they came from, and that number drops out again.
    """
    logs = np.log(np.maximum(probabilities[0], np.finfo(np.float32).tiny))
    height, width, _ = logs.shape
    rows, columns = (_undo(side) for side in (height, width))
    maps = np.einsum("ry,yxc->rxc", rows, logs, optimize=True)
    maps = np.einsum("sx,rxc->rsc", columns, maps, optimize=True)
    shares = np.exp(maps - maps.max(axis=-1, keepdims=True))
    found: Values = (shares / shares.sum(axis=-1, keepdims=True))[None]
    return found


@functools.cache
def _undo(side: int) -> Values:
    """From pixels back to positions: (side / 4, side)."""
    found: Values = np.linalg.pinv(interpolation(side))
    return found


def interpolation(side: int) -> Values:
    """Shares (side, side / 4) that positions of a map have in the pixels between their centres."""
    count = side // STRIDE
    at = np.clip((np.arange(side) + 0.5) / STRIDE - 0.5, 0, count - 1)
    before = np.minimum(at.astype(int), max(0, count - 2))
    shares = np.zeros((side, count), np.float32)
    shares[np.arange(side), before] = 1.0 - (at - before)
    shares[np.arange(side), np.minimum(before + 1, count - 1)] += at - before
    return shares


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
