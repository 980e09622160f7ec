"""How a peer talks with the runner: one job in, lines of JSON out. Standard library and numpy only.

Every peer runs in an environment of its own and imports this file, and nothing else of the project.
The job is one JSON object on standard input (see ``runner.peers.Job``); each line of standard
output is one event. Whatever else a library prints goes to standard error.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any, TextIO

GROUPS = 16


@functools.cache
def _channel() -> TextIO:
    """Where events go: what was standard output when this was first called.

    From then on standard output is standard error, because libraries print to it, too.
    """
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def read_job() -> dict[str, Any]:
    """The job on standard input."""
    _channel()
    job: dict[str, Any] = json.load(sys.stdin)
    return job


def say(event: str, **values: Any) -> None:
    """Writes one event."""
    channel = _channel()
    channel.write(json.dumps({"event": event, **values}) + "\n")
    channel.flush()


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Reports the seconds that the imports inside take; they are no part of the clock."""
    _channel()
    start = time.perf_counter()
    yield
    say("imports", seconds=round(time.perf_counter() - start, 3))


def autocast() -> Any:
    """Autocast of torch, which the caller has, in bfloat16; off where the processor has none.

    There torch would imitate it, several times slower than float32.
    """
    import torch

    return torch.autocast("cpu", torch.bfloat16, enabled=_has_bfloat16())


@functools.cache
def _has_bfloat16() -> bool:
    import torch

    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


class OutOfTimeError(Exception):
    """The clock has passed the job's limit."""


class Clock:
    """Seconds of work: runs from its making, and stands still while the test split is scored.

    Args:
        limit: seconds after which ``check`` raises.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._before, self._since = 0.0, time.perf_counter()
        self._running = True

    @property
    def seconds(self) -> float:
        """What the clock shows."""
        return self._before + (time.perf_counter() - self._since if self._running else 0.0)

    def pause(self) -> None:
        """Stops it; a stopped clock may be stopped again."""
        self._before, self._running = self.seconds, False

    def resume(self) -> None:
        """Lets it go on; a running clock may be told so again."""
        if not self._running:
            self._since, self._running = time.perf_counter(), True

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Stands still inside."""
        self.pause()
        yield
        self.resume()

    def check(self) -> None:
        """Raises ``OutOfTimeError`` after the limit."""
        if self.seconds > self._limit:
            # With words: fastai puts them into another message, and fails without.
            raise OutOfTimeError(f"the clock has passed {self._limit:g} s")


@contextlib.contextmanager
def training(clock: Clock, *packages: str) -> Iterator[None]:
    """Reports the end of the training inside, whether it came to its end or to the job's limit.

    Args:
        clock: of the job.
        packages: whose versions are reported.
    """
    censored = False
    try:
        yield
    except OutOfTimeError:
        censored = True
    say("end", seconds=clock.seconds, censored=censored, versions=versions(*packages))


def checked_picture() -> Any:
    """A picture (1, 224, 224, 3), uint8, RGB, shown to every network before training."""
    import numpy as np

    rows, columns, channels = np.mgrid[0:224, 0:224, 0:3]
    return ((rows * 5 + columns * 3 + channels * 70) % 256).astype(np.uint8)[None]


def say_weights(pooled: Any) -> None:
    """Reports what the body makes of ``checked_picture``: proof of equal starting weights.

    Args:
        pooled: (channels,) mean of the last feature map over its positions; averaged over groups of
            neighbouring channels, because most single ones are near zero.
    """
    values = [float(value) for value in pooled]
    size = len(values) // GROUPS
    groups = [values[at * size : (at + 1) * size] for at in range(GROUPS)]
    say("weights", features=[round(sum(group) / size, 5) for group in groups])


def versions(*packages: str) -> dict[str, str]:
    """Installed versions."""
    from importlib import metadata

    return {package: metadata.version(package) for package in packages}
