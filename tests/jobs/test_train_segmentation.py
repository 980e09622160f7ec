"""One training run on masks, trained once for this file: odd sizes, and everything it draws."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart
from headstart.jobs.train_job import TrainResult
from headstart.types import Size
from pictures import KINDS, make_mask, make_picture, write_mask, write_mask_folders, write_picture

SIZE: Size = (66, 90)
"""Of the pictures: no multiple of 32, and neither is the input below."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_mask_folders(tmp_path_factory.mktemp("data") / "shapes", 14, size=SIZE)
    # What must be left out, each for its own reason.
    write_picture(root / "images/lonely.jpg", make_picture("disc", 500, SIZE))
    write_mask(root / "masks/stray.png", make_mask("disc", 501, SIZE))
    write_picture(root / "images/small.jpg", make_picture("disc", 502, SIZE))
    write_mask(root / "masks/small.png", make_mask("disc", 502, (33, 45)))
    write_picture(root / "images/unseen.jpg", make_picture("disc", 503, SIZE))
    write_mask(root / "masks/unseen.png", np.full(SIZE, 9, np.uint8))
    return root


@pytest.fixture(scope="module")
def result(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    out = tmp_path_factory.mktemp("runs") / "shapes"
    return headstart.train(
        folder,
        out=out,
        image_size="72x100",
        train_size="64x96",
        epochs=6,
        views=2,
        lr=3e-3,
        batch_size=4,
    )


def test_shapes_are_found(result: TrainResult) -> None:
    metrics = result.metrics["metrics"]
    assert result.metrics["task"] == "segmentation"
    assert next(iter(metrics)) == "miou"
    assert metrics["miou"]["value"] > 0.6
    assert metrics["pixel_accuracy"]["value"] > metrics["pixel_accuracy_majority"]["value"]
    assert {f"iou/{name}" for name in ("background", *KINDS)} <= metrics.keys()


def test_what_is_left_out_is_listed_with_its_reason(result: TrainResult) -> None:
    report = json.loads((result.run / "report.json").read_text())
    reasons = {entry["image"]: entry["reason"] for entry in report["omissions"]}
    assert reasons.keys() == {
        "images/lonely.jpg",
        "masks/stray.png",
        "images/small.jpg",
        "images/unseen.jpg",
    }
    assert "it has no mask" in reasons["images/lonely.jpg"]
    assert "no picture belongs" in reasons["masks/stray.png"]
    assert "45x33 pixels and the picture 90x66" in reasons["images/small.jpg"]
    assert "9" in reasons["images/unseen.jpg"]


def read(file: str) -> Image.Image:
    with Image.open(file) as image:
        image.load()
        return image


def test_masks_are_drawn_at_the_original_size(
    result: TrainResult, folder: Path, tmp_path: Path
) -> None:
    """A large picture of another shape, turned by its camera, gets a mask of its upright size."""
    pixels = make_picture("disc", 900, (180, 320))
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "big.jpg"
    Image.fromarray(np.rot90(pixels)).save(path, exif=exif)
    (answer,) = headstart.predict(result.model, path, draw=tmp_path / "drawn")
    overlay, mask = (read(file) for file in answer.drawn)
    assert [Path(file).name for file in answer.drawn] == ["big.png", "big-mask.png"]
    assert mask.mode == "P"
    assert mask.size == (320, 180)
    assert overlay.size[0] == 320
    assert overlay.size[1] > 180  # the legend lies under it
    indices = np.asarray(mask)
    assert indices.max() < 4
    value = answer.to_json()
    assert value["drawn"] == list(answer.drawn)
    assert value["size"] == [180, 320]
    share = float((indices == 0).mean())
    assert value["scores"]["background"] == pytest.approx(share)


def test_the_report_shows_targets_beside_predictions_and_bars(result: TrainResult) -> None:
    report = json.loads((result.run / "report.json").read_text())
    compared = [pair for finding in report["findings"] for pair in finding["compared"]]
    assert compared
    assert all((result.run / "drawn" / report["drawn"][image]).is_file() for image, _ in compared)
    text = result.report.read_text()
    assert text.count("target and prediction") == len(compared)
    assert 'class="bar"' in text
    values = [float(caption.rpartition(" ")[2]) for _, caption in compared]
    assert values == sorted(values)


def test_golden_masks_are_raw_files(result: TrainResult) -> None:
    golden = result.model / "golden"
    content = json.loads((golden / "expected.json").read_text())
    entry = content["examples"][0]["outputs"]["probabilities"]
    values = np.fromfile(golden / entry["file"], dtype="<f4").reshape(entry["shape"])
    assert values.shape == (4, 18, 25)
    np.testing.assert_allclose(values.sum(axis=0), 1.0, atol=1e-5)


def test_evaluate_scores_the_folder(result: TrainResult, folder: Path) -> None:
    found = headstart.evaluate(result.model, folder)
    assert found.n_images == result.metrics["n_images"]
    assert found.to_json()["metrics"] == result.metrics["metrics"]


def test_answers_agree_with_the_network(result: TrainResult) -> None:
    found = json.loads((result.model / "model.json").read_text())["agreement"]
    assert found["answers"] > 0.999
    assert found["n_images"] > 1
