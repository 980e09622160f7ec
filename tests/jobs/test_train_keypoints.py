"""One training run on poses, trained once for this file: crops, whole pictures, boxes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart
from headstart.errors import ConfigError, DataError
from headstart.jobs.train_job import TrainResult
from pictures import write_csv, write_picture
from poses import NAMES, make_pose, write_coco


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_coco(tmp_path_factory.mktemp("data") / "poses", 45)
    (root / "dataset.yaml").write_text("normalise_by: [0, 1]\n", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def result(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    out = tmp_path_factory.mktemp("runs") / "poses"
    return headstart.train(
        folder, out=out, image_size=96, train_size=80, epochs=10, views=3, lr=3e-3, batch_size=4
    )


def test_points_are_found_on_crops_and_scored_on_whole_pictures(result: TrainResult) -> None:
    metrics = result.metrics["metrics"]
    assert result.metrics["task"] == "keypoints"
    assert next(iter(metrics)) == "pck_0.2"
    assert metrics["pck_0.2"]["value"] > 0.5
    assert {"pck_0.2_full_frame", "point_error", "oks_ap"} <= metrics.keys()
    assert result.metrics["normaliser"] == "distance between left_shoulder and right_hip"


def test_a_box_says_who_is_meant(result: TrainResult, tmp_path: Path) -> None:
    """Two people, a box for each: each answer lies on its own."""
    pixels, found = make_pose(900, people=2, size=(96, 256))
    path = write_picture(tmp_path / "two.png", pixels)
    rows = []
    for points in found:
        (left, top), (right, bottom) = np.min(points, axis=0) - 10, np.max(points, axis=0) + 10
        rows.append(
            {"image": "two.png", "x": left, "y": top, "width": right - left, "height": bottom - top}
        )
    boxes = write_csv(tmp_path, rows, name="boxes.csv")
    answers = list(headstart.predict(result.model, path, boxes=boxes, draw=tmp_path / "drawn"))
    assert len(answers) == 2
    for answer, points, row in zip(answers, found, rows, strict=True):
        value = answer.to_json()
        assert value["box"] == [row["x"], row["y"], row["width"], row["height"]]
        places = np.array([[entry["x"], entry["y"]] for entry in value["points"]])
        assert [entry["name"] for entry in value["points"]] == list(NAMES)
        assert np.linalg.norm(places - points, axis=1).max() < 40
    assert [Path(a.drawn[0]).name for a in answers] == ["two.png", "two-2.png"]
    with Image.open(answers[0].drawn[0]) as image:
        assert image.size[0] == 256


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,x,y,width\na.png,1,2,3\n", r"the columns height are missing"),
        ("image,x,y,width,height\na.png,1,2,3,none\n", r"line 2: x, y, width and height must be"),
        ("image,x,y,width,height\na.png,1,2,0,4\n", r"line 2: width and height must be above 0"),
        ("image,x,y,width,height\nb.png,1,2,3,4\n", r"none of its 1 pictures is among those"),
    ],
)
def test_boxes_that_cannot_be_used_are_refused(
    result: TrainResult, tmp_path: Path, text: str, message: str
) -> None:
    path = write_picture(tmp_path / "a.png", make_pose(1)[0])
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        headstart.predict(result.model, path, boxes=boxes)


def test_pictures_are_not_mirrored_where_pairs_are_not_known(
    folder: Path, result: TrainResult, tmp_path: Path
) -> None:
    assert "flip: none" in (result.run / "config.yaml").read_text()
    with pytest.raises(ConfigError, match=r"--flip must be none, got 'horizontal': which points"):
        headstart.train(folder, out=tmp_path / "run", flip="horizontal")


def test_evaluate_scores_the_folder(result: TrainResult, folder: Path) -> None:
    found = headstart.evaluate(result.model, folder)
    assert found.n_images == result.metrics["n_images"]
    assert found.to_json()["metrics"] == result.metrics["metrics"]


def test_the_same_points_as_direct_coordinates(folder: Path, tmp_path: Path) -> None:
    found = headstart.train(
        folder, out=tmp_path / "direct", task="regression", image_size=96, epochs=1, views=1
    )
    assert next(iter(found.metrics["metrics"])) == "point_error"
    lines = [json.loads(t) for t in (found.run / "predictions.jsonl").read_text().splitlines()]
    assert all(len(line["points"]) == 3 for line in lines)
    assert all(len(line["target"]["points"]) == 3 for line in lines)
