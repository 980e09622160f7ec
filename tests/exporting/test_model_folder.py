"""The model folder: complete, checked when it is read, understandable without headstart."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from PIL import Image
from safetensors.numpy import load_file

import headstart
from exporting.tiny import TINY_SIZE, tiny_network, write_tiny_model
from headstart.errors import ModelError
from headstart.exporting import bundle
from headstart.runtime.model_folder import checked_bytes, read_description
from headstart.tasks.classification.spec import ClassSchema

SCHEMA = ClassSchema(("ant", "bee", "wasp"))
CALIBRATION = {"temperature": 1.5, "unknown_threshold": -1.0}
SEEN = {"train": ("0" * 32,), "val": ("1" * 32,)}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "model"
    write_tiny_model(
        folder, "classification", SCHEMA, [0, 1, 2], calibration=CALIBRATION, seen=SEEN
    )
    return folder


@pytest.fixture
def model(written: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(written, tmp_path / "run" / "model"))


def change(model: Path, **entries: object) -> None:
    path = model / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def test_every_file_is_listed_with_its_hash(written: Path) -> None:
    files = json.loads((written / "model.json").read_text())["files"]
    present = {
        path.relative_to(written).as_posix() for path in written.rglob("*") if path.is_file()
    }
    assert present - {"model.json"} == files.keys()
    assert {"model.onnx", "weights.safetensors", "card.md", "golden/expected.json"} < files.keys()
    for name, digest in files.items():
        assert hashlib.sha256((written / name).read_bytes()).hexdigest() == digest


def test_the_description_is_read_as_it_was_written(written: Path) -> None:
    found = read_description(written)
    assert found.schema == SCHEMA
    assert found.calibration == CALIBRATION
    assert found.seen == SEEN
    assert found.preprocess.size == TINY_SIZE
    assert found.backbone == "tiny"
    assert found.to_json() == json.loads((written / "model.json").read_text())


def test_the_model_answers(written: Path) -> None:
    answer = headstart.load_model(written).predict(written / "golden" / "input-0.png")
    assert answer.to_json()["label"] in SCHEMA.classes


def test_golden_examples_hold_with_onnxruntime_alone(written: Path) -> None:
    """What a developer for another platform does, with nothing of ours."""
    session = onnxruntime.InferenceSession(written / "model.onnx")
    content = json.loads((written / "golden" / "expected.json").read_text())
    assert len(content["examples"]) == 3
    answers = []
    for example in content["examples"]:
        image = np.asarray(Image.open(written / "golden" / example["input"]))
        names = list(example["outputs"])
        found = session.run(names, {"image": image[None]})
        for name, values in zip(names, found, strict=True):
            expected = np.array(example["outputs"][name])
            np.testing.assert_allclose(values[0], expected, atol=content["tolerance"])
        answers.append(example["outputs"]["probabilities"])
    assert len({tuple(answer) for answer in answers}) == 3


def test_the_weights_are_the_networks(written: Path) -> None:
    state = tiny_network("classification", SCHEMA, [0, 1, 2]).state_dict()
    stored = load_file(written / "weights.safetensors")
    assert state.keys() == stored.keys()
    assert all(np.array_equal(stored[name], tensor.numpy()) for name, tensor in state.items())


def test_nothing_is_pickled(written: Path) -> None:
    files = [path for path in written.rglob("*") if path.is_file()]
    assert files
    for path in files:
        content = path.read_bytes()
        # A zip is what torch.save writes, \x80 and a protocol number begin a pickle.
        assert not content.startswith(b"PK\x03\x04"), path
        assert not (content[:1] == b"\x80" and content[1:2] <= b"\x05"), path


def test_the_graph_carries_what_is_needed_to_use_it(written: Path) -> None:
    entries = {p.key: p.value for p in onnx.load(written / "model.onnx").metadata_props}
    assert entries["headstart.task"] == "classification"
    assert json.loads(entries["headstart.classes"]) == list(SCHEMA.classes)
    assert json.loads(entries["headstart.calibration"]) == CALIBRATION
    assert json.loads(entries["headstart.input"])["resize"] == "letterbox"
    assert json.loads(entries["headstart.weights"])["license"] == "none"
    # Fingerprints of the pictures belong to the folder, not into every copy of the file.
    assert "headstart.seen" not in entries


def test_an_altered_file_is_refused_by_name(model: Path) -> None:
    content = bytearray((model / "model.onnx").read_bytes())
    content[-1] ^= 1
    (model / "model.onnx").write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.onnx was altered: its SHA-256 is not the one"):
        headstart.load_model(model)


def test_every_listed_file_can_be_checked(model: Path) -> None:
    description = read_description(model)
    assert checked_bytes(model, description, "card.md").startswith(b"# model")
    (model / "card.md").write_text("nothing")
    with pytest.raises(ModelError, match=r"card\.md was altered"):
        checked_bytes(model, description, "card.md")


def test_a_missing_file_is_named(model: Path) -> None:
    (model / "model.onnx").unlink()
    with pytest.raises(ModelError, match=r"model\.onnx cannot be read: No such file"):
        headstart.load_model(model)


def test_a_newer_version_asks_for_an_update(model: Path) -> None:
    change(model, schema_version=99)
    with pytest.raises(ModelError, match=r"schema version 99, this headstart reads 1: update"):
        headstart.load_model(model)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"task": "divination"}, r"model\.json cannot be read: .*got 'divination'"),
        ({"classes": None}, r"model\.json cannot be read: TypeError"),
        ({"seen": []}, r"model\.json cannot be read: AttributeError"),
        ({"input": {"resize": "fold"}}, r"unknown resize rule .*fold"),
    ],
)
def test_a_damaged_description_is_refused(
    model: Path, entries: dict[str, object], message: str
) -> None:
    change(model, **entries)
    with pytest.raises(ModelError, match=message):
        headstart.load_model(model)


def test_text_that_is_no_json_is_refused(model: Path) -> None:
    (model / "model.json").write_text("{")
    with pytest.raises(ModelError, match=r"model\.json cannot be read: JSONDecodeError"):
        headstart.load_model(model)
    (model / "model.json").write_text("[]")
    with pytest.raises(ModelError, match=r"model\.json cannot be read: TypeError"):
        headstart.load_model(model)


def test_the_folder_above_is_recognised(model: Path) -> None:
    message = r"is not a model folder: model\.json is missing; did you mean .*run/model\?"
    with pytest.raises(ModelError, match=message):
        headstart.load_model(model.parent)


def test_any_other_folder_is_refused_without_a_guess(tmp_path: Path) -> None:
    for wrong in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(ModelError) as caught:
            headstart.load_model(wrong)
        assert str(caught.value) == f"{wrong} is not a model folder: model.json is missing"


def test_a_folder_is_replaced_as_a_whole(model: Path) -> None:
    (model / "old.txt").write_text("of an earlier attempt")
    (model.with_name(".model.building")).mkdir()
    (model.with_name(".model.building") / "half").write_text("killed here")
    write_tiny_model(model, "classification", SCHEMA, [0, 1, 2])
    assert not (model / "old.txt").exists()
    assert not (model / "half").exists()
    assert [path.name for path in model.parent.iterdir()] == ["model"]


def test_a_kill_while_writing_leaves_the_old_folder(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (model / "model.json").read_bytes()

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bundle, "_write_golden", killed)
    with pytest.raises(KeyboardInterrupt):
        write_tiny_model(model, "classification", SCHEMA, [0, 1, 2])
    assert (model / "model.json").read_bytes() == before
    headstart.load_model(model)
