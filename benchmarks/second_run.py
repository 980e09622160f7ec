"""Seconds until training starts: a first run on some pictures, then one with another learning rate.

Each run is a process of its own; the clock starts after the imports and ends with the first step of
a phase that trains. The first run goes to its end, so that everything it keeps is there.

Usage: python benchmarks/second_run.py DATA [--rounds N] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from runner.figures import Figures

LEARNING_RATES = (1e-3, 5e-4)
CHILD = "--child"


class StartedError(Exception):
    """Training has started; what comes after is not measured."""


class UntilTraining:
    """A progress that notes when the first training step is done.

    Args:
        stop: whether to end the run there.
    """

    def __init__(self, *, stop: bool) -> None:
        self.seconds: float | None = None
        self._stop = stop
        self._start = time.perf_counter()

    def say(self, text: str) -> None:
        """Ignores the text."""

    @contextlib.contextmanager
    def bar(self, title: str, total: int) -> Iterator[object]:
        """Looks for the bars of training."""

        def advance(_: int) -> None:
            if title.startswith("train ") and self.seconds is None:
                self.seconds = time.perf_counter() - self._start
                if self._stop:
                    raise StartedError

        yield advance


def main() -> None:
    """Prints the seconds of both runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument(CHILD, type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child is not None:
        train(arguments.data, **arguments.child)
        return
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        first = started(arguments.data, Path(folder), "first", LEARNING_RATES[0], stop=False)
        figures.add("first run: training starts after", first, "s", ".1f")
        for number in range(arguments.rounds):
            name = f"second-{number}"
            second = started(arguments.data, Path(folder), name, LEARNING_RATES[1], stop=True)
            figures.add("second run: training starts after", second, "s", ".1f")
    figures.show(as_json=arguments.json)


def started(data: Path, work: Path, name: str, lr: float, *, stop: bool) -> float:
    """Seconds until a run in a process of its own has started to train."""
    options = {"out": str(work / name), "lr": lr, "stop": stop}
    command = [sys.executable, __file__, str(data), CHILD, json.dumps(options)]
    folders = {"HEADSTART_CACHE": f"{work}/cache", "HEADSTART_STATE": f"{work}/state"}
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True, env={**os.environ, **folders}
    )
    return float(done.stdout.split()[-1])


def train(data: Path, out: str, lr: float, *, stop: bool) -> None:
    """Trains, and prints the seconds until the first step was done."""
    import headstart
    import headstart.jobs.train_job
    from headstart import tasks

    for task in tasks.task_names():
        # Imported when it is known which one the pictures need.
        tasks.learner(task)
    progress = UntilTraining(stop=stop)
    with contextlib.suppress(StartedError):
        headstart.train(data, out=out, lr=lr, progress=progress)
    sys.stdout.write(f"{progress.seconds}\n")


if __name__ == "__main__":
    main()
