"""Seconds to fit the head anew on pooled features that are stored.

The features are generated: ten overlapping classes in the shape and range of EfficientNet-Lite0's
pooled features, whose channels go together like real ones; 10,000 pictures by default. Reading them
back from the store is measured, too.

Usage: python benchmarks/refit.py [--pictures N] [--rounds N] [--json]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
from runner.figures import Figures

from headstart import tasks
from headstart.data.store import ArrayStore
from headstart.models.heads import PooledHead
from headstart.tasks.classification.spec import ClassSchema
from headstart.tasks.learning import HeadOptions
from headstart.types import Stage

CLASSES, CHANNELS = 10, 1280
CHUNK = 1000
FACTORS, CLASS_SHARE = 64, 0.35


def main() -> None:
    """Prints seconds to read and to fit, and the accuracy on what was fitted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    features, targets = generated(arguments.pictures)
    figures = Figures()
    with tempfile.TemporaryDirectory() as work:
        # Its lock lies beside it.
        folder = Path(work) / "features"
        store = ArrayStore(folder)
        for start in range(0, len(features), CHUNK):
            part = features[start : start + CHUNK].astype(np.float16)
            store.put({f"picture-{start + at}": row for at, row in enumerate(part)})
        for _ in range(arguments.rounds):
            measure(folder, targets, figures)
    figures.show(as_json=arguments.json)


def generated(pictures: int) -> tuple[npt.NDArray[np.float32], list[int]]:
    """Features (pictures, CHANNELS) of overlapping classes in 0..6, and the classes."""
    random = np.random.default_rng(0)
    targets = random.integers(0, CLASSES, pictures)
    usual = random.gamma(1.0, 0.2, CHANNELS)
    # What a picture shows moves all channels together; its class is a small part of that.
    shown = random.normal(0, 1, (CLASSES, FACTORS))[targets] * CLASS_SHARE
    shown += random.normal(0, 1, (pictures, FACTORS))
    together = shown @ random.normal(0, 0.3 / FACTORS**0.5, (FACTORS, CHANNELS))
    alone = random.normal(0, 0.1, (pictures, CHANNELS))
    features = np.clip(usual + together + alone, 0, 6).astype(np.float32)
    return features, [int(target) for target in targets]


def measure(folder: Path, targets: list[int], figures: Figures) -> None:
    """One round, from opening the store to a fitted head."""
    start = time.perf_counter()
    store = ArrayStore(folder)
    features = np.stack([store.get(f"picture-{at}") for at in range(len(targets))])
    features = features.astype(np.float32)
    read = time.perf_counter()
    # Fitting may change what it is given.
    given = features.copy()
    schema = ClassSchema(classes=tuple(f"class-{number}" for number in range(CLASSES)))
    head = PooledHead([Stage(CHANNELS, 32)], CLASSES, HeadOptions())
    begun = time.perf_counter()
    tasks.learner("classification").initialise(head, given[None], targets, schema)
    fitted = time.perf_counter()
    weights = head.linear.weight.detach().numpy()
    found = (features @ weights.T + head.linear.bias.detach().numpy()).argmax(axis=1)
    figures.add("read stored features", read - start, "s", ".2f")
    figures.add("head refit", fitted - begun, "s", ".2f")
    figures.add("accuracy on the fitted pictures", float((found == targets).mean()), "", ".3f")


if __name__ == "__main__":
    main()
