"""Exported files in MediaPipe Tasks, a client that nobody here wrote, in its own environment."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from architecture.sources import ROOT
from exporting.samples import Sample, make_sample
from exporting.tiny import random_inputs
from headstart import tasks
from headstart.exporting.formats import export_format
from headstart.exporting.metadata import export_metadata
from headstart.runtime.backends import Backend
from headstart.runtime.backends.onnx import OnnxBackend
from headstart.types import Geometry, ImageArray

CLIENT = Path(__file__).with_name("mediapipe_client.py")
PYTHON = ROOT / ".venv-mediapipe" / "bin" / "python"
PRECISIONS = list(export_format("litert").modules)
FLOATS = ("fp32", "fp16")
PICTURES = random_inputs(100, seed=11)
MASKS = 20


@pytest.fixture(scope="module", autouse=True)
def environment() -> None:
    """In CI the check must run: a skipped one would look like a passed one."""
    missing = [
        *(name for name in ("litert_torch",) if importlib.util.find_spec(name) is None),
        *(path.as_posix() for path in (PYTHON.relative_to(ROOT),) if not PYTHON.is_file()),
    ]
    if not missing:
        return
    reason = f"not installed: {', '.join(missing)}; `make install` installs it"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample("words", tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample("masks", tmp_path_factory.mktemp("masks"))


def export(sample: Sample, precision: str, folder: Path) -> Path:
    found = export_format("litert")
    path = folder / f"model-{precision}.tflite"
    found.convert(
        sample.source, precision, path, export_metadata(sample.description, found, precision)
    )
    return path


def ask(task: str, model: Path, pictures: ImageArray) -> tuple[npt.NDArray[np.generic], str]:
    """What MediaPipe answers, and what the client printed."""
    pixels, answers = model.with_suffix(".pixels.npy"), model.with_suffix(".answers.npy")
    np.save(pixels, pictures)
    done = subprocess.run(
        [str(PYTHON), str(CLIENT), task, str(model), str(pixels), str(answers)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    return np.load(answers), done.stdout


def labels_of(backend: Backend, sample: Sample) -> npt.NDArray[np.generic]:
    best = backend.run(PICTURES)["probabilities"].argmax(axis=1)
    return np.array(sample.description.schema.classes)[best]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_classifier_gives_our_labels(
    classifier: Sample, precision: str, tmp_path: Path
) -> None:
    path = export(classifier, precision, tmp_path)
    found, _ = ask("classifier", path, PICTURES)
    ours = labels_of(export_format("litert").open(path), classifier)
    assert len(set(ours)) >= 2
    assert (found == ours).sum() >= 98
    if precision in FLOATS:
        assert (found == labels_of(OnnxBackend(classifier.graph), classifier)).sum() >= 98


def masks_of(backend: Backend, sample: Sample) -> npt.NDArray[np.generic]:
    """As ``headstart predict`` decodes them."""
    size = sample.description.preprocess.size
    geometries = [Geometry(size, (1.0, 1.0), (0.0, 0.0), size)] * MASKS
    decode = tasks.spec(sample.description.task).decode
    outputs = backend.run(PICTURES[:MASKS])
    predictions = decode(outputs, sample.description.schema, {}, geometries=geometries)
    return np.stack([prediction.indices for prediction in predictions])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_segmenter_gives_our_masks(segmenter: Sample, precision: str, tmp_path: Path) -> None:
    path = export(segmenter, precision, tmp_path)
    found, printed = ask("segmenter", path, PICTURES[:MASKS])
    assert printed.splitlines() == list(segmenter.description.schema.classes)
    ours = masks_of(export_format("litert").open(path), segmenter)
    assert len(np.unique(ours)) >= 2
    assert found.shape == ours.shape
    # MediaPipe has a runtime of its own, which rounds sums of 8 bits elsewhere.
    assert np.mean(found == ours) >= (0.999 if precision in FLOATS else 0.99)
    if precision == "fp32":
        assert np.mean(found == masks_of(OnnxBackend(segmenter.graph), segmenter)) >= 0.999
