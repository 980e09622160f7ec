"""ONNX of the real architecture: agrees with torch, and anything else is refused."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from exporting.tiny import random_inputs
from headstart import tasks
from headstart.errors import ModelError
from headstart.exporting import verify as verify_module
from headstart.exporting.graph import Deployed, export_graph, set_constant, set_metadata
from headstart.exporting.verify import Decoding, verify
from headstart.models.backbones import load_backbone
from headstart.models.heads import PooledHead
from headstart.models.network import Network
from headstart.runtime.backends.onnx import OnnxBackend
from headstart.runtime.predictor import Input
from headstart.runtime.preprocess import Preprocess
from headstart.tasks.classification.spec import ClassSchema
from headstart.tasks.learning import HeadOptions

SIZE = (64, 64)
TEMPERATURE = 1.7
OUTPUTS = tasks.spec("classification").outputs
DECODING = Decoding("classification", ClassSchema(("ant", "bee", "wasp")), {})


@pytest.fixture(scope="module")
def whole() -> Deployed:
    """A pretrained backbone with a random head of 3 classes, and a temperature."""
    backbone = load_backbone("efficientnet_lite0")
    head = PooledHead(backbone.outputs, 3, HeadOptions(dropout=0.2))
    torch.manual_seed(0)
    nn.init.normal_(head.linear.weight, std=0.1)
    network = Network(backbone, head).eval()
    return Deployed(network, tasks.learner("classification").finish(head))


@pytest.fixture(scope="module")
def neutral(whole: Deployed) -> onnx.ModelProto:
    return export_graph(whole, OUTPUTS, SIZE)


@pytest.fixture
def graph(neutral: onnx.ModelProto) -> onnx.ModelProto:
    """With the temperature in it; a copy that a test may spoil."""
    changed = copy.deepcopy(neutral)
    set_constant(changed, "temperature", TEMPERATURE)
    return changed


@pytest.fixture(scope="module")
def reference(whole: Deployed) -> Deployed:
    warm = copy.deepcopy(whole)
    warm.finish.get_buffer("temperature").fill_(TEMPERATURE)
    return warm


def backend(graph: onnx.ModelProto) -> OnnxBackend:
    return OnnxBackend(graph.SerializeToString())


def pictures(count: int = 5) -> list[np.ndarray]:
    return list(random_inputs(count, SIZE))


def placed() -> list[Input]:
    return [Preprocess(SIZE).apply(pixels) for pixels in pictures()]


@pytest.mark.parametrize("count", [1, 5])
def test_the_graph_agrees_with_torch_for_any_batch(
    graph: onnx.ModelProto, reference: Deployed, count: int
) -> None:
    batch = np.stack(pictures(count))
    found = backend(graph).run(batch)
    with torch.inference_mode():
        expected = reference(torch.from_numpy(batch))
    assert list(found) == list(OUTPUTS)
    for name, tensor in zip(OUTPUTS, expected, strict=True):
        assert found[name].dtype == np.float32
        assert len(found[name]) == count
        np.testing.assert_allclose(found[name], tensor.numpy(), atol=2e-5, rtol=2e-5, err_msg=name)
    np.testing.assert_allclose(found["probabilities"].sum(axis=1), 1.0, atol=1e-5)


def test_the_input_is_uint8_rgb_nhwc_with_free_batch(graph: onnx.ModelProto) -> None:
    onnx.checker.check_model(graph)
    (entry,) = graph.graph.input
    tensor = entry.type.tensor_type
    assert entry.name == "image"
    assert tensor.elem_type == onnx.TensorProto.UINT8
    first, *others = tensor.shape.dim
    assert first.dim_param
    assert [side.dim_value for side in others] == [64, 64, 3]


def test_verify_accepts_the_graph_and_says_who_looked(
    graph: onnx.ModelProto, reference: Deployed
) -> None:
    found = verify(backend(graph), "onnxruntime", reference, DECODING, placed())
    assert found.to_json() == {
        "checked_by": "onnxruntime",
        "n_images": 5,
        "max_difference": found.max_difference,
        "answers": 1.0,
    }
    assert 0.0 <= found.max_difference < 1e-4


def test_verify_looks_at_every_batch(
    graph: onnx.ModelProto, reference: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the last picture is answered wrongly."""
    monkeypatch.setattr(verify_module, "BATCH", 2)
    true = backend(graph)
    calls = []

    class Wrong:
        def run(self, batch: np.ndarray) -> dict[str, np.ndarray]:
            calls.append(len(batch))
            found = dict(true.run(batch))
            if len(calls) == 3:
                found["unknown_score"] = found["unknown_score"] + 1
            return found

    with pytest.raises(ModelError, match=r"differs from the network by .* on 5 pictures"):
        verify(Wrong(), "test", reference, DECODING, placed())
    assert calls == [2, 2, 1]


