"""One training run on class folders, looked at from all sides. Trained once for this file."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import headstart
from headstart import tasks
from headstart.config import train_config
from headstart.data.augment import Augmentation
from headstart.data.image_cache import ImageCache
from headstart.data.manifest import build_manifest
from headstart.data.split_table import apply_table
from headstart.errors import ConfigError, DataError, RunError
from headstart.evaluation.scoring import Scored, observe
from headstart.jobs import material, train_job
from headstart.jobs.train_job import TrainResult
from headstart.models.backbones import load_backbone
from headstart.progress import QuietProgress
from headstart.training.checkpoints import load_state
from headstart.training.features import StoredViews
from headstart.training.plan import Plan
from headstart.training.settings import settled
from headstart.training.views import PLAIN, ViewMaker
from headstart.types import Manifest, Outputs, Record
from pictures import KINDS, make_picture, write_class_folders, write_picture, write_split_folders
from telling import Telling

COUNTS = {"train": 16, "val": 6, "test": 12}
SETTINGS: dict[str, Any] = {
    "image_size": 64,
    "batch_size": 16,
    "views": 1,
    "freeze_epochs": 2,
    "epochs": 2,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_split_folders(tmp_path_factory.mktemp("data") / "pictures", COUNTS)
    (root / "train" / "disc" / "broken.png").write_bytes(b"no picture")
    shutil.copy(root / "train" / "disc" / "000.png", root / "train" / "disc" / "copy.png")
    (root / "train" / "disc" / "notes.txt").write_text("a note")
    return root


@pytest.fixture(scope="module")
def told() -> Telling:
    return Telling()


@pytest.fixture(scope="module")
def result(data: Path, told: Telling, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    out = tmp_path_factory.mktemp("runs") / "first"
    return headstart.train(data, out=out, progress=told, **SETTINGS)


@pytest.fixture
def copied(result: TrainResult, tmp_path: Path) -> Path:
    """The run folder, for a test that changes it."""
    return Path(shutil.copytree(result.run, tmp_path / "copied"))


def test_every_promised_file_is_there(result: TrainResult) -> None:
    names = ["config.yaml", "splits.csv", "metrics.jsonl", "metrics.json", "environment.json"]
    names += ["checkpoints", "logs", "report.html", "model", "plan.json", "predictions.jsonl"]
    missing = [name for name in names if not (result.run / name).exists()]
    assert not missing
    model = ["model.json", "weights.safetensors", "model.onnx", "card.md", "golden/expected.json"]
    assert all((result.model / name).is_file() for name in model)
    assert not [p for p in result.run.rglob("*") if p.suffix == ".tmp" or "building" in p.name]


def test_metrics_json_has_the_promised_keys(result: TrainResult) -> None:
    found = json.loads((result.run / "metrics.json").read_text())
    promised = {"task", "split", "n_images", "metrics", "timing_s", "backbone", "strategy"}
    assert found.keys() == promised | {"seed", "out_of_fold"}
    assert found["task"] == "classification"
    assert found["split"] == "test"
    assert found["n_images"] == 36
    assert found["backbone"] == "efficientnet_lite0"
    assert found["strategy"] == "finetune"
    steps = {"decode", "features", "training", "evaluation", "total"}
    assert steps <= found["timing_s"].keys()
    assert all(isinstance(seconds, float) for seconds in found["timing_s"].values())
    for name, metric in found["metrics"].items():
        assert metric.keys() == {"value", "low", "high", "better"}, name
    assert next(iter(found["metrics"])) == "accuracy"
    assert found == dict(result.metrics)


def test_the_model_has_learned(result: TrainResult) -> None:
    """Chance is a third."""
    accuracy = result.metrics["metrics"]["accuracy"]
    assert accuracy["value"] >= 0.9
    assert accuracy["low"] > 0.5
    assert result.metrics["metrics"]["accuracy_majority"]["value"] == pytest.approx(1 / 3)


def test_out_of_fold_stands_beside_the_score_of_few_pictures(
    result: TrainResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = result.metrics["out_of_fold"]
    assert found["folds"] == 5
    assert found["accuracy"]["value"] > 0.8
    monkeypatch.setattr(train_job, "OUT_OF_FOLD_BELOW", 10)
    records = tuple(
        Record(Path("x.png"), "x.png", str(at), str(at), at % 2, "train") for at in range(10)
    )
    many = Manifest(Path(), "classification", None, records)
    assert train_job._out_of_fold(many, None, 0) is None  # type: ignore[arg-type]
    assert train_job.OUT_OF_FOLD_BELOW == 10


def test_what_was_found_planned_and_scored_is_said(told: Telling, result: TrainResult) -> None:
    found, plan, *_, summary = told.texts
    assert f"Found {sum(COUNTS.values()) * 3} pictures in " in found
    assert "48 train, 18 val, 36 test" in found
    assert "Left out 3:" in found
    for name in (
        "broken.png: cannot be decoded",
        "copy.png: the same file",
        "notes.txt: its ending",
    ):
        assert name in found
    assert plan.startswith("Plan (finetune)")
    assert "Test: accuracy " in summary
    assert "95 % interval" in summary
    assert "5-fold out-of-fold on stored features: accuracy" in summary
    assert "Worst confusions: " in summary
    assert f"headstart predict {result.model} PICTURE.jpg" in summary


def test_the_settled_settings_are_recorded(result: TrainResult, data: Path) -> None:
    found = yaml.safe_load((result.run / "config.yaml").read_text())
    plan = json.loads((result.run / "plan.json").read_text())
    assert found["data"] == str(data)
    assert found["task"] == "classification"
    assert found["image_size"] == "64x64"
    for name in ("split_stage", "views", "epochs", "freeze_epochs", "lr", "engine", "precision"):
        assert found[name] == plan[name] is not None, name


def test_splits_name_every_picture_once(result: TrainResult) -> None:
    with (result.run / "splits.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    sides = [row["split"] for row in rows]
    assert {side: sides.count(side) for side in COUNTS} == {s: 3 * n for s, n in COUNTS.items()}
    assert len({row["fingerprint"] for row in rows}) == len(rows)
    assert all(row["image"].startswith(f"{row['split']}/") for row in rows)


def test_predictions_are_those_of_the_score(result: TrainResult) -> None:
    lines = [json.loads(t) for t in (result.run / "predictions.jsonl").read_text().splitlines()]
    assert len(lines) == 36
    right = [line["label"] == line["target"] for line in lines]
    assert np.mean(right) == pytest.approx(result.metrics["metrics"]["accuracy"]["value"])


def test_the_environment_is_recorded(result: TrainResult) -> None:
    found = json.loads((result.run / "environment.json").read_text())
    assert found["headstart"] == headstart.__version__
    assert found["packages"]["torch"] == torch.__version__.partition("+")[0]


def test_the_report_loads_nothing_and_shows_pictures(result: TrainResult) -> None:
    text = result.report.read_text()
    assert "<script" not in text
    assert "http" not in text.replace("http://www.w3.org", "")
    assert "accuracy" in text
    assert "broken.png" in text
    assert "<svg" in text
    assert json.loads((result.run / "report.json").read_text())["test_openings"] == 1


def test_the_model_knows_what_it_has_seen(result: TrainResult) -> None:
    seen = json.loads((result.model / "model.json").read_text())["seen"]
    with (result.run / "splits.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for side in ("train", "val"):
        expected = sorted(row["fingerprint"] for row in rows if row["split"] == side)
        assert seen[side] == expected
    assert seen.keys() == {"train", "val"}


def test_evaluate_leaves_out_what_was_seen(result: TrainResult, data: Path) -> None:
    telling = Telling()
    found = headstart.evaluate(result.model, data, progress=telling)
    assert (found.n_images, found.n_seen, found.n_omitted) == (36, 66, 3)
    assert "66 pictures left out: the model was trained or validated on them" in telling.texts
    expected = result.metrics["metrics"]
    assert found.to_json()["metrics"] == expected


def test_evaluate_finds_seen_pictures_under_other_names(
    result: TrainResult, data: Path, tmp_path: Path
) -> None:
    for number, kind in enumerate(KINDS):
        (tmp_path / "other" / kind).mkdir(parents=True)
        shutil.copy(data / "train" / kind / "001.png", tmp_path / "other" / kind / "seen.png")
        write_picture(tmp_path / "other" / kind / "new.png", make_picture(kind, 9000 + number))
    found = headstart.evaluate(result.model, tmp_path / "other")
    assert (found.n_images, found.n_seen) == (3, 3)


def test_evaluate_refuses_when_nothing_is_left(
    result: TrainResult, data: Path, tmp_path: Path
) -> None:
    shutil.copytree(data / "val", tmp_path / "again")
    message = r"no picture is left to score: all 18 readable pictures of .*again were used"
    with pytest.raises(DataError, match=message):
        headstart.evaluate(result.model, tmp_path / "again")


def test_evaluate_takes_one_class_and_counts_unknown_ones(
    result: TrainResult, tmp_path: Path
) -> None:
    root = write_class_folders(tmp_path / "new", {"disc": 4}, first_seed=7000)
    write_picture(root / "hexagon" / "a.png", make_picture("square", 1))
    found = headstart.evaluate(result.model, root)
    assert (found.n_images, found.n_seen, found.n_omitted) == (4, 0, 1)
    assert 0.0 <= found.evaluation.metrics["accuracy"].value <= 1.0


def test_the_model_predicts_new_pictures(result: TrainResult, tmp_path: Path) -> None:
    model = headstart.load_model(result.model)
    labels = [model.predict(make_picture(kind, 5000)).to_json()["label"] for kind in KINDS]
    assert labels == list(KINDS)
    root = write_class_folders(tmp_path / "new", 2, first_seed=6000)
    answers = list(headstart.predict(model, root, top_k=2))
    assert len(answers) == 6
    assert all(len(answer.to_json()["scores"]) == 2 for answer in answers)


def test_the_batch_does_not_change_the_answer(result: TrainResult, tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "new", 3, first_seed=6000)
    model = headstart.load_model(result.model)
    alone = [a.prediction.to_json() for a in headstart.predict(model, root, batch_size=1)]
    together = [a.prediction.to_json() for a in headstart.predict(model, root, batch_size=9)]
    assert len(alone) == 9
    for one, other in zip(alone, together, strict=True):
        assert one["label"] == other["label"]
        assert one["scores"] == pytest.approx(other["scores"], abs=1e-5)


def stored_and_real(result: TrainResult, folder: Path) -> tuple[Outputs, Outputs, Manifest]:
    """Outputs for the validation pictures: from stored maps, and from files through the runtime."""
    config = train_config({}, result.run / "config.yaml")
    plan = Plan.from_json(json.loads((result.run / "plan.json").read_text()))
    cache = ImageCache(folder, settled(config.image_size))
    manifest = apply_table(
        build_manifest(config.data, cache=cache, progress=QuietProgress()),
        result.run / "splits.csv",
    )
    backbone = load_backbone(config.backbone)
    network, _ = material._build(config, manifest, backbone, None)
    network.load_state_dict(load_state(result.model / "weights.safetensors"))
    model = headstart.load_model(result.model)
    preprocess = model.description.preprocess
    prefix, rest = network.split(plan.split_stage)
    views = [(record, PLAIN) for record in manifest.on("val")]
    maker = ViewMaker(preprocess, config.seed, Augmentation())
    stored = StoredViews(folder, prefix, maker, plan.engine)
    stored.compute(views, cache, QuietProgress())
    finish = tasks.learner(manifest.task).finish(network.head)
    for name, buffer in finish.named_buffers():
        buffer.fill_(model.description.calibration[name])
    with torch.inference_mode():
        raw = rest.eval()((torch.stack([stored.get(view)[0] for view in views]),))
        outputs = [tensor.numpy() for tensor in finish(raw)]
    scored = Scored(model.backend, manifest.task, manifest.schema, preprocess)
    real = observe(scored, manifest.on("val"), "", QuietProgress())
    return dict(zip(real, outputs, strict=True)), real, manifest


def test_stored_maps_and_the_runtime_differ_within_bounds(
    result: TrainResult, tmp_path: Path
) -> None:
    """Half floats and bfloat16 move probabilities a little (measured below 0.02 here)."""
    stored, real, manifest = stored_and_real(result, tmp_path)
    assert len(real["probabilities"]) == 18
    difference = np.abs(stored["probabilities"] - real["probabilities"])
    assert difference.max() < 0.1
    spread = np.ptp(real["unknown_score"])
    assert np.abs(stored["unknown_score"] - real["unknown_score"]).max() < 0.15 * spread
    truth = np.array([record.target for record in manifest.on("val")])
    right = [(o["probabilities"].argmax(axis=1) == truth).mean() for o in (stored, real)]
    assert abs(right[0] - right[1]) <= 1 / 18 + 1e-9
    # And the score that chose the state is a score of stored maps.
    lines = [json.loads(t) for t in (result.run / "metrics.jsonl").read_text().splitlines()]
    kept = [line["val_metric"] for line in lines]
    assert min(abs(value - right[1]) for value in kept) <= 1 / 18 + 1e-9


def test_an_explicit_folder_with_another_run_is_refused(result: TrainResult, data: Path) -> None:
    before = (result.run / "metrics.json").read_bytes()
    with pytest.raises(RunError, match=r"first is not empty: continue the run in it with --resume"):
        headstart.train(data, out=result.run, **SETTINGS)
    assert (result.run / "metrics.json").read_bytes() == before


def test_resuming_a_finished_run_changes_nothing(result: TrainResult, data: Path) -> None:
    def state() -> dict[Path, tuple[int, bytes]]:
        return {
            p: (p.stat().st_mtime_ns, p.read_bytes())
            for p in result.run.rglob("*")
            if p.is_file() and p.name != ".lock"
        }

    before, telling = state(), Telling()
    again = headstart.train(data, out=result.run, resume=True, progress=telling)
    assert telling.texts == [f"{result.run} is finished already"]
    assert again.metrics == result.metrics
    assert state() == before


def test_resuming_with_other_settings_lists_all_of_them(result: TrainResult, data: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        headstart.train(data, out=result.run, resume=True, epochs=7, seed=3, image_size=64)
    assert len(caught.value.problems) == 2
    first, second = caught.value.problems
    assert first == (
        f"--epochs was 2 when {result.run} was started, got 7: a resumed run keeps its settings"
    )
    assert second.startswith("--seed was 0 when")


def test_resuming_with_other_data_is_refused(result: TrainResult, tmp_path: Path) -> None:
    other = write_class_folders(tmp_path / "other", 3)
    with pytest.raises(ConfigError, match=r"first was started on .*pictures, got .*other"):
        headstart.train(other, out=result.run, resume=True)


def test_resuming_with_changed_pictures_is_refused(
    copied: Path, data: Path, tmp_path: Path
) -> None:
    """An unfinished run: a finished one reads no pictures any more."""
    moved = Path(shutil.copytree(data, tmp_path / "pictures"))
    config = yaml.safe_load((copied / "config.yaml").read_text())
    (copied / "config.yaml").write_text(yaml.safe_dump({**config, "data": str(moved)}))
    (copied / "metrics.json").unlink()
    write_picture(moved / "train" / "disc" / "099.png", make_picture("disc", 99))
    (moved / "test" / "square" / "003.png").unlink()
    message = r"the pictures changed since .*copied was started \(test/square/003\.png and 1 more\)"
    with pytest.raises(RunError, match=message):
        headstart.train(moved, out=copied, resume=True)
    assert (copied / "config.yaml").exists()


def test_a_mistake_in_the_data_does_not_use_up_the_name(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "one", {"disc": 3})
    for _ in range(2):
        with pytest.raises(DataError, match=r"at least two classes are needed, got 1 \(disc\)"):
            headstart.train(root, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
