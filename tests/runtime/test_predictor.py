"""A model folder that answers; its graph is written by hand, so that answers can be worked out."""

from __future__ import annotations

import dataclasses
import hashlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import ExifTags, Image

from headstart.errors import ConfigError, ModelError, UnreadableImageError
from headstart.runtime import model_folder
from headstart.runtime.backends import openvino
from headstart.runtime.backends.onnx import OnnxBackend
from headstart.runtime.model_folder import ModelDescription, read_description
from headstart.runtime.predictor import Model, load_input, run_paths
from headstart.runtime.preprocess import Preprocess
from headstart.storage import read_json, write_bytes, write_json
from headstart.tasks.classification.spec import ClassSchema
from headstart.types import ImageArray, Outputs
from pictures import write_picture

PREPROCESS = Preprocess((32, 32))


def graph() -> bytes:
    """Logits are the mean of each colour over 25.5, so 0 to 10."""
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float", "axes"], ["mean"], keepdims=0),
        helper.make_node("Div", ["mean", "unit"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("ReduceMax", ["logits", "last"], ["unknown_score"], keepdims=0),
    ]
    constants = [
        helper.make_tensor("axes", TensorProto.INT64, [2], [1, 2]),
        helper.make_tensor("last", TensorProto.INT64, [1], [1]),
        helper.make_tensor("unit", TensorProto.FLOAT, [], [25.5]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", 32, 32, 3])
    outputs = [
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 3]),
        helper.make_tensor_value_info("unknown_score", TensorProto.FLOAT, ["n"]),
    ]
    made = helper.make_graph(nodes, "colours", [image], outputs, constants)
    opset = helper.make_opsetid("", 20)
    content: bytes = helper.make_model(
        made, opset_imports=[opset], ir_version=onnx.IR_VERSION_2023_5_5
    ).SerializeToString()
    return content


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    content = graph()
    description = ModelDescription(
        task="classification",
        schema=ClassSchema(("red", "green", "blue")),
        preprocess=PREPROCESS,
        calibration={"unknown_threshold": 4.0},
        backbone="none",
        head="linear",
        outputs=("probabilities", "unknown_score"),
        seen={"train": ("f1", "f2"), "val": ("f3",)},
        files={model_folder.GRAPH: hashlib.sha256(content).hexdigest()},
        details={"licence": "none"},
    )
    write_json(tmp_path / "model" / "model.json", description.to_json())
    write_bytes(tmp_path / "model" / "model.onnx", content)
    return tmp_path / "model"


def flat(*colour: int) -> ImageArray:
    return np.full((32, 32, 3), colour, np.uint8)


def test_the_description_comes_back(folder: Path) -> None:
    found = read_description(folder)
    assert found.schema == ClassSchema(("red", "green", "blue"))
    assert found.preprocess == PREPROCESS
    assert found.seen == {"train": ("f1", "f2"), "val": ("f3",)}
    assert found.details["licence"] == "none"
    assert dataclasses.replace(found).to_json() == read_json(folder / "model.json")


def test_an_answer_worked_out_by_hand(folder: Path) -> None:
    prediction: Any = Model(folder).predict(flat(0, 255, 51))
    # Logits 0, 10, 2: the softmax is e^10 / (1 + e^10 + e^2) and so on.
    total = 1 + np.exp(10) + np.exp(2)
    assert list(prediction.scores) == ["green", "blue", "red"]
    assert list(prediction.scores.values()) == pytest.approx(
        [np.exp(10) / total, np.exp(2) / total, 1 / total], rel=1e-4
    )
    assert (prediction.label, prediction.unknown) == ("green", False)
    assert prediction.unknown_score == pytest.approx(10)
    grey: Any = Model(folder).predict(flat(60, 60, 60), top_k=2)
    assert (len(grey.scores), grey.unknown) == (2, True)


def test_bfloat16_runs_where_the_model_lists_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The processor of a test may have none: the engine stands in."""
    with pytest.raises(ModelError, match=r"does not list bf16 as verified.* leave --precision out"):
        Model(folder, precision="bf16")
    with pytest.raises(ConfigError, match=r"--precision must be fp32 or bf16, got 'int8'"):
        Model(folder, precision="int8")
    found = read_json(folder / "model.json")
    write_json(folder / "model.json", {**found, "verified": {"bf16": {"answers": 1.0}}})
    opened = []

    class Engine(OnnxBackend):
        def __init__(self, graph: bytes, threads: int, *, bfloat16: bool) -> None:
            super().__init__(graph, threads)
            opened.append((threads, bfloat16))

    monkeypatch.setattr(openvino, "OpenVinoBackend", Engine)
    answer: Any = Model(folder, threads=1, precision="bf16").predict(flat(0, 255, 51))
    assert answer.label == "green"
    assert opened == [(1, True)]


@pytest.mark.parametrize("batch_size", [1, 2, 3, 16])
def test_answers_keep_the_order_and_unreadable_ones_their_place(
    folder: Path, batch_size: int
) -> None:
    images = [
        ("one", flat(255, 0, 0)),
        ("text", b"no picture"),
        ("lost", Path("nowhere.png")),
        ("two", flat(0, 0, 255)),
        ("three", flat(0, 255, 0)),
    ]
    answers = list(Model(folder).predict_many(iter(images), batch_size=batch_size, top_k=1))
    found = [answer.to_json() for answer in answers]
    assert [(entry["image"], entry.get("label"), entry.get("error")) for entry in found] == [
        ("one", "red", None),
        ("text", None, "cannot be decoded (not a picture of a known format)"),
        ("lost", None, "the file does not exist"),
        ("two", "blue", None),
        ("three", "green", None),
    ]
    assert "error" not in found[0]
    assert found[0]["task"] == "classification"
    assert list(Model(folder).predict_many([])) == []


def test_scoring_files_does_not_depend_on_the_batch(tmp_path: Path) -> None:
    paths = [write_picture(tmp_path / f"{at}.png", flat(at * 40, 9, 9)) for at in range(5)]
    pictures = [(path, None) for path in paths]
    backend = OnnxBackend(graph())
    batches = list(run_paths(backend, pictures, PREPROCESS, batch_size=2))
    assert [len(geometries) for _, geometries in batches] == [2, 2, 1]
    assert {geometry.original for _, found in batches for geometry in found} == {(32, 32)}
    found = {
        name: np.concatenate([outputs[name] for outputs, _ in batches])
        for name in ("unknown_score", "probabilities")
    }
    assert found["unknown_score"] == pytest.approx(
        [9 / 25.5, 40 / 25.5, 80 / 25.5, 120 / 25.5, 160 / 25.5]
    )
    ((together, _),) = run_paths(backend, pictures, PREPROCESS)
    np.testing.assert_allclose(together["probabilities"], found["probabilities"], rtol=1e-6)
    paths[3].write_bytes(b"")
    with pytest.raises(UnreadableImageError, match=r"3\.png cannot be decoded"):
        list(run_paths(backend, pictures, PREPROCESS))


def test_two_batches_are_run_at_once_and_answered_in_order(tmp_path: Path) -> None:
    """The first batch ends only after the second one has begun."""
    paths = [write_picture(tmp_path / f"{at}.png", flat(at * 40, 9, 9)) for at in range(5)]
    second = threading.Event()

    class Waiting(OnnxBackend):
        def run(self, batch: ImageArray) -> Outputs:
            first = batch[0, 0, 0, 0] == 0
            assert second.wait(20.0) if first else second.set() is None
            return super().run(batch)

    batches = run_paths(Waiting(graph()), [(p, None) for p in paths], PREPROCESS, batch_size=2)
    found = np.concatenate([outputs["unknown_score"] for outputs, _ in batches])
    assert found == pytest.approx([9 / 25.5, 40 / 25.5, 80 / 25.5, 120 / 25.5, 160 / 25.5])


def test_with_a_number_of_threads_one_batch_runs_at_a_time() -> None:
    backend = OnnxBackend(graph(), 1)
    session, running = backend._session, []

    class Watched:
        def run(self, *given: Any) -> Any:
            running.append(1)
            assert len(running) == 1
            time.sleep(0.02)
            running.clear()
            return session.run(*given)

    backend._session = Watched()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(backend.run, 4 * [flat(255, 0, 0)[None]]))
    assert [outputs["unknown_score"] for outputs in found] == 4 * [pytest.approx([10.0])]


def test_the_input_has_the_size_and_white_of_the_model() -> None:
    deep = Preprocess((32, 48), "squash", 1000)
    assert load_input(flat(1, 2, 3), deep)[0].shape == (32, 48, 3)


def test_the_geometry_of_a_jpeg_that_is_decoded_smaller_is_that_of_the_file(
    tmp_path: Path,
) -> None:
    """By hand: 800 x 600 upright in 64 x 64 is 64 x 48, with bars of 8 above and below."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    path = tmp_path / "turned.jpg"
    Image.new("RGB", (600, 800)).save(path, exif=exif)
    for source in (path, str(path), path.read_bytes()):
        _, geometry = load_input(source, Preprocess((64, 64)))
        assert geometry.original == (600, 800)
        assert geometry.offset == (8.0, 0.0)
        assert geometry.scale == pytest.approx((0.08, 0.08))


def damaged(**changes: Any) -> Any:
    def change(folder: Path) -> None:
        write_json(folder / "model.json", {**read_json(folder / "model.json"), **changes})

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda folder: (folder / "model.json").unlink(),
            r"model is not a model folder: model\.json is missing$",
        ),
        (
            damaged(schema_version=99),
            r"model\.json has schema version 99, this headstart reads 1: update headstart",
        ),
        (damaged(input={}), r"model\.json cannot be read: KeyError: 'resize'"),
        (
            damaged(task="juggling"),
            r"model\.json cannot be read: ConfigError: task must be one of .*, got 'juggling'",
        ),
        (
            lambda folder: (folder / "model.json").write_text("{", encoding="utf-8"),
            r"model\.json cannot be read: JSONDecodeError: ",
        ),
        (
            lambda folder: (folder / "model.onnx").unlink(),
            r"model\.onnx cannot be read: No such file or directory",
        ),
        (
            lambda folder: (folder / "model.onnx").write_bytes(b"other"),
            r"model\.onnx was altered: its SHA-256 is not the one in model\.json",
        ),
    ],
)
def test_a_folder_that_is_not_whole_is_refused(folder: Path, damage: Any, message: str) -> None:
    damage(folder)
    with pytest.raises(ModelError, match=message):
        Model(folder)


