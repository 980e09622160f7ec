"""Time and memory of ``train`` as the number of pictures grows, with the plain view only.

Generated pictures, 96 pixels wide and seen at that size, in ten classes: what grows is their
number. The longest run is extrapolated to a million by the cost of one more picture between the two
largest numbers; that figure is no measurement. Memory is the largest anonymous memory of the
process, by step.

Usage: python benchmarks/growth.py [--sizes 1000,10000,100000] [--work FOLDER] [--json]
                                   [TRAIN OPTIONS, such as --engine torch-float32]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from runner.figures import Figures
from runner.memory import watching
from runner.pictures import need_room, write_pictures

CLASSES = 10
MILLION = 1_000_000
EVERY = 0.1
# In the order in which ``train`` ends them; export is entered a second time after evaluation.
STEPS = ("decode", "features", "training", "export", "evaluation")
AFTER = "report"
# Few passes, so that the largest run ends in minutes: memory and growth do not depend on them.
TRAIN_OPTIONS = ("--image-size", "96x96", "--views", "0", "--epochs", "3", "--freeze-epochs", "2")


@dataclasses.dataclass(frozen=True)
class Grown:
    """One run.

    Attributes:
        pictures: how many.
        seconds: of the whole process.
        stages: seconds by step.
        peaks: largest anonymous memory by step, in bytes.
    """

    pictures: int
    seconds: float
    stages: dict[str, float]
    peaks: dict[str, int]


def main() -> None:
    """Prints seconds and memory by number of pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--work", type=Path)
    parser.add_argument("--json", action="store_true")
    arguments, options = parser.parse_known_args()
    sizes = sorted(int(size) for size in arguments.sizes.split(","))
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        need_room(Path(folder), sizes[-1])
        runs = [grow(Path(folder), size, options) for size in sizes]
    figures = Figures()
    report(runs, figures)
    figures.show(as_json=arguments.json)


def grow(folder: Path, pictures: int, options: Sequence[str]) -> Grown:
    """Generates the pictures, trains on them, and removes both."""
    work = folder / str(pictures)
    write_pictures(work / "data", [pictures // CLASSES] * CLASSES, classes=CLASSES)
    run = work / "run"
    command = [sys.executable, "-m", "headstart", "train", str(work / "data"), "--out", str(run)]
    environment = {
        **os.environ,
        "HEADSTART_CACHE": str(work / "cache"),
        "HEADSTART_STATE": str(work / "state"),
    }
    start = time.perf_counter()
    with (work / "said.txt").open("w") as said:
        process = subprocess.Popen(
            [*command, *TRAIN_OPTIONS, *options], env=environment, stdout=said, stderr=said
        )
        with watching(process.pid, EVERY, lambda: step_of(run)) as watch:
            process.wait()
    seconds = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError((work / "said.txt").read_text(encoding="utf-8")[-2000:])
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    shutil.rmtree(work)
    return Grown(pictures, seconds, metrics["timing_s"], watch.peaks)


def step_of(run: Path) -> str:
    """The step that a run is in: the first one that its state does not hold yet."""
    try:
        ended = json.loads((run / "state.json").read_text(encoding="utf-8"))["timing_s"]
    except (OSError, ValueError):
        return STEPS[0]
    return next((step for step in STEPS if step not in ended), AFTER)


def report(runs: Sequence[Grown], figures: Figures) -> None:
    """Adds what was measured, the ratio of the memory, and the extrapolation."""
    for run in runs:
        name = f"{run.pictures:,} pictures"
        figures.add(f"{name}, whole", run.seconds, "s", ".0f")
        for step, seconds in run.stages.items():
            if step != "total":
                figures.add(f"{name}, {step}", seconds, "s", ".1f")
        for step, peak in run.peaks.items():
            figures.add(f"{name}, memory in {step}", peak / 1e6, "MB", ".0f")
        figures.add(f"{name}, peak memory", max(run.peaks.values()) / 1e6, "MB", ".0f")
    if len(runs) < 2:
        return
    first, before, last = runs[0], runs[-2], runs[-1]
    ratio = max(last.peaks.values()) / max(first.peaks.values())
    figures.add("memory at the largest / smallest number", ratio, "", ".2f")
    slope = (last.seconds - before.seconds) / (last.pictures - before.pictures)
    expected = last.seconds + slope * (MILLION - last.pictures)
    figures.add("1,000,000 pictures, extrapolated", expected, "s", ".0f")


if __name__ == "__main__":
    main()
