"""What every export format must do, for every task and precision; formats are found by listing."""

from __future__ import annotations

import contextlib
import importlib.util
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from architecture.sources import ROOT
from exporting.samples import FIELDS, Sample, make_sample
from exporting.tiny import random_inputs
from headstart import tasks
from headstart.errors import ModelError
from headstart.exporting.formats import export_format, format_names
from headstart.exporting.formats.protocol import CALIBRATED, REFERENCE_PRECISION
from headstart.exporting.metadata import export_metadata
from headstart.exporting.trial import Candidate, Trial, try_files
from headstart.exporting.verdict import floor_of, judge
from headstart.progress import QuietProgress
from headstart.runtime.backends import Backend
from headstart.runtime.backends.onnx import OnnxBackend
from headstart.runtime.backends.openvino import MissingProcessorError

PAIRS = [(name, precision) for name in format_names() for precision in export_format(name).modules]


def missing(name: str, precision: str) -> list[str]:
    modules = export_format(name).modules[precision]
    return [module for module in modules if importlib.util.find_spec(module) is None]


@pytest.fixture(scope="module", params=list(FIELDS))
def sample(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample(request.param, tmp_path_factory.mktemp(request.param))


def test_there_are_formats_and_all_tasks_have_a_sample(
    tmp_path: Path,
) -> None:
    assert "onnx" in format_names()
    claimed = {
        max(tasks.task_names(), key=lambda name: tasks.spec(name).claims(fields))
        for fields in FIELDS.values()
    }
    assert claimed == set(tasks.task_names())


@pytest.mark.parametrize("name", format_names())
def test_a_format_says_what_it_is(name: str) -> None:
    found = export_format(name)
    assert found.name == name
    assert found.suffix.startswith(".")
    assert next(iter(found.modules)) == REFERENCE_PRECISION
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert found.extra in extras["optional-dependencies"]
    others = [export_format(other).suffix for other in format_names() if other != name]
    assert found.suffix not in others


def test_an_unknown_format_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        export_format("protocol")


@pytest.mark.parametrize(("name", "precision"), PAIRS)
def test_a_file_runs_agrees_and_carries_its_metadata(
    sample: Sample, name: str, precision: str, tmp_path: Path
) -> None:
    if missing(name, precision):
        pytest.skip(f"not installed: {missing(name, precision)}")
    found = export_format(name)
    metadata = export_metadata(sample.description, found, precision)
    path = tmp_path / f"model{found.suffix}"
    found.convert(sample.source, precision, path, metadata)
    candidate = Candidate(found, precision, path, metadata)
    assert all(file.is_file() for file in candidate.files)
    assert found.metadata(path) == metadata
    assert found.checked_by.split()[1][0].isdigit()
    reference = OnnxBackend(sample.graph)
    (trial,) = try_files(
        sample.description, reference, [candidate], sample.records, QuietProgress()
    )
    verdict = judge(found, precision, trial, tolerance=100.0)
    backend: Backend | None = None
    with contextlib.suppress(MissingProcessorError):
        backend = found.open(path)
    if backend is None:
        assert verdict.judgement == "not checked"
        assert "processor" in verdict.reason
        return
    for count in (1, 5):
        batch = random_inputs(count, seed=count)
        outputs, expected = backend.run(batch), reference.run(batch)
        assert set(outputs) == set(sample.description.outputs)
        for output, values in outputs.items():
            assert values.dtype == np.float32
            assert values.shape == expected[output].shape
    if precision == CALIBRATED:
        # Whether answers of random weights survive 8 bits is chance; that outputs follow is not.
        assert largest_error(backend, reference) < 0.35
    else:
        assert verdict.judgement != "refused", (verdict.reason, trial)
        assert trial.agreement >= floor_of(precision)
    assert trial.n == len(sample.records)
    assert set(trial.drops) == {"val", "test"}
    assert trial.latency_ms is not None
    assert trial.size_bytes == sum(file.stat().st_size for file in candidate.files)


def largest_error(backend: Backend, reference: Backend) -> float:
    """Root mean square of the differences, as a share of the spread; of the worst output."""
    batch = random_inputs(48, seed=1)
    outputs = backend.run(batch)
    return max(
        float(np.sqrt(np.mean((outputs[name] - values) ** 2)) / values.std())
        for name, values in reference.run(batch).items()
    )


@pytest.mark.parametrize("name", format_names())
def test_golden_inputs_give_the_expected_outputs(sample: Sample, name: str, tmp_path: Path) -> None:
    if missing(name, REFERENCE_PRECISION):
        pytest.skip(f"not installed: {missing(name, REFERENCE_PRECISION)}")
    found = export_format(name)
    path = tmp_path / f"model{found.suffix}"
    metadata = export_metadata(sample.description, found, REFERENCE_PRECISION)
    found.convert(sample.source, REFERENCE_PRECISION, path, metadata)
    inputs = sorted((sample.folder / "golden").glob("input-*.png"))
    assert len(inputs) == 3
    batches = [np.asarray(Image.open(file))[None] for file in inputs]
    reference, backend = OnnxBackend(sample.graph), found.open(path)
    with ThreadPoolExecutor(2) as pool:
        # At once, as bulk prediction runs them.
        answers = list(pool.map(backend.run, 5 * batches))
    for batch, outputs in zip(5 * batches, answers, strict=True):
        expected = reference.run(batch)
        for output, values in outputs.items():
            np.testing.assert_allclose(values, expected[output], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("name", format_names())
def test_a_file_that_is_none_is_refused(sample: Sample, name: str, tmp_path: Path) -> None:
    if missing(name, REFERENCE_PRECISION):
        pytest.skip(f"not installed: {missing(name, REFERENCE_PRECISION)}")
    found = export_format(name)
    path = tmp_path / f"model{found.suffix}"
    path.write_bytes(b"no model")
    with pytest.raises(ModelError):
        found.metadata(path)
    (trial,) = try_files(
        sample.description,
        OnnxBackend(sample.graph),
        [Candidate(found, "fp32", path, {})],
        sample.records[:2],
        QuietProgress(),
    )
    assert isinstance(trial, Trial)
    assert judge(found, "fp32", trial, 0.5).judgement == "refused"


def test_the_network_is_built_again_from_its_weights(sample: Sample) -> None:
    """What formats other than ONNX convert gives the same outputs as ``model.onnx``."""
    batch = random_inputs(4, seed=9)
    with torch.inference_mode():
        found = sample.rebuilt()(torch.from_numpy(batch))
    expected = OnnxBackend(sample.graph).run(batch)
    for name, tensor in zip(sample.description.outputs, found, strict=True):
        np.testing.assert_allclose(tensor.numpy(), expected[name], atol=2e-4, rtol=2e-4)


def test_weights_of_another_network_are_refused(sample: Sample) -> None:
    state = {"head.nothing": torch.zeros(1)}
    from exporting.tiny import tiny_backbone
    from headstart.exporting.rebuild import with_state

    with pytest.raises(ModelError, match=r"^w does not fit the network of tiny for"):
        with_state(tiny_backbone(depth=6), state, sample.description, "w")
