"""``headstart export``: what is handed over, what is refused, and mistakes in one sentence."""

from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import headstart
from exporting.tiny import tiny_backbone, write_tiny_model
from headstart.cli.main import run
from headstart.data.fingerprints import fingerprint
from headstart.errors import ConfigError, DataError
from headstart.exporting.formats import export_format
from headstart.exporting.formats.protocol import Source
from headstart.models.backbones import Backbone
from headstart.tasks.classification.spec import ClassSchema
from pictures import KINDS, write_class_folders

KEYS = [
    *("format", "precision", "path", "size_bytes", "agreement", "metric", "value", "reference"),
    *("latency_ms", "verdict", "checked_by", "reason"),
]

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_class_folders(tmp_path / "photos", 30)


def write_model(folder: Path, seen: Mapping[str, tuple[str, ...]] | None = None) -> Path:
    schema, calibration = ClassSchema(KINDS), {"temperature": 1.5, "unknown_threshold": -99.0}
    targets = [0, 1, 2]
    write_tiny_model(folder, "classification", schema, targets, calibration=calibration, seen=seen)
    return folder


@pytest.fixture(autouse=True)
def _tiny_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The backbone of the models here is none that has a name."""

    def load_backbones(names: Sequence[str], **_: object) -> Backbone:
        assert list(names) == ["tiny"]
        return tiny_backbone(depth=6)

    monkeypatch.setattr("headstart.exporting.rebuild.load_backbones", load_backbones)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


@pytest.fixture
def run_model(tmp_path: Path, photos: Path) -> Path:
    """In a run folder, which names the pictures and their sides."""
    files = sorted(photos.rglob("*.*"))
    sides = {file: ("train", "val", "test")[at % 3] for at, file in enumerate(files)}
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "config.yaml").write_text(f"data: {photos}\ntask: classification\n")
    with (folder / "splits.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "fingerprint", "group", "split"))
        for path, side in sides.items():
            image = path.relative_to(photos).as_posix()
            writer.writerow((image, fingerprint(path.read_bytes()), "", side))
    seen = {
        side: tuple(
            fingerprint(path.read_bytes()) for path, where in sides.items() if where == side
        )
        for side in ("train", "val")
    }
    return write_model(folder / "model", seen)


def export(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        run(["export", *map(str, arguments)])
    return int(caught.value.code or 0)


def spoiled(self: Any, source: Source, precision: str, path: Path, metadata: Any) -> None:
    """Converts to a file with other weights."""
    graph = onnx.load_from_string(source.graph)
    tensor = max(graph.graph.initializer, key=lambda found: np.prod(found.dims))
    values = -numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    path.write_bytes(graph.SerializeToString())


def test_each_line_has_the_promised_keys_and_the_files_are_there(
    run_model: Path, capsys: Captured
) -> None:
    assert export(run_model, "--json", "--tolerance", 5) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["format"], line["precision"]) for line in lines] == [
        ("onnx", "fp32"),
        ("onnx", "fp16"),
        ("onnx", "int8"),
    ]
    out = run_model.parent / "exported"
    for line in lines:
        assert list(line)[: len(KEYS)] == KEYS
        assert line["verdict"] in ("ok", "weak evidence"), line["reason"]
        assert Path(line["path"]) == out / f"model-{line['precision']}.onnx"
        assert Path(line["path"]).stat().st_size == line["size_bytes"]
        assert line["metric"] == "accuracy"
        assert line["split"] == "test"
        assert {side: found["n_images"] for side, found in line["drops"].items()} == {
            "val": 30,
            "test": 30,
        }
        assert line["n_images"] == 90
        assert [cost["n_images"] for cost in line["resizers"]] == [60] * 4
    assert lines[0]["agreement"] == 1.0
    assert lines[0]["value"] == lines[0]["reference"]
    assert not list(run_model.parent.glob(".*"))


def test_the_folder_describes_its_files(run_model: Path) -> None:
    result = headstart.export(run_model, precision="fp32", tolerance=5)
    content = json.loads((result.out / "model.json").read_text())
    (entry,) = content["exports"]
    assert entry["path"] == "model-fp32.onnx"
    assert entry["verdict"] == "ok"
    assert {"model-fp32.onnx", "golden/expected.json", "golden/input-0.png"} <= set(
        content["files"]
    )
    headstart.export(run_model, precision=["fp16"], tolerance=5)
    content = json.loads((result.out / "model.json").read_text())
    assert [entry["path"] for entry in content["exports"]] == [
        "model-fp32.onnx",
        "model-fp16.onnx",
    ]


def test_a_refused_file_leaves_nothing_behind(
    run_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    assert export(run_model, "--precision", "fp32") == 0
    out = run_model.parent / "exported"
    assert (out / "model-fp32.onnx").is_file()
    monkeypatch.setattr(type(export_format("onnx")), "convert", spoiled)
    capsys.readouterr()
    assert export(run_model, "--precision", "fp32") == 1
    printed = capsys.readouterr().out
    assert "onnx fp32: refused: " in printed, printed
    assert not (out / "model-fp32.onnx").exists()
    assert json.loads((out / "model.json").read_text())["exports"] == []


def test_what_cannot_be_converted_is_refused_with_the_reason(
    run_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: object) -> None:
        raise RuntimeError("no such operation\nand more")

    monkeypatch.setattr(type(export_format("onnx")), "convert", fails)
    result = headstart.export(run_model, precision="fp16")
    assert result.refused
    assert result.rows[0].verdict.reason == (
        "it cannot be converted: no such operation; the next best is --precision fp32"
    )
    assert not result.out.exists()


def test_the_table_names_what_it_shows(run_model: Path, capsys: Captured) -> None:
    assert export(run_model, "--precision", "fp32") == 0
    printed = capsys.readouterr().out
    for word in ("agreement", "latency", "verdict", "nearest", "bilinear", "exported"):
        assert word in printed


def test_all_mistakes_are_named_at_once(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    present = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "onnx" else present(name, *a)
    )
    with pytest.raises(ConfigError) as caught:
        headstart.export(model, to="onx,onnx", precision="fp32,int9", tolerance=0)
    first, second, third, fourth = caught.value.problems
    assert first.startswith("--to must be among ")
    assert first.endswith("got 'onx'; did you mean onnx?")
    assert "got 'int9'; did you mean int8?" in second
    assert third == (
        "--to onnx needs the extra 'train' (not installed: onnx): pip install \"headstart[train]\""
    )
    assert fourth == "`--tolerance` must be above 0 percentage points, got 0"


def test_a_precision_that_none_has_is_named(model: Path) -> None:
    with pytest.raises(ConfigError, match="--precision bf16 is offered by none of --to: onnx has"):
        headstart.export(model, to="onnx", precision="bf16")


def test_no_pictures_names_the_command(model: Path) -> None:
    with pytest.raises(DataError, match=r"say which with: headstart export .*model --data"):
        headstart.export(model)


def test_no_pictures_for_the_ranges_names_the_command(model: Path, tmp_path: Path) -> None:
    photos = write_class_folders(tmp_path / "held" / "test", 4).parent
    with pytest.raises(DataError, match=r"int8 needs training pictures for its ranges.*--data"):
        headstart.export(model, precision="fp32,int8", data=photos)


def test_moved_pictures_name_the_option(run_model: Path, photos: Path) -> None:
    photos.rename(photos.with_name("elsewhere"))
    with pytest.raises(DataError, match=r"pictures of the run cannot be read .* with --data"):
        headstart.export(run_model)


def test_pictures_without_labels_are_good_for_agreement(model: Path, tmp_path: Path) -> None:
    photos = write_class_folders(tmp_path / "photos", 2)
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, file in enumerate(sorted(photos.rglob("*.*"))):
        file.rename(flat / f"{number}{file.suffix}")
    result = headstart.export(model, data=flat, out=tmp_path / "out")
    fp32, fp16, _ = result.rows
    assert fp32.verdict.judgement == "ok"
    assert fp32.trial.n == 6
    assert not fp32.trial.drops
    assert "n = 0 labelled validation pictures" in fp16.verdict.reason
    assert not result.resizers


def test_new_pictures_choose_and_report_in_halves(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    result = headstart.export(model, data=photos, out=tmp_path / "out", precision="fp32")
    drops = result.rows[0].trial.drops
    assert drops["val"].n + drops["test"].n == 90
    assert min(drops["val"].n, drops["test"].n) > 20
