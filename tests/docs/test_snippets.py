"""Python in the documentation compiles, and what is marked testable runs on a tiny picture set."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

import headstart
from docs.pages import ROOT, Block, all_blocks, pages
from pictures import make_picture, write_class_folders, write_number_table, write_picture

PYTHON = [block for block in all_blocks() if block.language == "python"]
TESTABLE = [block for block in PYTHON if "testable" in block.marks]
PAGES = sorted({block.page for block in TESTABLE} - {"README.md"})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the reader of the documentation has: pictures, a table, and a second run to compare."""
    folder = tmp_path_factory.mktemp("reader")
    write_class_folders(folder / "photos")
    write_class_folders(folder / "new", 2, first_seed=500)
    write_class_folders(folder / "more", 1, first_seed=600)
    for path in (folder / "more").rglob("*.png"):
        path.rename(folder / "more" / f"{path.parent.name}.png")
    write_picture(folder / "picture.jpg", make_picture("disc", 700, (480, 640)))
    write_number_table(folder / "numbers", 20)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def readme(place: Path) -> Path:
    """The README's snippets have run: there is ``runs/photos``, and a run to compare it with."""
    run_blocks([block for block in TESTABLE if block.page == "README.md"])
    # Training takes long; a run whose answers differ in one picture is enough to compare.
    shutil.copytree("runs/photos", "runs/features")
    answers = place / "runs/features/predictions.jsonl"
    first, *others = map(json.loads, answers.read_text(encoding="utf-8").splitlines())
    first["label"] = next(name for name in first["scores"] if name != first["label"])
    lines = "".join(f"{json.dumps(answer)}\n" for answer in (first, *others))
    answers.write_text(lines, encoding="utf-8")
    return place


def run_blocks(blocks: list[Block]) -> dict[str, Any]:
    """Runs blocks of one page one after the other, as its reader would in one session."""
    names: dict[str, Any] = {"__name__": "snippet"}
    for block in blocks:
        # The lines before make an error name the page and the line in it.
        source = "\n" * block.line + block.text
        exec(compile(source, str(ROOT / block.page), "exec"), names)
    return names


def test_every_snippet_compiles() -> None:
    assert len(PYTHON) >= 8
    for block in PYTHON:
        compile(block.text, str(block), "exec")


def test_the_readme_runs(readme: Path) -> None:
    metrics = json.loads((readme / "runs/photos/metrics.json").read_text(encoding="utf-8"))
    assert metrics["metrics"]["accuracy"]["value"] > 0.34, "no better than chance"


@pytest.mark.parametrize("page", PAGES)
def test_snippets_run(readme: Path, page: str, capsys: pytest.CaptureFixture[str]) -> None:
    run_blocks([block for block in TESTABLE if block.page == page])
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("resize", ["letterbox", "crop", "squash"])
@pytest.mark.parametrize("size", [(480, 640), (33, 97), (300, 300), (97, 33)])
def test_the_onnx_example_prepares_as_the_runtime_does(
    readme: Path, resize: str, size: tuple[int, int]
) -> None:
    from headstart.runtime.predictor import load_input
    from headstart.runtime.preprocess import Preprocess

    page = "docs/how-to/use-the-onnx-file.md"
    names = run_blocks([block for block in TESTABLE if block.page == page][:1])
    # PNG, because for JPEG files the runtime lets the decoder shrink, and the example does not.
    path = write_picture(readme / "compared.png", make_picture("stripes", 1, size))
    rule = {**names["model"]["input"], "resize": resize}
    names["model"]["input"] = rule
    expected, _ = load_input(path, Preprocess.from_json(rule))
    # Cutting before or after resizing rounds some values the other way.
    difference = np.abs(names["prepare"](path).astype(int) - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.05


def test_the_onnx_example_answers_as_predict_does(readme: Path) -> None:
    page = "docs/how-to/use-the-onnx-file.md"
    Image.fromarray(make_picture("square", 2)).save("picture.png")
    (first, *_) = [block for block in TESTABLE if block.page == page]
    text = first.text.replace("picture.jpg", "picture.png")
    names = run_blocks([dataclasses.replace(first, text=text)])
    answer = headstart.load_model("runs/photos/model").predict("picture.png")
    assert names["model"]["classes"][names["best"]] == answer.label
    # The example resizes the whole picture and cuts afterwards, headstart resizes what it keeps:
    # some pixels differ by one grey level.
    assert names["probabilities"][0, names["best"]] == pytest.approx(answer.score, abs=1e-3)
    assert names["unknown"] == answer.unknown


def test_every_file_of_a_run_is_in_the_reference(readme: Path) -> None:
    for folder, page in (("runs/photos", "run-folder"), ("runs/photos/model", "model-folder")):
        text = pages()[f"docs/reference/{page}.md"]
        names = [path.name + "/" * path.is_dir() for path in (readme / folder).iterdir()]
        assert len(names) >= 5
        assert not [name for name in names if f"`{name}" not in text], page


def test_every_key_of_the_description_is_in_the_reference(readme: Path) -> None:
    text = pages()["docs/reference/model-folder.md"].partition("## model.json")[2]
    path = readme / "runs/photos/model/model.json"
    description = json.loads(path.read_text(encoding="utf-8"))
    keys = [*description, *description["input"], *description["calibration"]]
    assert not [key for key in keys if f"`{key}`" not in text]


def test_every_metric_is_in_the_reference(readme: Path) -> None:
    text = pages()["docs/reference/metrics.md"]
    metrics = json.loads((readme / "runs/photos/metrics.json").read_text(encoding="utf-8"))
    names = {name.partition("/")[0] for name in metrics["metrics"]}
    assert len(names) >= 4
    assert not [name for name in names if f"`{name}" not in text]


def test_the_leaves_of_the_readme_are_drawn(tmp_path: Path) -> None:
    leaves = load_script("leaves")
    leaves.PER_KIND = 2
    leaves.write_pictures(tmp_path)
    drawn = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.jpg"))
    assert len(drawn) == 2 * len(leaves.KINDS) + 3
    assert "leaves/maple/000.jpg" in drawn


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
