"""Trains on the photographs of solar cells in the package elpv-dataset and compares the score.

The pictures (CC BY-NC-SA 4.0) stay where pip put them: this script writes only CSV files that name
them. Usage: python scripts/demo.py [--seeds N]
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import statistics
import sys
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path

from sklearn.model_selection import StratifiedKFold, train_test_split

import headstart
from headstart.jobs.run_folder import RunFolder
from headstart.progress import ConsoleProgress
from headstart.storage import read_json, write_text

RUNS = Path("runs")
DATA = RUNS / "demo-data"
TEST_SHARE = 0.25
# Of the other pictures. headstart would take a fifth; few training pictures cost more here than a
# coarser look at the curve.
VAL_SHARE = 0.1
EPOCHS = 24

# S. Deitsch et al., Solar Energy 185 (2019) 455-468: the first two; the third is a later work.
PUBLISHED = (
    ("SVM on hand-made features, Deitsch et al. 2019", 82.44),
    ("VGG-19 fine-tuned on a GPU, Deitsch et al. 2019", 88.42),
    ("ResNet-152, later work", 90.13),
)


def main() -> None:
    """Trains once, or with several seeds, and prints the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds (and of splits)")
    arguments = parser.parse_args()
    scores = []
    for seed in range(arguments.seeds):
        run = RUNS / ("demo" if seed == 0 else f"demo-seed-{seed}")
        scores.append(train_once(run, seed))
    report(scores)


def train_once(run: Path, seed: int) -> dict[str, float]:
    """Trains, or continues a stopped run, or reads a finished one; returns value, low, high."""
    table = write_tables(seed)
    if RunFolder(run).finished:
        say(f"{run} is finished already; delete it to train again")
    else:
        headstart.train(
            table,
            out=run,
            # Every cell is photographed in the same way, and no side of it is up.
            augment="light",
            flip="both",
            epochs=EPOCHS,
            seed=seed,
            resume=RunFolder(run).config.is_file(),
            progress=ConsoleProgress(),
        )
    metrics = read_json(run / "metrics.json")
    accuracy = metrics["metrics"]["accuracy"]
    say(f"{run}: accuracy {accuracy['value']:.2%} after {metrics['timing_s']['total']:.0f} s")
    return {name: accuracy[name] for name in ("value", "low", "high")}


def write_tables(seed: int) -> Path:
    """Writes the table of a split by label and module type, and one for the defect probability.

    Returns:
        The table with the labels; defective means a probability above 0.5.
    """
    cells = read_cells()
    strata = strata_of(cells)
    left, test = train_test_split(
        range(len(cells)), test_size=TEST_SHARE, stratify=strata, random_state=seed
    )
    sides = sides_of(strata, left, test, seed)
    values = [probability for _, probability, _ in cells]
    rows = zip((image for image, _, _ in cells), values, sides, strict=True)
    write_csv(DATA / f"defect-probability-{seed}.csv", ("image", "value", "split"), rows)
    return write_labels(DATA / f"solar-cells-{seed}.csv", cells, sides)


def write_fold(number: int, folds: int) -> Path:
    """Writes the table of one of several splits whose test cells together are all cells.

    Args:
        number: of the fold, from 0.
        folds: how many there are; each holds cells of every label and module type alike.

    Returns:
        The table with the labels.
    """
    cells = read_cells()
    strata = strata_of(cells)
    rule = StratifiedKFold(folds, shuffle=True, random_state=0)
    left, test = list(rule.split(strata, strata))[number]
    sides = sides_of(strata, left, test, number)
    return write_labels(DATA / f"solar-cells-fold-{number}-of-{folds}.csv", cells, sides)


def strata_of(cells: Sequence[tuple[str, float, str]]) -> list[str]:
    """Label and module type of every cell, in one word."""
    return [f"{probability > 0.5}{kind}" for _, probability, kind in cells]


def sides_of(
    strata: Sequence[str], left: Sequence[int], test: Sequence[int], seed: int
) -> list[str]:
    """The side of every cell; some of those that do not test are for validation."""
    _, val = train_test_split(
        left, test_size=VAL_SHARE, stratify=[strata[at] for at in left], random_state=seed
    )
    sides = ["train"] * len(strata)
    for side, taken in (("test", test), ("val", val)):
        for at in taken:
            sides[at] = side
    return sides


def write_labels(
    table: Path, cells: Sequence[tuple[str, float, str]], sides: Sequence[str]
) -> Path:
    """Writes the table with the labels, and returns it."""
    labels = ["defective" if probability > 0.5 else "functional" for _, probability, _ in cells]
    images = [image for image, _, _ in cells]
    write_csv(table, ("image", "label", "split"), zip(images, labels, sides, strict=True))
    return table


def read_cells() -> list[tuple[str, float, str]]:
    """Path relative to the tables, defect probability and module type of every cell."""
    folder = Path(str(resources.files("elpv_dataset"))) / "data"
    cells = []
    for line in (folder / "labels.csv").read_text(encoding="utf-8").splitlines():
        image, probability, kind = line.split()
        cells.append((os.path.relpath(folder / image, DATA), float(probability), kind))
    return cells


def write_csv(path: Path, header: tuple[str, ...], rows: Iterable[Iterable[object]]) -> None:
    """Writes a table in one step."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def report(scores: list[dict[str, float]]) -> None:
    """Prints our figure beside the published ones."""
    say("\nDefective solar cells, accuracy (published figures: other splits of the same set)")
    for name, value in PUBLISHED:
        say(f"  {value:6.2f} %  {name}, published, other split")
    first = scores[0]
    say(
        f"  {first['value'] * 100:6.2f} %  headstart on this machine, this split "
        f"(95 % interval {first['low']:.2%} to {first['high']:.2%})"
    )
    if len(scores) > 1:
        values = [score["value"] * 100 for score in scores]
        shown = ", ".join(f"{value:.2f}" for value in values)
        say(f"  {statistics.mean(values):6.2f} %  mean of {len(values)} seeds and splits: {shown}")


def say(text: str) -> None:
    """Prints a line at once, also into a pipe."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
