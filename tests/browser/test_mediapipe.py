"""Exported files in MediaPipe Tasks for the web, a client that nobody here wrote."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Browser, Page

import headstart
from browser.site import serving
from exporting.samples import Sample, make_sample
from exporting.test_mediapipe import MASKS, PICTURES, ask, export, labels_of, masks_of
from headstart.exporting.formats import export_format
from headstart.runtime.backends.onnx import OnnxBackend
from headstart.runtime.model_folder import read_description
from headstart.runtime.predictor import load_input
from headstart.types import ImageArray
from pictures import real_data

PRECISIONS = list(export_format("litert").modules)


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample("words", tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample("masks", tmp_path_factory.mktemp("masks"))


@pytest.fixture
def opened(chromium: Browser, tmp_path: Path) -> Iterator[tuple[Page, Path]]:
    """The page that runs files, and the folder that it is served."""
    with serving(tmp_path) as address:
        page = chromium.new_page()
        page.goto(f"{address}/pages/run.html")
        page.wait_for_function("window.ready")
        yield page, tmp_path
        page.close()


def in_browser(opened: tuple[Page, Path], task: str, model: Path, pictures: ImageArray) -> Any:
    page, folder = opened
    (folder / "model.tflite").write_bytes(model.read_bytes())
    (folder / "batch.bin").write_bytes(pictures.tobytes())
    return page.evaluate(
        f"(shape) => {task}('/model.tflite', '/batch.bin', shape)", list(pictures.shape[:3])
    )


def labels_in_browser(
    opened: tuple[Page, Path], model: Path, pictures: ImageArray
) -> npt.NDArray[np.generic]:
    return np.array([found[0][0] for found in in_browser(opened, "classify", model, pictures)])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_classifier_gives_our_labels(
    classifier: Sample, opened: tuple[Page, Path], precision: str, tmp_path: Path
) -> None:
    path = export(classifier, precision, tmp_path)
    found = labels_in_browser(opened, path, PICTURES)
    ours = labels_of(export_format("litert").open(path), classifier)
    assert len(set(ours)) >= 2
    assert (found == ours).sum() >= 98
    if precision in ("fp32", "fp16"):
        assert (found == labels_of(OnnxBackend(classifier.graph), classifier)).sum() >= 98


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_segmenter_gives_our_masks(
    segmenter: Sample, opened: tuple[Page, Path], precision: str, tmp_path: Path
) -> None:
    path = export(segmenter, precision, tmp_path)
    answer = in_browser(opened, "segment", path, PICTURES[:MASKS])
    found = np.array(
        [
            np.frombuffer(base64.b64decode(mask["data"]), np.uint8).reshape(mask["shape"])
            for mask in answer["masks"]
        ]
    )
    ours = masks_of(export_format("litert").open(path), segmenter)
    assert answer["labels"] == list(segmenter.description.schema.classes)
    assert len(np.unique(ours)) >= 2
    assert found.shape == ours.shape
    # 8 bits differ in the last bit between engines.
    assert np.mean(found == ours) >= (0.999 if precision in ("fp32", "fp16") else 0.99)


def test_real_pictures_get_the_label_of_predict_in_python_and_chromium(
    opened: tuple[Page, Path], tmp_path: Path
) -> None:
    """At least 98 of 100, given the same pixels."""
    data = real_data("food")
    run = headstart.train(data, out=tmp_path / "run", strategy="features", image_size=224)
    result = headstart.export(run.model, to="litert", precision="fp32,int8")
    chosen = sorted((data / "test").glob("*/*.jpg"))[::10]
    assert len(chosen) == 100
    answers = [found.to_json() for found in headstart.predict(run.model, chosen)]
    predicted = np.array([answer["label"] for answer in answers])
    assert len(set(predicted)) == 10
    preprocess = read_description(run.model).preprocess
    pixels = np.stack([load_input(path, preprocess, None)[0] for path in chosen])
    counts = {}
    for row in result.rows:
        assert row.path is not None, row.verdict
        python, _ = ask("classifier", row.path, pixels)
        web = labels_in_browser(opened, row.path, pixels)
        counts[row.candidate.precision] = (sum(python == predicted), sum(web == predicted))
    assert min(counts["fp32"]) >= 98, counts
    # 8 bits decide otherwise where two classes are nearly as probable.
    assert min(counts["int8"]) >= 93, counts