def test_the_folder_of_a_run_hints_at_its_model(folder: Path) -> None:
    with pytest.raises(ModelError, match=r"model\.json is missing; did you mean .*model\?"):
        Model(folder.parent)


def test_what_is_no_graph_is_refused() -> None:
    with pytest.raises(ModelError, match="onnxruntime cannot load the graph: "):
        OnnxBackend(b"no graph")


def test_sums_of_products_in_8_bits_do_not_overflow() -> None:
    """By hand: 27 products of 255 and 127 are 874,395, in units of 8,000 about 109.3.

    Fails without the option of the engine on x86 processors without VNNI, and on no others.
    """
    values = {
        "weights": np.full((2, 3, 3, 3), 127, np.int8),
        "one": np.float32(1),
        "unit": np.float32(8000),
        "zero": np.uint8(0),
        "middle": np.int8(0),
    }
    nodes = [
        helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node(
            "QLinearConv",
            ["planes", "one", "zero", "weights", "one", "middle", "unit", "zero"],
            ["sums"],
        ),
    ]
    whole = helper.make_graph(
        nodes,
        "sums",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", 4, 4, 3])],
        [helper.make_tensor_value_info("sums", TensorProto.UINT8, ["n", 2, 2, 2])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    opset = [helper.make_opsetid("", 20)]
    model = helper.make_model(whole, opset_imports=opset, ir_version=10)
    white = np.full((1, 4, 4, 3), 255, np.uint8)
    found = OnnxBackend(model.SerializeToString()).run(white)
    assert np.unique(found["sums"]).tolist() == [109]
