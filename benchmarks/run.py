"""Accuracy and time of training, beside the honest small rival, in the same run.

The rival computes pooled features of every picture once with the same pretrained weights and fits
scikit-learn's logistic regression, its penalty chosen by cross-validation. Both see the same
pictures, the same test split, and start without stored views or decoded pictures.

Usage: python benchmarks/run.py [DATA] [--seeds N]   (default data: the solar cells of the demo)
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import headstart
from headstart.data.manifest import build_manifest
from headstart.data.split import assign_splits
from headstart.models.backbones import load_backbone
from headstart.progress import QuietProgress
from headstart.runtime.predictor import load_input
from headstart.runtime.preprocess import Preprocess

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
BATCH = 32
SIZE = (224, 224)


def main() -> None:
    """Prints one row a method: mean accuracy, all accuracies, median seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    data = arguments.data or demo_table()
    rows: dict[str, list[tuple[float, float]]] = {"headstart": [], "pooled + logistic": []}
    for seed in range(arguments.seeds):
        rows["headstart"].append(ours(data, seed))
        rows["pooled + logistic"].append(rival(data))
    for name, found in rows.items():
        scores = [score for score, _ in found]
        shown = ", ".join(f"{score:.4f}" for score in scores)
        seconds = statistics.median(spent for _, spent in found)
        sys.stdout.write(
            f"{name:<20} accuracy {statistics.mean(scores):.4f} ({shown})  {seconds:.0f} s\n"
        )


def demo_table() -> Path:
    """The solar cells, as the demo splits them."""
    import demo

    return demo.write_tables(0)


def ours(data: Path, seed: int) -> tuple[float, float]:
    """Test accuracy and seconds of the whole verb ``train``, from an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HEADSTART_CACHE"] = str(Path(folder) / "cache")
        start = time.perf_counter()
        result = headstart.train(data, out=Path(folder) / "run", seed=seed)
        seconds = time.perf_counter() - start
        return result.metrics["metrics"]["accuracy"]["value"], seconds


def rival(data: Path) -> tuple[float, float]:
    """Test accuracy and seconds of logistic regression on pooled features."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HEADSTART_CACHE"] = str(Path(folder) / "cache")
        start = time.perf_counter()
        manifest = assign_splits(build_manifest(data, progress=QuietProgress()))
        backbone = load_backbone("efficientnet_lite0").to(memory_format=torch.channels_last)
        preprocess = Preprocess(SIZE, "crop", manifest.white_level)
        sides = {"train": manifest.on("train", "val"), "test": manifest.on("test")}
        features, targets = {}, {}
        for side, records in sides.items():
            parts = []
            for at in range(0, len(records), BATCH):
                chosen = records[at : at + BATCH]
                batch = np.stack([load_input(record.path, preprocess)[0] for record in chosen])
                with torch.inference_mode():
                    parts.append(backbone(torch.from_numpy(batch)).mean(dim=(2, 3)).numpy())
            features[side] = np.concatenate(parts)
            targets[side] = np.array([record.target for record in records])
        model = make_pipeline(
            StandardScaler(),
            LogisticRegressionCV(
                Cs=np.logspace(-4, 0, 5),
                l1_ratios=(0.0,),
                scoring="accuracy",
                use_legacy_attributes=False,
                max_iter=1000,
            ),
        )
        model.fit(features["train"], targets["train"])
        score = float(model.score(features["test"], targets["test"]))
        return score, time.perf_counter() - start


if __name__ == "__main__":
    main()
