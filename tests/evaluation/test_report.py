"""Pieces of the report page: pictures within the page, curves, shades; text is never markup."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.evaluation.report import CHART, THUMBNAIL, chart, heat, render_report, thumbnail
from pictures import make_picture, write_picture


def report(**changes: Any) -> dict[str, Any]:
    metric = {"value": 0.9, "low": 0.8, "high": 0.95, "better": "higher"}
    finding = {
        "title": "Surest <errors>",
        "text": "a & b",
        "columns": ["class", "pictures"],
        "rows": [["<b>ant</b>", 3]],
        "shaded": False,
        "images": [["a.png", "seen as <bee>"]],
        "compared": [],
        "bars": [],
        "spoken": False,
    }
    whole = {
        "task": "classification",
        "split": "test",
        "n_images": 10,
        "metrics": {"accuracy": metric, "log_loss": {**metric, "low": None, "high": None}},
        "timing_s": {"decode": 1.0, "total": 2.0},
        "backbone": "efficientnet_lite0",
        "strategy": "finetune",
        "seed": 0,
        "name": "photos",
        "version": "0.1.0",
        "headline": {"name": "accuracy", **metric},
        "out_of_fold": None,
        "test_openings": 1,
        "findings": [finding],
        "epochs": [
            {"phase": "head", "epoch": at, "val_metric": at / 4, "val_loss": 1.0, "train_loss": 1.0}
            for at in range(3)
        ],
        "plan": "Plan (finetune)",
        "data": [["pictures", "7", "2", "1"]],
        "notes": ["a <note>"],
        "drawn": {},
        "omissions": [{"image": "<x>.png", "reason": "broken & bent"}],
    }
    return {**whole, **changes}


def test_text_of_the_data_is_never_markup(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", make_picture("disc", 0))
    text = render_report(report(), tmp_path, tmp_path)
    assert "&lt;b&gt;ant&lt;/b&gt;" in text
    assert "<b>ant" not in text
    assert "&lt;x&gt;.png" in text
    assert "a &lt;note&gt;" in text
    assert "<script" not in text


def test_pictures_lie_within_the_page(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", make_picture("disc", 0, (300, 600)))
    text = render_report(report(), tmp_path, tmp_path)
    (content,) = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', text)
    image = Image.open(io.BytesIO(base64.b64decode(content)))
    assert image.size == (THUMBNAIL, THUMBNAIL // 2)
    assert not re.findall(r'(?:src|href)="(?!data:|#)', text)


def test_a_picture_that_has_gone_does_not_break_the_page(tmp_path: Path) -> None:
    assert thumbnail(tmp_path / "gone.png") == ""
    assert "Surest" in render_report(report(), tmp_path, tmp_path)


@pytest.mark.parametrize("values", [[0.0, 0.0, 0.0], [1.0, 0.5], list(np.linspace(-3, 9, 50))])
def test_curves_stay_within_the_chart(values: list[float]) -> None:
    text = str(chart([{"v": value} for value in values], "v", "loss"))
    (path,) = re.findall(r'points="([^"]+)"', text)
    points = np.array([list(map(float, point.split(","))) for point in path.split()])
    assert len(points) == len(values)
    assert (points >= 0).all()
    assert (points <= np.array(CHART)).all()
    assert (np.diff(points[:, 0]) > 0).all()
    # Up is up: larger values have smaller y.
    assert np.array_equal(
        np.argsort(-points[:, 1], kind="stable"), np.argsort(values, kind="stable")
    )
    assert f"loss: {values[0]:.3g} to {values[-1]:.3g}" in text


def test_one_epoch_has_no_curve() -> None:
    assert chart([{"v": 1.0}], "v", "loss") == ""


def test_the_largest_number_has_the_strongest_shade() -> None:
    """By hand: 0.08 + 0.8 * 5 / 10."""
    rows = [["ant", 10, 0], ["bee", 5, 2]]
    assert heat(5, rows) == "rgba(214, 96, 30, 0.48)"
    assert heat(10, rows) == "rgba(214, 96, 30, 0.88)"
    assert heat(0, rows) == heat("ant", rows) == "transparent"