@pytest.mark.parametrize(("tta", "axes"), [("horizontal", [(2,)]), ("both", [(2,), (1,), (1, 2)])])
def test_a_mean_over_mirror_images_is_part_of_the_graph(
    whole: Deployed, tta: str, axes: list[tuple[int, ...]]
) -> None:
    mirrored = Deployed(whole.network, whole.finish, tta)
    run = backend(export_graph(mirrored, OUTPUTS, SIZE)).run
    images = np.stack(pictures())
    answer = run(images)["probabilities"]
    views = [images, *(np.flip(images, turned) for turned in axes)]
    with torch.inference_mode():
        raw = [whole.network(torch.from_numpy(np.ascontiguousarray(view))) for view in views]
        expected = whole.finish(torch.stack(raw).mean(0))[0].numpy()
    np.testing.assert_allclose(answer, expected, atol=1e-5)
    plain = whole.finish(raw[0])[0].numpy()
    assert np.abs(answer - plain).max() > 0.01
    for view in views[1:]:
        np.testing.assert_allclose(
            run(np.ascontiguousarray(view))["probabilities"], answer, atol=1e-5
        )
    np.testing.assert_allclose(run(images[:1])["probabilities"], answer[:1], atol=1e-5)


def tamper_weights(graph: onnx.ModelProto) -> None:
    largest = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    values = numpy_helper.to_array(largest) * np.float32(1.05)
    largest.CopyFrom(numpy_helper.from_array(values, largest.name))


def tamper_channels(graph: onnx.ModelProto) -> None:
    """The first layer's weights for red and blue change places: BGR instead of RGB."""
    (first,) = [
        t
        for t in graph.graph.initializer
        if len(t.dims) == 4 and t.dims[1] == 3 and t.dims[0] == 32
    ]
    values = np.ascontiguousarray(numpy_helper.to_array(first)[:, ::-1])
    first.CopyFrom(numpy_helper.from_array(values, first.name))


def tamper_temperature(graph: onnx.ModelProto) -> None:
    set_constant(graph, "temperature", TEMPERATURE * 1.1)


def tamper_with_nan(graph: onnx.ModelProto) -> None:
    set_constant(graph, "temperature", float("nan"))


@pytest.mark.parametrize(
    "tamper", [tamper_weights, tamper_channels, tamper_temperature, tamper_with_nan]
)
def test_a_graph_that_answers_differently_is_refused(
    graph: onnx.ModelProto, reference: Deployed, tamper
) -> None:
    tamper(graph)
    message = r"the exported file differs from the network by .* on 5 pictures: it was not handed"
    with pytest.raises(ModelError, match=message):
        verify(backend(graph), "onnxruntime", reference, DECODING, placed())


def test_the_temperature_survives_as_a_constant(graph: onnx.ModelProto, whole: Deployed) -> None:
    """Neutral is 1, which an exporter would optimise away."""
    (constant,) = [t for t in graph.graph.initializer if t.name == "finish.temperature"]
    assert float(numpy_helper.to_array(constant)) == pytest.approx(TEMPERATURE)
    assert float(whole.finish.get_buffer("temperature")) == 1.0


def test_a_constant_that_was_not_kept_is_named(graph: onnx.ModelProto) -> None:
    with pytest.raises(ModelError, match=r"has no constant 'warmth' to calibrate"):
        set_constant(graph, "warmth", 1.0)


def test_metadata_is_text_or_json(graph: onnx.ModelProto) -> None:
    set_metadata(graph, {"task": "classification", "classes": ["ä", "b"]})
    assert {p.key: p.value for p in graph.metadata_props} == {
        "headstart.task": "classification",
        "headstart.classes": '["ä", "b"]',
    }


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(ModelError, match=r"onnxruntime cannot load the graph: "):
        OnnxBackend(b"not a graph")
