"""``headstart predict``: lines and keys that scripts rely on, without torch."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from cli.processes import WITHOUT_NETWORK, WITHOUT_TORCH, headstart
from exporting.tiny import write_tiny_model
from headstart.cli.main import run
from headstart.tasks.classification.spec import ClassSchema
from headstart.tasks.regression.numbers import NumberSchema
from pictures import make_picture, write_class_folders, write_picture

Captured = pytest.CaptureFixture[str]

CLASSES = ("ant", "bee", "wasp")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "model"
    write_tiny_model(
        folder,
        "classification",
        ClassSchema(CLASSES),
        [0, 1, 2],
        calibration={"temperature": 1.0, "unknown_threshold": -100.0},
    )
    return folder


@pytest.fixture(scope="module")
def number_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "model"
    write_tiny_model(folder, "regression", NumberSchema(("price",), (1.0,)), [(1.0,), (3.0,)])
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = write_class_folders(tmp_path / "photos", 2)
    write_picture(root / "UPPER.JPG", make_picture("disc", 50))
    (root / "notes.txt").write_text("no picture")
    return root


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.jpg"
    path.write_bytes(b"no picture")
    return path


def predict(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        run(["predict", *map(str, arguments)])
    return int(caught.value.code or 0)


def lines_of(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_lines_have_the_promised_keys(model: Path, photos: Path, capsys: Captured) -> None:
    assert predict(model, photos, "--json") == 0
    lines = lines_of(capsys.readouterr().out)
    assert len(lines) == 7
    for line in lines:
        assert list(line)[:6] == ["image", "task", "label", "score", "scores", "unknown"]
        assert line.keys() - {"unknown_score"} == set(list(line)[:6])
        assert line["task"] == "classification"
        assert line["label"] == max(line["scores"], key=line["scores"].get)
        assert line["score"] == line["scores"][line["label"]]
        assert sorted(line["scores"]) == list(CLASSES)
        assert sum(line["scores"].values()) == pytest.approx(1.0, abs=1e-5)
        assert list(line["scores"].values()) == sorted(line["scores"].values(), reverse=True)
        assert line["unknown"] is False
    assert [line["image"] for line in lines] == sorted(line["image"] for line in lines)
    assert Path(lines[0]["image"]).is_file()


def test_a_number_has_the_same_keys(number_model: Path, photos: Path, capsys: Captured) -> None:
    assert predict(number_model, photos, "--json") == 0
    lines = lines_of(capsys.readouterr().out)
    assert len(lines) == 7
    for line in lines:
        assert {"image", "task", "label", "score", "scores", "unknown"} <= line.keys()
        assert line["task"] == "regression"
        assert line["label"] == "price"
        assert line["scores"] == {"price": line["value"]}


def test_top_k_keeps_the_best(model: Path, photos: Path, capsys: Captured) -> None:
    predict(model, photos, "--json")
    whole = lines_of(capsys.readouterr().out)
    predict(model, photos, "--json", "--top-k", 2)
    short = lines_of(capsys.readouterr().out)
    assert len(short) == 7
    for ours, theirs in zip(short, whole, strict=True):
        assert list(ours["scores"].items()) == list(theirs["scores"].items())[:2]


def test_csv_has_a_header_and_a_row_a_picture(
    model: Path, photos: Path, broken: Path, capsys: Captured
) -> None:
    assert predict(model, photos, broken, "--csv") == 0
    out, _ = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 8
    assert list(rows[0])[:6] == ["image", "task", "label", "score", "scores", "unknown"]
    assert list(rows[0])[-1] == "error"
    for row in rows[:-1]:
        assert json.loads(row["scores"])[row["label"]] == pytest.approx(float(row["score"]))
        assert row["error"] == ""
    assert rows[-1]["image"] == str(broken)
    assert "not a picture of a known format" in rows[-1]["error"]
    assert rows[-1]["label"] == ""


def test_csv_with_the_unreadable_picture_first_has_its_row_too(
    model: Path, photos: Path, broken: Path, capsys: Captured
) -> None:
    assert predict(model, broken, photos, "--csv") == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 8
    assert rows[0]["image"] == str(broken)
    assert rows[0]["error"]


def test_plain_lines_name_picture_and_answer(model: Path, photos: Path, capsys: Captured) -> None:
    assert predict(model, photos / "disc") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{photos}/disc/000.png: ")
    assert lines[0].endswith("%")


def test_an_unreadable_picture_is_a_line_with_its_error(
    model: Path, photos: Path, broken: Path, capsys: Captured
) -> None:
    first, last = photos / "disc" / "000.png", photos / "square" / "000.png"
    assert predict(model, first, broken, last, "--json") == 0
    lines = lines_of(capsys.readouterr().out)
    assert [line["image"] for line in lines] == [str(first), str(broken), str(last)]
    assert lines[1].keys() == {"image", "error"}
    assert lines[1]["error"] == "cannot be decoded (not a picture of a known format)"
    assert "label" in lines[2]


@pytest.mark.parametrize("option", ["--json", "--csv", "--batch-size=1"])
def test_nothing_but_unreadable_pictures_is_a_mistake(
    model: Path, broken: Path, capsys: Captured, option: str
) -> None:
    assert predict(model, broken, option) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("headstart: none of the 1 pictures")


def test_folders_patterns_and_files_are_taken_in_order_and_once(
    model: Path, photos: Path, capsys: Captured
) -> None:
    pattern = photos / "s*" / "*.png"
    given = [photos / "UPPER.JPG", pattern, photos / "square", photos / "UPPER.JPG"]
    assert predict(model, *given, "--json") == 0
    found = [Path(line["image"]).relative_to(photos) for line in lines_of(capsys.readouterr().out)]
    assert list(map(str, found)) == [
        "UPPER.JPG",
        "square/000.png",
        "square/001.png",
        "stripes/000.png",
        "stripes/001.png",
    ]


def test_patterns_with_two_stars_search_all_levels(
    model: Path, photos: Path, capsys: Captured
) -> None:
    assert predict(model, photos / "**" / "001.png", "--json") == 0
    assert len(lines_of(capsys.readouterr().out)) == 3


def test_names_with_brackets_and_spaces_are_files(
    model: Path, photos: Path, capsys: Captured
) -> None:
    path = write_picture(photos / "a [1] ü.png", make_picture("disc", 1))
    assert predict(model, path, "--json") == 0
    (line,) = lines_of(capsys.readouterr().out)
    assert line["image"] == str(path)


def test_a_bar_is_not_mixed_into_the_answers(model: Path, photos: Path, capsys: Captured) -> None:
    assert predict(model, photos, "--json") == 0
    out, err = capsys.readouterr()
    assert len(lines_of(out)) == 7
    assert "predict" in err


def test_it_runs_without_torch_and_without_network(model: Path, photos: Path) -> None:
    forbid = WITHOUT_TORCH + WITHOUT_NETWORK
    found = headstart("predict", model, photos, "--json", forbid=forbid, cwd=photos)
    assert found.returncode == 0, found.stderr
    assert len(lines_of(found.stdout)) == 7


def test_training_without_torch_names_the_extra(photos: Path) -> None:
    found = headstart("train", photos, forbid=WITHOUT_TORCH, cwd=photos.parent)
    assert found.returncode == 2
    assert found.stdout == ""
    assert found.stderr.count("\n") == 1
    assert "Training needs the extra 'train' (module 'torch" in found.stderr
    assert 'pip install "headstart[train]"' in found.stderr
