"""Bulk ``predict`` beside its two parts, decoding and the engine, in the same run.

With decoding and engine on all cores in turn, no program can answer faster than
1 / (1 / decode + 1 / engine) on the average.

Usage: python benchmarks/throughput.py MODEL PICTURES [--rounds N] [--json]
PICTURES are files and folders; @FILE stands for the lines of a file.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from runner.figures import Figures

import headstart
from headstart.jobs.predict_job import find_images
from headstart.runtime.predictor import DEFAULT_BATCH, Model, load_input
from headstart.storage import cpu_count

UNIT = "pictures/s"


def main() -> None:
    """Prints rates and the share of the serial bound that ``predict`` reaches."""
    parser = argparse.ArgumentParser(description=__doc__, fromfile_prefix_chars="@")
    parser.add_argument("model")
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    model, files = headstart.load_model(arguments.model), find_images(arguments.pictures)
    figures = Figures()
    measure(model, files, arguments.rounds, figures)
    figures.show(as_json=arguments.json)


def measure(model: Model, files: Sequence[Path], rounds: int, figures: Figures) -> None:
    """Adds the rates of every round; each other round goes the other way round."""
    parts: list[tuple[str, Callable[[], float]]] = [
        ("decode", lambda: decode(model, files)),
        ("engine", lambda: engine(model, len(files))),
        ("predict", lambda: predict(model, files)),
    ]
    # Warms up the files and the engine.
    predict(model, files[:DEFAULT_BATCH])
    for number in range(rounds):
        rates = {name: work() for name, work in (parts if number % 2 == 0 else parts[::-1])}
        for name, _ in parts:
            figures.add(name, rates[name], UNIT, ".0f")
        bound = 1 / (1 / rates["decode"] + 1 / rates["engine"])
        figures.add("predict / serial bound", rates["predict"] / bound, "", ".2f")


def decode(model: Model, files: Sequence[Path]) -> float:
    """Pictures decoded and preprocessed a second, on all cores."""
    preprocess = model.description.preprocess
    start = time.perf_counter()
    with ThreadPoolExecutor(cpu_count()) as pool:
        count = sum(1 for _ in pool.map(lambda path: load_input(path, preprocess), files))
    return count / (time.perf_counter() - start)


def engine(model: Model, pictures: int) -> float:
    """Pictures through the graph a second, in batches as ``predict`` makes them."""
    height, width = model.description.preprocess.size
    batch = np.random.default_rng(0).integers(0, 256, (DEFAULT_BATCH, height, width, 3), np.uint8)
    batches = max(2, pictures // DEFAULT_BATCH)
    start = time.perf_counter()
    for _ in range(batches):
        model.backend.run(batch)
    return batches * DEFAULT_BATCH / (time.perf_counter() - start)


def predict(model: Model, files: Sequence[Path]) -> float:
    """Pictures answered a second."""
    start = time.perf_counter()
    count = sum(answer.prediction is not None for answer in headstart.predict(model, files))
    return count / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
