"""Training with a transform and a loss of the person's own."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision.transforms import v2

import headstart
from headstart.errors import ConfigError, MissingExtraError
from headstart.jobs.train_job import TrainResult
from pictures import write_class_folders

SETTINGS = {
    "image_size": 64,
    "batch_size": 16,
    "views": 1,
    "epochs": 1,
    "freeze_epochs": 1,
    "engine": "torch-float32",
}
TRANSFORM = v2.Compose([v2.RandomHorizontalFlip(), v2.TrivialAugmentWide()])

calls = {"black": 0, "loss": 0}


def black(image: torch.Tensor) -> torch.Tensor:
    calls["black"] += 1
    return torch.zeros_like(image)


def own_loss(raw: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    calls["loss"] += 1
    assert raw.dtype == torch.float32
    return nn.functional.multi_margin_loss(raw, targets)


def two_numbers(raw: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return raw.sum(0)[:2]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_class_folders(tmp_path_factory.mktemp("photos"), 14)


@pytest.fixture(scope="module")
def trained(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    run = tmp_path_factory.mktemp("runs") / "own"
    calls["loss"] = 0
    return headstart.train(photos, out=run, transform=TRANSFORM, loss_function=own_loss, **SETTINGS)


def test_the_run_says_what_it_was_given(trained: TrainResult) -> None:
    found = json.loads((trained.run / "custom.json").read_text())
    assert {name: entry["name"] for name, entry in found.items()} == {
        "transform": "Compose",
        "loss_function": "own_loss",
    }
    steps = math.ceil(json.loads((trained.run / "plan.json").read_text())["n_train"] / 16)
    # Once a step of both phases; validation keeps the task's loss.
    assert calls["loss"] == 2 * steps


def test_a_resumed_run_must_be_given_the_same(trained: TrainResult, photos: Path) -> None:
    again = headstart.train(
        photos,
        out=trained.run,
        resume=True,
        transform=v2.Compose([v2.RandomHorizontalFlip(), v2.TrivialAugmentWide()]),
        loss_function=own_loss,
        logger="none",
    )
    assert again.metrics == trained.metrics
    with pytest.raises(ConfigError) as caught:
        headstart.train(photos, out=trained.run, resume=True, transform=black)
    missing, changed = caught.value.problems
    assert missing.startswith("loss_function was own_loss (key ")
    assert "and is not given: a resumed run must be given the same" in missing
    assert changed.startswith("transform was Compose (key ")
    assert "and is black (key " in changed


def test_a_run_without_one_cannot_go_on_with_one(photos: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    settings = "\n".join(f"{name}: {value}" for name, value in SETTINGS.items())
    (run / "config.yaml").write_text(f"data: {photos}\n{settings}\n")
    with pytest.raises(ConfigError, match=r"^transform was not given when .* and is black \(key"):
        headstart.train(photos, out=run, resume=True, transform=black)


def test_views_are_stored_under_the_key_of_their_transform(photos: Path, tmp_path: Path) -> None:
    """Otherwise the views of the policy would be taken for those of the own transform."""
    headstart.lr_find(photos, **SETTINGS)
    calls["black"] = 0
    headstart.lr_find(photos, transform=black, **SETTINGS)
    made = calls["black"]
    assert made > 0
    headstart.lr_find(photos, transform=black, **SETTINGS)
    # A few are made to measure what one costs; none is made for the store.
    assert calls["black"] < made + 30


def test_show_draws_what_the_transform_makes(photos: Path, tmp_path: Path) -> None:
    found = headstart.show(
        photos, out=tmp_path / "b.png", count=8, image_size=64, views=7, transform=black
    )
    with Image.open(found.out) as image:
        sheet = np.asarray(image.convert("RGB"))
    height = sheet.shape[0] // 2
    width = sheet.shape[1] // len(found.views)
    for at, (_, number) in enumerate(found.views):
        middle = sheet[height - 30 : height - 10, at * width + width // 2 - 5 :][:, :10]
        assert (middle == 0).all() == (number > 0)


def test_a_loss_that_is_no_number_is_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"must return one number .*, got shape \(2,\)$"):
        headstart.lr_find(photos, loss_function=two_numbers, **SETTINGS)


def test_a_missing_logger_is_named_before_pictures_are_read(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setattr("headstart.jobs.train_job.gather", lambda *args: pytest.fail("it read"))
    with pytest.raises(MissingExtraError, match=r"^--logger wandb needs the extra 'wandb'"):
        headstart.train(photos, out=tmp_path / "run", logger="wandb")
    assert not (tmp_path / "run").exists()
