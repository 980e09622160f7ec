"""Exported ONNX files give the same answers in Chromium as in Python, for every task."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from browser.site import serving
from exporting.samples import FIELDS, Sample, make_sample
from exporting.tiny import random_inputs
from headstart import tasks
from headstart.exporting.formats import export_format
from headstart.exporting.metadata import export_metadata
from headstart.runtime.backends.onnx import OnnxBackend
from headstart.types import Geometry, Outputs

ONNX = export_format("onnx")


@pytest.fixture(scope="module", params=list(FIELDS))
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def opened(
    chromium: Browser, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Page, Path]]:
    """The page that runs files, and the folder that it is served."""
    folder = tmp_path_factory.mktemp("served")
    with serving(folder) as address:
        page = chromium.new_page()
        page.goto(f"{address}/pages/run.html")
        page.wait_for_function("window.ready")
        yield page, folder
        page.close()


def run_in_browser(
    opened: tuple[Page, Path], model: Path, batch: np.ndarray, threads: int
) -> dict[str, Any]:
    page, folder = opened
    (folder / "model.onnx").write_bytes(model.read_bytes())
    (folder / "batch.bin").write_bytes(batch.tobytes())
    found: dict[str, Any] = page.evaluate(
        "([shape, threads]) => runOnnx('/model.onnx', '/batch.bin', shape, threads)",
        [list(batch.shape), threads],
    )
    return found


def outputs_of(found: dict[str, Any]) -> Outputs:
    outputs = {}
    for name, tensor in found["outputs"].items():
        assert tensor["type"] == "float32"
        data = np.frombuffer(base64.b64decode(tensor["data"]), np.float32)
        outputs[name] = data.reshape(tensor["shape"])
    return outputs


@pytest.mark.parametrize("precision", list(ONNX.modules))
def test_the_same_answers_as_in_python(
    sample: Sample, opened: tuple[Page, Path], precision: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    ONNX.convert(
        sample.source, precision, path, export_metadata(sample.description, ONNX, precision)
    )
    batch = random_inputs(24, seed=2)
    outputs = outputs_of(run_in_browser(opened, path, batch, threads=2))
    expected = ONNX.open(path).run(batch)
    assert set(outputs) == set(expected)
    tolerance = {"fp32": 1e-4, "fp16": 5e-3}.get(precision)
    for name, values in expected.items():
        assert outputs[name].shape == values.shape
        if tolerance is not None:
            np.testing.assert_allclose(outputs[name], values, atol=tolerance, rtol=tolerance)
        # 8 bits: a sum that lies between two levels falls to either, by the order of additions.
        error = np.sqrt(np.mean((outputs[name] - values) ** 2))
        assert error < 0.1 * values.std(), (name, error, values.std())
    assert agreement(sample, outputs, expected) >= {"int8": 0.95}.get(precision, 0.99)


def agreement(sample: Sample, outputs: Outputs, expected: Outputs) -> float:
    """Mean agreement of answers, as ``export`` counts it."""
    description = sample.description
    spec = tasks.spec(description.task)
    count = len(next(iter(expected.values())))
    place: Callable[[], Geometry] = lambda: description.preprocess.place(  # noqa: E731
        description.preprocess.size
    )
    places = [place() for _ in range(count)]
    found, wanted = (
        spec.decode(given, description.schema, description.calibration, geometries=places)
        for given in (outputs, expected)
    )
    return float(np.mean([*map(spec.agreement, found, wanted)]))


def test_the_page_is_isolated_so_that_threads_work(
    sample: Sample, opened: tuple[Page, Path]
) -> None:
    batch = random_inputs(1, seed=3)
    path = sample.folder / "model.onnx"
    one, two = (run_in_browser(opened, path, batch, threads) for threads in (1, 2))
    assert two["isolated"]
    for name, values in OnnxBackend(sample.graph).run(batch).items():
        for found in (one, two):
            np.testing.assert_allclose(outputs_of(found)[name], values, atol=1e-4, rtol=1e-4)
