"""A data set that grows and is corrected: no picture that was recorded changes its side."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import headstart
from pictures import KINDS, make_picture, write_picture

PICTURES = 40
"""Of each class in the end."""

FIRST = 24
"""Of each class in the first run: 60 %."""

SETTINGS: dict[str, Any] = {
    "image_size": 64,
    "batch_size": 16,
    "views": 0,
    "freeze_epochs": 1,
    "strategy": "features",
}


def add(root: Path, numbers: range) -> None:
    for kind in KINDS:
        for at in numbers:
            write_picture(root / kind / f"{at:03}.png", make_picture(kind, at, (64, 64)))


def sides_of(data: Path, run: Path) -> dict[str, str]:
    """The side of each picture by the fingerprint of its content."""
    result = headstart.train(data, out=run, **SETTINGS)
    with (result.run / "splits.csv").open(encoding="utf-8", newline="") as file:
        return {row["fingerprint"]: row["split"] for row in csv.DictReader(file)}


def test_no_recorded_picture_moves_when_pictures_are_added_and_relabelled(tmp_path: Path) -> None:
    data = tmp_path / "photos"
    add(data, range(FIRST))
    before = sides_of(data, tmp_path / "first")
    assert len(before) == FIRST * len(KINDS)
    assert set(before.values()) == {"train", "val", "test"}

    add(data, range(FIRST, PICTURES))
    # 5 % of the old ones: two of each class become the next one.
    for kind, other in zip(KINDS, (*KINDS[1:], KINDS[0]), strict=True):
        for at in (3, 11):
            (data / kind / f"{at:03}.png").rename(data / other / f"was-{kind}-{at}.png")
    after = sides_of(data, tmp_path / "second")
    assert len(after) == PICTURES * len(KINDS)

    assert {content: after[content] for content in before} == before
    training = [{c for c in before if sides[c] == "train"} for sides in (before, after)]
    assert training[0] == training[1]
    assert len(training[0]) >= 0.6 * len(before)
    # The new ones are on all sides too.
    assert {side for content, side in after.items() if content not in before} == {
        "train",
        "val",
        "test",
    }
