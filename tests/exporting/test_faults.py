"""Planted faults: each makes a good file answer differently, and each is refused.

They are judged by the trial and the verdict that ``export`` uses, through the file as written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from exporting.samples import Sample, make_sample
from headstart.exporting.formats import export_format
from headstart.exporting.graph import set_constant, set_metadata
from headstart.exporting.metadata import export_metadata
from headstart.exporting.trial import Candidate, try_files
from headstart.exporting.verdict import Verdict, judge
from headstart.progress import QuietProgress
from headstart.runtime.backends.onnx import OnnxBackend

ONNX = export_format("onnx")
Graph = onnx.ModelProto


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample("words", tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample("sets", tmp_path_factory.mktemp("sets"))


def before_input(graph: Graph, *nodes: onnx.NodeProto) -> None:
    """Puts nodes from ``image`` to ``changed`` before everything else."""
    for node in graph.graph.node:
        for at, name in enumerate(node.input):
            if name == "image":
                node.input[at] = "changed"
    for at, node in enumerate(nodes):
        graph.graph.node.insert(at, node)


def constant(graph: Graph, name: str, values: object, dtype: type) -> str:
    tensor = numpy_helper.from_array(np.array(values, dtype=dtype), name)
    graph.graph.initializer.append(tensor)
    return name


def after(graph: Graph, tensor: str, *nodes: onnx.NodeProto) -> None:
    """Puts nodes from ``tensor`` to ``changed`` behind the node that makes it."""
    at = 1 + next(n for n, node in enumerate(graph.graph.node) if tensor in node.output)
    for node in graph.graph.node[at:]:
        for place, name in enumerate(node.input):
            if name == tensor:
                node.input[place] = "changed"
    for offset, node in enumerate(nodes):
        graph.graph.node.insert(at + offset, node)


def as_float(graph: Graph) -> str:
    """The picture as float32, before it is normalised."""
    return next(node.output[0] for node in graph.graph.node if node.op_type == "Cast")


def swapped_channels(graph: Graph) -> None:
    order = constant(graph, "order", [2, 1, 0], np.int64)
    before_input(graph, helper.make_node("Gather", ["image", order], ["changed"], axis=3))


def mirrored(graph: Graph) -> None:
    order = constant(graph, "order", range(31, -1, -1), np.int64)
    before_input(graph, helper.make_node("Gather", ["image", order], ["changed"], axis=2))


def transposed_axes(graph: Graph) -> None:
    node = helper.make_node("Transpose", ["image"], ["changed"], perm=[0, 2, 1, 3])
    before_input(graph, node)


def wrong_layout(graph: Graph) -> None:
    """Takes (n, 3, h, w) as most exporters do."""
    for at, side in enumerate((3, 32, 32), start=1):
        graph.graph.input[0].type.tensor_type.shape.dim[at].dim_value = side
    node = helper.make_node("Transpose", ["image"], ["changed"], perm=[0, 2, 3, 1])
    before_input(graph, node)


def wrong_mean(graph: Graph) -> None:
    shift = constant(graph, "shift", [[[[0.0]], [[12.0]], [[-12.0]]]], np.float32)
    name = as_float(graph)
    after(graph, name, helper.make_node("Add", [name, shift], ["changed"]))


def wrong_range(graph: Graph) -> None:
    """Expects 0 to 1 and is given 0 to 255."""
    scale = constant(graph, "scale", 255.0, np.float32)
    name = as_float(graph)
    after(graph, name, helper.make_node("Mul", [name, scale], ["changed"]))


def doubled_normalisation(graph: Graph) -> None:
    """Divides by 255 what is then normalised from 0..255."""
    scale = constant(graph, "scale", 1 / 255, np.float32)
    name = as_float(graph)
    after(graph, name, helper.make_node("Mul", [name, scale], ["changed"]))


def stale_temperature(graph: Graph) -> None:
    set_constant(graph, "temperature", 1.0)


def missing_activation(graph: Graph) -> None:
    (node,) = (node for node in graph.graph.node if node.op_type == "Softmax")
    given, made = node.input[0], node.output[0]
    graph.graph.node.remove(node)
    graph.graph.node.append(helper.make_node("Identity", [given], [made]))


def swapped_outputs_of_classes(graph: Graph) -> None:
    """The classes of the graph, not of the metadata, in another order."""
    (node,) = (node for node in graph.graph.node if node.op_type == "Softmax")
    order = constant(graph, "order", [1, 2, 0], np.int64)
    made = node.output[0]
    node.output[0] = "unordered"
    graph.graph.node.append(helper.make_node("Gather", ["unordered", order], [made], axis=1))


def dropped_output(graph: Graph) -> None:
    (output,) = (output for output in graph.graph.output if output.name == "unknown_score")
    graph.graph.output.remove(output)


def zeroed_weights(graph: Graph) -> None:
    tensor = max(graph.graph.initializer, key=lambda found: np.prod(found.dims))
    values = numpy_helper.to_array(tensor).copy()
    values[len(values) // 2 :] = 0.0
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def not_finite(graph: Graph) -> None:
    set_constant(graph, "temperature", float("nan"))


def half_precision_input(graph: Graph) -> None:
    """Takes float32, as a converter that dropped the cast would leave it."""
    graph.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT


FAULTS: Sequence[Callable[[Graph], None]] = (
    *(swapped_channels, mirrored, transposed_axes, wrong_layout, wrong_mean, wrong_range),
    *(doubled_normalisation, stale_temperature, missing_activation, swapped_outputs_of_classes),
    *(dropped_output, zeroed_weights, not_finite, half_precision_input),
)


def verdict_of(
    sample: Sample,
    path: Path,
    change: Callable[[Graph], None] = lambda graph: None,
    precision: str = "fp32",
    written: Callable[[dict[str, object]], None] = lambda metadata: None,
) -> Verdict:
    """Writes a file with a fault and lets it be judged."""
    metadata = export_metadata(sample.description, ONNX, precision)
    graph = onnx.load_from_string(sample.graph)
    change(graph)
    claimed = export_metadata(sample.description, ONNX, precision)
    written(claimed)
    set_metadata(graph, claimed)
    path.write_bytes(graph.SerializeToString())
    return judge_file(sample, path, precision, metadata)


def judge_file(sample: Sample, path: Path, precision: str, metadata: dict[str, object]) -> Verdict:
    (trial,) = try_files(
        sample.description,
        OnnxBackend(sample.graph),
        [Candidate(ONNX, precision, path, metadata)],
        sample.records,
        QuietProgress(),
    )
    return judge(ONNX, precision, trial, tolerance=2.0)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_good_file_is_accepted(sample: Sample, tmp_path: Path, precision: str) -> None:
    found = verdict_of(sample, tmp_path / "model.onnx", precision=precision)
    assert found.judgement != "refused", found.reason


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_in_the_graph_is_refused(
    sample: Sample, tmp_path: Path, fault: Callable[[Graph], None], precision: str
) -> None:
    found = verdict_of(sample, tmp_path / "model.onnx", fault, precision)
    assert found.judgement == "refused"
    assert found.reason


def shuffled_labels(metadata: dict[str, object]) -> None:
    metadata["classes"] = list(reversed(metadata["classes"]))  # type: ignore[call-overload]


def wrong_resize(metadata: dict[str, object]) -> None:
    metadata["input"] = {**metadata["input"], "resize": "squash"}  # type: ignore[dict-item]


def wrong_thresholds(metadata: dict[str, object]) -> None:
    metadata["calibration"] = {"temperature": 1.5, "unknown_threshold": -2.0}


def missing_license(metadata: dict[str, object]) -> None:
    del metadata["weights"]


@pytest.mark.parametrize(
    ("fault", "key"),
    [
        (shuffled_labels, "classes"),
        (wrong_resize, "input"),
        (wrong_thresholds, "calibration"),
        (missing_license, "weights"),
    ],
)
def test_a_fault_in_the_metadata_is_refused_by_name(
    sample: Sample, tmp_path: Path, fault: Callable[[dict[str, object]], None], key: str
) -> None:
    found = verdict_of(sample, tmp_path / "model.onnx", written=fault)
    assert found.judgement == "refused"
    assert f"its metadata was changed on the way: {key};" in found.reason


def test_a_truncated_file_is_refused(sample: Sample, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(sample.graph[: len(sample.graph) // 2])
    found = judge_file(sample, path, "fp32", {})
    assert found.judgement == "refused"
    assert "onnxruntime cannot load" in found.reason


def test_other_labels_than_before_are_refused(labels: Sample, tmp_path: Path) -> None:
    """A threshold is no part of the graph: sets of labels differ where probabilities moved."""

    def squeezed(graph: Graph) -> None:
        (node,) = (node for node in graph.graph.node if node.op_type == "Sigmoid")
        made = node.output[0]
        node.output[0] = "whole"
        scale = constant(graph, "scale", 0.5, np.float32)
        graph.graph.node.append(helper.make_node("Mul", ["whole", scale], [made]))

    found = verdict_of(labels, tmp_path / "model.onnx", squeezed, "int8")
    assert found.judgement == "refused"
    assert "its answers agree with the reference by" in found.reason
