"""A run that goes on from the model of an earlier one."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import headstart
from exporting.tiny import tiny_backbone
from headstart import tasks
from headstart.config import TrainConfig
from headstart.errors import ConfigError, DataError, HeadstartError, ModelError
from headstart.jobs.train_job import TrainResult
from headstart.jobs.warm_start import (
    WarmStart,
    adopt,
    read_start,
    with_its_backbone,
    with_its_head,
    without_leaks,
)
from headstart.models.network import Network
from headstart.runtime.model_folder import ModelDescription, read_description
from headstart.runtime.preprocess import Preprocess
from headstart.storage import read_json
from headstart.tasks.classification.spec import ClassSchema
from headstart.tasks.learning import HeadOptions
from headstart.training.phases import Phases
from headstart.types import Manifest, Record, Split
from pictures import KINDS, write_class_folders
from telling import Telling

COUNTS = {"train": 12, "val": 5, "test": 6}
TWO, THREE = KINDS[:2], KINDS
SETTINGS: dict[str, Any] = {
    "image_size": 64,
    "batch_size": 12,
    "views": 1,
    "strategy": "features",
    "freeze_epochs": 1,
}


LESS = {name: value for name, value in SETTINGS.items() if name != "strategy"}


def photos(root: Path, kinds: Sequence[str], first_seed: int) -> Path:
    for position, (side, count) in enumerate(COUNTS.items()):
        wanted = dict.fromkeys(kinds, count)
        write_class_folders(root / side, wanted, first_seed=first_seed + 100 * position)
    return root


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    folder = tmp_path_factory.mktemp("first")
    data = photos(folder / "photos", TWO, 0)
    return headstart.train(data, out=folder / "run", strategy="finetune", epochs=1, **LESS)


def test_a_new_class_is_added_and_the_backbone_goes_on(first: TrainResult, tmp_path: Path) -> None:
    data = photos(tmp_path / "photos", THREE, 500)
    second = headstart.train(data, out=tmp_path / "run", start_from=first.model, **SETTINGS)
    assert read_description(second.model).schema.classes == ("disc", "square", "stripes")
    old, new = (load_file(run.model / "weights.safetensors") for run in (first, second))
    backbone = [name for name in old if name.startswith("backbone.")]
    assert backbone
    assert all(torch.equal(old[name], new[name]) for name in backbone)
    assert new["head.predict.1.weight"].shape[0] == 3
    started = read_json(second.model / "model.json")["started_from"]
    assert started is not None
    assert read_json(first.model / "model.json")["started_from"] is None
    seen_before, seen_now = read_description(first.model).seen, read_description(second.model).seen
    assert set(seen_before["train"]) < set(seen_now["train"])


def test_the_head_is_kept_where_it_knows_every_class(first: TrainResult, tmp_path: Path) -> None:
    """Trained with a rate of nearly nothing it stays what it was."""
    data = photos(tmp_path / "photos", TWO, 500)
    second = headstart.train(
        data, out=tmp_path / "run", start_from=first.model, head_lr=1e-12, **SETTINGS
    )
    old, new = (load_file(run.model / "weights.safetensors") for run in (first, second))
    name = "head.predict.1.weight"
    torch.testing.assert_close(old[name], new[name], rtol=1e-4, atol=1e-7)


def test_another_task_another_backbone_and_a_damaged_model_are_refused(
    first: TrainResult, tmp_path: Path
) -> None:
    data = write_class_folders(tmp_path / "photos", 12)
    table = tmp_path / "tags.csv"
    lines = [f"{path},{path.parent.name}|any" for path in sorted(data.rglob("*.png"))]
    table.write_text("\n".join(["image,labels", *lines]))
    with pytest.raises(ConfigError, match=r"--from must be a model for multilabel, got one for"):
        headstart.train(table, out=tmp_path / "a", start_from=first.model, **SETTINGS)
    with pytest.raises(ModelError, match=r"is not a model folder"):
        headstart.train(data, out=tmp_path / "b", start_from=first.run / "logs", **SETTINGS)
    damaged = shutil.copytree(first.model, tmp_path / "damaged")
    (damaged / "weights.safetensors").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"was altered"):
        headstart.train(data, out=tmp_path / "c", start_from=damaged, **SETTINGS)


def start(train: Sequence[str], val: Sequence[str]) -> WarmStart:
    seen = {"train": tuple(train), "val": tuple(val)}
    known = ModelDescription(
        "classification", None, Preprocess((64, 64)), {}, "any", None, (), seen, {}, {}
    )
    return WarmStart(Path("old"), known, {}, "")


def manifest(**sides: Sequence[str]) -> Manifest:
    rows: list[tuple[str, Split]] = [(n, side) for side in sides for n in sides[side]]  # type: ignore[misc]
    records = [Record(Path(n), n, n, n, 0, side) for n, side in rows]
    return Manifest(Path(), "classification", None, tuple(records))


def test_what_the_earlier_model_has_learned_from_is_not_scored() -> None:
    found = without_leaks(
        manifest(train=["a", "b"], val=["c", "d", "e"], test=["f", "g", "h"]),
        start(train=["a", "c", "f"], val=["d", "g"]),
    )
    assert [record.image for record in found.records] == ["a", "b", "d", "e", "h"]
    assert [omission.image for omission in found.omissions] == ["c", "f", "g"]
    assert "has learned from it" in found.omissions[0].reason


def test_nothing_left_to_score_is_an_error() -> None:
    with pytest.raises(DataError, match=r"no test picture is left"):
        without_leaks(manifest(train=["a"], val=["b"], test=["c"]), start(train=["c"], val=[]))


def test_the_backbone_of_the_model_is_taken_unless_one_is_named(first: TrainResult) -> None:
    config = TrainConfig(data=Path("x"), start_from=first.model)
    assert with_its_backbone(config).backbone == "efficientnet_lite0"
    other = TrainConfig(data=Path("x"), start_from=first.model, backbone="other")
    with pytest.raises(ConfigError, match=r"--backbone must be efficientnet_lite0"):
        read_start(with_its_backbone(other))


def test_the_head_of_the_model_is_taken_unless_one_is_named(
    first: TrainResult, tmp_path: Path
) -> None:
    config = TrainConfig(data=Path("x"), start_from=first.model)
    assert with_its_head(config, "classification").head == "linear"
    other = shutil.copytree(first.model, tmp_path / "other")
    found = json.loads((other / "model.json").read_text())
    for written, named, expected in (("mlp", None, "mlp"), ("mlp", "linear", "linear")):
        (other / "model.json").write_text(json.dumps({**found, "head": written}))
        config = TrainConfig.model_validate({"data": "x", "start_from": other, "head": named})
        assert with_its_head(config, "classification").head == expected
    del found["head"]
    (other / "model.json").write_text(json.dumps(found))
    config = TrainConfig(data=Path("x"), start_from=other)
    assert with_its_head(config, "classification").head is None


def test_a_run_without_leaks_can_be_resumed(
    first: TrainResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = photos(tmp_path / "photos", TWO, 500)
    learned = first.run.parent / "photos" / "train" / "disc" / "000.png"
    shutil.copy(learned, data / "test" / "disc" / "learned.png")

    def killed(*arguments: Any) -> None:
        raise KeyboardInterrupt

    settings = {"out": tmp_path / "run", "start_from": first.model, **SETTINGS}
    with monkeypatch.context() as patch:
        patch.setattr(Phases, "train", killed)
        with pytest.raises(KeyboardInterrupt):
            headstart.train(data, **settings)
    resumed = headstart.train(data, resume=True, **settings)
    assert resumed.metrics["n_images"] == 2 * COUNTS["test"]
    omitted = read_json(resumed.run / "report.json")["omissions"]
    assert [omission["image"] for omission in omitted] == ["test/disc/learned.png"]


def test_mistakes_about_the_model_are_said_before_the_pictures_are_read(
    first: TrainResult, tmp_path: Path
) -> None:
    told = Telling()
    data = photos(tmp_path / "photos", TWO, 700)
    damaged = shutil.copytree(first.model, tmp_path / "damaged")
    (damaged / "weights.safetensors").write_bytes(b"nothing")
    for wrong in ({"start_from": damaged}, {"weights": tmp_path / "absent.safetensors"}):
        with pytest.raises(HeadstartError):
            headstart.train(data, out=tmp_path / "run", progress=told, **wrong, **SETTINGS)
    assert told.bars == []


def test_rows_of_the_head_are_found_by_name() -> None:
    """The old model knows bee, ant, fly; the new one wants ant, bee, wasp."""
    old, new = ClassSchema(("bee", "ant", "fly")), ClassSchema(("ant", "bee", "wasp"))
    learner = tasks.learner("classification")

    def network(schema: ClassSchema) -> Network:
        backbone = tiny_backbone(seed=len(schema.classes[0]))
        return Network(backbone, learner.head(backbone.outputs, schema, [], HeadOptions()))

    trained, fresh = network(old), network(new)
    linear = trained.head.linear
    torch.nn.init.normal_(linear.weight)
    torch.nn.init.normal_(linear.bias)
    known = dataclasses.replace(start([], []).description, schema=old)
    earlier = WarmStart(Path("old"), known, trained.state_dict(), "key")
    target = dataclasses.replace(manifest(train=["a"]), schema=new)
    assert not adopt(fresh, earlier, target)
    assert torch.equal(fresh.head.linear.weight[:2], linear.weight[[1, 0]])
    assert fresh.head.linear.bias.tolist() == [*linear.bias[[1, 0]].tolist(), 0.0]
    assert fresh.backbone.weights_key == "key"
    again = network(ClassSchema(("fly", "bee")))
    assert adopt(again, earlier, dataclasses.replace(target, schema=ClassSchema(("fly", "bee"))))
    assert torch.equal(again.head.linear.weight, linear.weight[[2, 0]])
