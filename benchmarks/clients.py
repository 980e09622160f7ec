"""How often MediaPipe Tasks, in Python and in Chromium, gives the label of ``headstart predict``.

And that of the same file, run by headstart: what differs from the one alone, 8 bits have changed.
Given the same pixels: those that ``predict`` makes of up to --count pictures, evenly chosen. The
files are the ``*.tflite`` of ``headstart export RUN/model --to litert``.

Usage: python benchmarks/clients.py RUN PICTURES/ [--count N] [--json]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from playwright.sync_api import sync_playwright
from runner.figures import Figures

# The clients themselves are the tests' own.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import headstart
from browser.conftest import chromium_path
from browser.site import serving
from browser.test_mediapipe import labels_in_browser
from exporting.test_mediapipe import ask
from headstart.exporting.formats import export_format
from headstart.runtime.images import iter_images
from headstart.runtime.model_folder import read_description
from headstart.runtime.predictor import load_input
from headstart.types import ImageArray


def main() -> None:
    """Prints the share of equal labels for each file and client."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = sorted(iter_images(arguments.pictures))
    chosen = found[:: max(1, len(found) // arguments.count)][: arguments.count]
    model = arguments.run / "model"
    answers = headstart.predict(model, chosen)
    predicted = np.array([answer.to_json()["label"] for answer in answers])
    description = read_description(model)
    classes = description.schema.classes
    pixels = np.stack([load_input(path, description.preprocess, None)[0] for path in chosen])
    figures = Figures()
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder)) as address,
        sync_playwright() as playwright,
    ):
        launched = playwright.chromium.launch(
            executable_path=chromium_path(), args=["--no-sandbox"]
        )
        page = launched.new_page()
        page.goto(f"{address}/pages/run.html")
        page.wait_for_function("window.ready")
        for file in sorted((arguments.run / "exported").glob("*.tflite")):
            copy = Path(folder) / file.name
            copy.write_bytes(file.read_bytes())
            python, _ = ask("classifier", copy, pixels)
            web = labels_in_browser((page, Path(folder)), copy, pixels)
            own = labels_of(file, pixels, classes)
            for client, labels in (("Python", python), ("Chromium", web)):
                for wanted, name in ((predicted, "predict"), (own, "the file in headstart")):
                    equal = float(np.sum(labels == wanted))
                    title = f"{file.stem} in {client} as {name}, of {len(chosen)}"
                    figures.add(title, equal, "", ".0f")
        launched.close()
    figures.show(as_json=arguments.json)


def labels_of(file: Path, pixels: ImageArray, classes: Sequence[str]) -> npt.NDArray[np.str_]:
    """What the file itself says, run as ``export`` runs it."""
    outputs = export_format("litert").open(file).run(pixels)
    return np.array(classes)[outputs["probabilities"].argmax(axis=1)]


if __name__ == "__main__":
    main()
