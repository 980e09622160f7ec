"""Two phases: the same seed gives the same weights, also when they were killed in between."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from headstart.data.loader import EpochOrder, Item
from headstart.models.heads import LseHead
from headstart.models.network import Network
from headstart.progress import QuietProgress
from headstart.runtime.preprocess import Preprocess
from headstart.tasks.learning import HeadOptions
from headstart.training import phases
from headstart.training.checkpoints import AtomicCheckpointIO, is_finished, load_state
from headstart.training.module import Score, TransferModule
from headstart.training.phases import Phases
from headstart.training.views import PLAIN, SideViews
from training.small import Counting, KilledError, Killing, Small, same_state, store_views

PHASES = ("head", "finetune")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small.make(tmp_path_factory.mktemp("small"))


def train(small: Small, run: Path, progress: Any = None, **settings: object) -> Network:
    network = small.network()
    small.phases(run, network, **settings).train(progress or QuietProgress())
    return network


@pytest.fixture(scope="module")
def whole(small: Small, tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Path]:
    """A run that was left alone."""
    run = tmp_path_factory.mktemp("whole")
    return train(small, run), run


def journal(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def steps_an_epoch(small: Small) -> int:
    """Each picture once an epoch; a last batch of one is dropped."""
    full, left = divmod(small.plan.n_train, small.plan.batch_size)
    return full + (left > 1)


@pytest.mark.parametrize(("most", "step"), [(10_000, 1), (81, 1), (80, 2), (27, 3)])
def test_the_convex_start_takes_so_many_views_at_most(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, step: int
) -> None:
    assert small.plan.n_train == 27, "in 3 views each these are 81"
    monkeypatch.setattr(phases, "CONVEX_ROWS", most)
    seen: list[tuple[Any, Any]] = []
    given = small.phases(tmp_path, small.network())
    monkeypatch.setattr(
        type(given._learner), "initialise", lambda *arguments: seen.append(arguments[2:4])
    )
    given.train(QuietProgress())
    ((features, targets),) = seen
    assert features.flags.c_contiguous
    assert features.shape[:2] == (3, len(targets))
    train = small.manifest.on("train")
    assert targets == [record.target for record in train][::step]
    everything = small.stored(small.network())
    rest = small.network().split(1)[1].eval()
    with torch.inference_mode():
        maps = torch.stack([everything.get((record, 2))[0] for record in train[::step]])
        expected = rest.reduced_features((maps,)).numpy()
    np.testing.assert_allclose(features[2], expected, rtol=1e-5, atol=1e-6)


def test_training_changes_the_rest_and_not_the_prefix(
    small: Small, whole: tuple[Network, Path]
) -> None:
    new, trained = small.network(), whole[0]
    assert same_state(new.backbone.stages[0], trained.backbone.stages[0])
    assert not same_state(new.backbone.stages[1], trained.backbone.stages[1])
    assert not same_state(new.head, trained.head)


def test_the_same_seed_gives_the_same_weights(
    small: Small, whole: tuple[Network, Path], tmp_path: Path
) -> None:
    again = train(small, tmp_path)
    assert same_state(again, whole[0])
    assert journal(tmp_path) == journal(whole[1])


def test_another_seed_gives_other_weights(
    small: Small, whole: tuple[Network, Path], tmp_path: Path
) -> None:
    # Another seed has other views: they are stored under its name.
    other = Small(
        small.manifest,
        small.config.model_copy(update={"seed": 1}),
        small.plan,
        small.cache,
        small.images,
        small.preprocess,
    )
    other.stored(other.network()).compute(other.views(), other.images, QuietProgress())
    assert not same_state(train(other, tmp_path), whole[0])


@pytest.mark.parametrize("epoch", [0, 1, 2, 4], ids=lambda at: f"epoch-{at}")
def test_killed_within_any_epoch_and_resumed(
    small: Small, whole: tuple[Network, Path], tmp_path: Path, epoch: int
) -> None:
    """Epochs 0 and 1 are the head's, 2 to 4 those of head and stages."""
    killing = Killing(after=epoch * steps_an_epoch(small) + 1)
    with pytest.raises(KilledError):
        train(small, tmp_path, killing)
    assert len(journal(tmp_path)) == epoch if epoch else not (tmp_path / "metrics.jsonl").exists()
    resumed = train(small, tmp_path)
    assert same_state(resumed, whole[0])
    assert journal(tmp_path) == journal(whole[1])


@pytest.mark.parametrize("write", [1, 4])
def test_killed_between_journal_and_checkpoint(
    small: Small,
    whole: tuple[Network, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    write: int,
) -> None:
    """The journal and the kept state are then one epoch ahead of the checkpoint."""
    save, count = AtomicCheckpointIO.save_checkpoint, iter(range(1, 100))

    def killed(self: AtomicCheckpointIO, *args: Any, **options: Any) -> None:
        if next(count) == write:
            raise KilledError
        save(self, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(AtomicCheckpointIO, "save_checkpoint", killed)
        with pytest.raises(KilledError):
            train(small, tmp_path)
    assert len(journal(tmp_path)) == write
    assert same_state(train(small, tmp_path), whole[0])
    assert journal(tmp_path) == journal(whole[1])


def test_killed_twice(small: Small, whole: tuple[Network, Path], tmp_path: Path) -> None:
    steps = steps_an_epoch(small)
    for after in (steps + 1, 2 * steps + 2):
        with pytest.raises(KilledError):
            train(small, tmp_path, Killing(after))
    assert same_state(train(small, tmp_path), whole[0])


def test_the_journal_has_every_epoch_once(small: Small, whole: tuple[Network, Path]) -> None:
    lines = journal(whole[1])
    assert [(line["phase"], line["epoch"]) for line in lines] == [
        ("head", 0),
        ("head", 1),
        ("finetune", 0),
        ("finetune", 1),
        ("finetune", 2),
    ]
    keys = {"phase", "epoch", "train_loss", "val_loss", "val_metric", "lr"}
    assert all(line.keys() >= keys for line in lines)
    assert all(0 <= line["val_metric"] <= 1 for line in lines)


def test_a_finished_run_is_not_trained_further(small: Small, whole: tuple[Network, Path]) -> None:
    network, run = whole
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
    counting = Counting()
    again = train(small, run, counting)
    assert counting.steps == {}
    assert same_state(again, network)
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()} == before


def test_a_phase_that_ended_early_stays_ended(small: Small, tmp_path: Path) -> None:
    """At this rate the score does not move: patience 1 ends the phase of 2 epochs after 1 or 2."""
    settings = {"patience": 1, "head_lr": 1e-12}
    many = Small(
        small.manifest,
        small.config,
        small.plan.__class__(**{**vars(small.plan), "freeze_epochs": 9, "epochs": 0}),
        small.cache,
        small.images,
        small.preprocess,
    )
    first = train(many, tmp_path, **settings)
    lines = journal(tmp_path)
    assert 1 <= len(lines) <= 3
    assert is_finished(tmp_path / "checkpoints", "head")
    counting = Counting()
    again = train(many, tmp_path, counting, **settings)
    assert counting.steps == {}
    assert journal(tmp_path) == lines
    assert same_state(first, again)


@pytest.mark.parametrize("phase", PHASES)
def test_checkpoints_hold_tensors_and_plain_values(whole: tuple[Network, Path], phase: str) -> None:
    """Loading with ``weights_only`` allows more than this; objects of libraries age badly."""
    path = whole[1] / "checkpoints" / f"{phase}-last.ckpt"
    checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    assert checkpoint["state_dict"]
    strange = set(_strange(checkpoint))
    assert not strange, strange


def _strange(value: Any, where: str = "") -> list[str]:
    if isinstance(value, Mapping):
        return [s for key, item in value.items() for s in _strange(item, f"{where}/{key}")]
    if isinstance(value, list | tuple):
        return [s for item in value for s in _strange(item, where)]
    if type(value) in (int, float, bool, str, type(None), torch.Tensor):
        return []
    return [f"{where}: {type(value).__name__}"]


@pytest.mark.parametrize("phase", PHASES)
def test_the_kept_state_is_safetensors(whole: tuple[Network, Path], phase: str) -> None:
    state = load_state(whole[1] / "checkpoints" / f"{phase}-best.safetensors")
    assert state
    if phase == PHASES[-1]:
        _, rest = whole[0].split(1)
        assert all(torch.equal(tensor, state[name]) for name, tensor in rest.state_dict().items())


def test_no_half_written_file_is_left(whole: tuple[Network, Path]) -> None:
    assert not list(whole[1].rglob("*.tmp"))


def test_tensorboard_logs_are_written(whole: tuple[Network, Path]) -> None:
    for phase in PHASES:
        assert list((whole[1] / "logs" / phase).glob("events.out.tfevents.*"))


def test_a_phase_that_harms_is_undone(small: Small, tmp_path: Path) -> None:
    """The first phase alone and both phases, the second one with a rate that destroys."""
    plan = vars(small.plan)

    def variant(**changes: object) -> Small:
        changed = small.plan.__class__(**{**plan, **changes})
        return Small(
            small.manifest, small.config, changed, small.cache, small.images, small.preprocess
        )

    learned = train(variant(epochs=0), tmp_path / "head")
    both = train(variant(lr=10.0, epochs=2), tmp_path / "both")
    lines = journal(tmp_path / "both")
    best = max(line["val_metric"] for line in lines if line["phase"] == "head")
    assert lines[-1]["val_metric"] < best
    assert same_state(learned, both)


def test_pretrained_features_do_not_depend_on_training(
    small: Small, whole: tuple[Network, Path]
) -> None:
    """The out-of-fold score of a resumed run is that of a run left alone."""
    before = small.phases(whole[1], small.network()).pretrained_features()
    assert before.shape == (small.plan.n_train + small.plan.n_val, 12)
    phases = small.phases(whole[1], small.network())
    phases.train(QuietProgress())
    assert (phases.pretrained_features() == before).all()


def test_every_epoch_sees_other_views_in_another_order(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the real trainer: an order that is never told its epoch repeats itself."""
    drawn: list[list[Item]] = []
    original = EpochOrder.__iter__

    def recorded(order: EpochOrder) -> Iterator[list[Item]]:
        batches = list(original(order))
        drawn.append([item for batch in batches for item in batch])
        return iter(batches)

    monkeypatch.setattr(EpochOrder, "__iter__", recorded)
    train(small, tmp_path)
    epochs = small.plan.freeze_epochs + small.plan.epochs
    assert len(drawn) == epochs
    assert len({tuple(items) for items in drawn}) == epochs


def test_the_head_trains_with_dropout_and_the_stages_keep_their_statistics(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lightning does not switch modules to training itself."""
    step, modes = TransferModule.training_step, []

    def watched(self: TransferModule, *batch: Any) -> torch.Tensor:
        modes.append((self.rest.head.training, self.rest.stages.training))
        return step(self, *batch)

    monkeypatch.setattr(TransferModule, "training_step", watched)
    network = train(small, tmp_path)
    assert len(modes) == 5 * steps_an_epoch(small)
    assert set(modes) == {(True, False)}
    assert not any(module.training for module in network.modules())


def test_dropout_changes_what_is_learned(
    small: Small, whole: tuple[Network, Path], tmp_path: Path
) -> None:
    network = small.network()
    network.head.predict.get_submodule("0").p = 0.0
    small.phases(tmp_path, network).train(QuietProgress())
    assert not same_state(network.head, whole[0].head)


def test_the_norms_of_the_stages_learn_where_they_are_allowed_to(
    small: Small, whole: tuple[Network, Path], tmp_path: Path
) -> None:
    free = train(small, tmp_path, train_norms=True)
    assert not any(module.training for module in free.modules())
    means = {
        name: value
        for name, value in free.backbone.stages[1].state_dict().items()
        if name.endswith("running_mean")
    }
    assert means
    kept = whole[0].backbone.stages[1].state_dict()
    assert not any(torch.equal(value, kept[name]) for name, value in means.items())


@pytest.mark.parametrize(
    "settings", [{"mixup": 0.4}, {"sampler": "balanced"}, {"steps_per_epoch": 2}]
)
def test_a_setting_changes_what_is_learned_and_survives_a_kill(
    small: Small, whole: tuple[Network, Path], tmp_path: Path, settings: dict[str, Any]
) -> None:
    changed = train(small, tmp_path / "whole", **settings)
    assert not same_state(changed.head, whole[0].head)
    with pytest.raises(KilledError):
        train(small, tmp_path / "killed", Killing(3), **settings)
    assert same_state(train(small, tmp_path / "killed", **settings), changed)


def test_a_rare_class_is_drawn_as_often_as_a_common_one(small: Small) -> None:
    common, *others = small.manifest.on("train")
    rare = next(record for record in others if record.target != common.target)
    alike = [record for record in small.manifest.on("train") if record.target == common.target]
    uneven = dataclasses.replace(small.manifest, records=(*alike, rare))
    weights = phases._balance(uneven, uneven.records)
    assert weights[:-1].sum() == pytest.approx(weights[-1])
    assert len(set(weights[:-1])) == 1
    assert len(alike) > 1


def test_a_small_network_as_head_trains_without_a_convex_start(
    small: Small, tmp_path: Path
) -> None:
    network = small.network(HeadOptions("mlp", dropout=0.1))
    assert not network.head.convex
    before = {name: value.clone() for name, value in network.head.state_dict().items()}
    small.phases(tmp_path, network).train(QuietProgress())
    after = network.head.state_dict()
    learned = [name for name in before if not torch.equal(before[name], after[name])]
    assert {"predict.2.weight", "predict.4.running_mean", "predict.6.weight"} <= set(learned)


def test_a_head_that_takes_whole_maps_is_summed_up_for_cross_validation(
    small: Small, tmp_path: Path
) -> None:
    pooled = small.phases(tmp_path / "pooled", small.network()).pretrained_features()
    network = small.network()
    network.head = LseHead(network.backbone.outputs, 2, 0.0)
    found = small.phases(tmp_path / "whole", network).pretrained_features()
    assert pooled is not None
    assert found is not None
    np.testing.assert_allclose(found, pooled, rtol=1e-3, atol=1e-3)


def test_all_states_are_kept_where_asked(small: Small, tmp_path: Path) -> None:
    train(small, tmp_path, keep_checkpoints="all")
    kept = sorted(path.name for path in (tmp_path / "checkpoints").glob("*-epoch-*"))
    assert kept == [
        *(f"finetune-epoch-{at:03d}.safetensors" for at in range(3)),
        *(f"head-epoch-{at:03d}.safetensors" for at in range(2)),
    ]
    states = [load_state(tmp_path / "checkpoints" / name) for name in kept]
    assert not torch.equal(states[0]["head.predict.1.weight"], states[1]["head.predict.1.weight"])


def rates(run: Path, phase: str) -> list[float]:
    return [line["lr"] for line in journal(run) if line["phase"] == phase]


def test_schedules_change_the_rate_as_they_say(small: Small, tmp_path: Path) -> None:
    """The rate of the first group at the end of each of the 3 epochs; its peak is 0.03."""
    found = {}
    for schedule in ("one-cycle", "cosine", "plateau", "constant"):
        train(small, tmp_path / schedule, schedule=schedule)
        found[schedule] = rates(tmp_path / schedule, "finetune")
    assert found["constant"] == pytest.approx([0.03] * 3)
    # By hand: half a cosine over 3 epochs is at 3/4, 1/4 and 0 of its height.
    assert found["cosine"] == pytest.approx([0.0225, 0.0075, 0.0], abs=1e-6)
    assert found["plateau"] == pytest.approx([0.03] * 3)
    assert found["one-cycle"][0] > found["one-cycle"][1] > found["one-cycle"][2]
    assert found["one-cycle"][2] < 0.003


def test_a_plateau_halves_the_rate_and_survives_a_kill(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A learner whose metric never moves: after five epochs without progress comes the half."""
    monkeypatch.setattr(TransferModule, "validation_score", lambda module: Score(0.5, 0.0, 1.0))
    longer = dataclasses.replace(small, plan=dataclasses.replace(small.plan, epochs=9))
    settings = {"schedule": "plateau", "patience": 50}
    train(longer, tmp_path / "whole", **settings)
    found = rates(tmp_path / "whole", "finetune")
    assert found[0] == pytest.approx(0.03)
    assert found[-1] == pytest.approx(0.015)
    with pytest.raises(KilledError):
        train(longer, tmp_path / "killed", Killing(7 * steps_an_epoch(small)), **settings)
    train(longer, tmp_path / "killed", **settings)
    assert rates(tmp_path / "killed", "finetune") == found


def test_validation_sees_views_of_its_own(small: Small, tmp_path: Path) -> None:
    """Of a larger size here; what trains is what trained without them."""
    larger = Preprocess((64, 64))
    prefix, _ = small.network().split(small.plan.split_stage)
    val = store_views(tmp_path, prefix, larger, seed=small.config.seed)
    views = [(record, PLAIN) for record in small.manifest.on("val")]
    val.compute(views, small.images, QuietProgress())

    def phases(views: SideViews) -> Phases:
        run = tmp_path / "run"
        return Phases(run, small.config, small.plan, small.manifest, small.network(), views)

    usual = small.stored(small.network())
    plain = phases(SideViews(usual, usual)).pretrained_features()
    found = phases(SideViews(usual, val)).pretrained_features()
    assert plain is not None
    assert found is not None
    n_train = small.plan.n_train
    assert (found[:n_train] == plain[:n_train]).all()
    _, rest = small.network().split(small.plan.split_stage)
    with torch.inference_mode():
        maps = (torch.stack([val.get(view)[0] for view in views]),)
        expected = rest.eval().reduced_features(maps).numpy()
    assert (found[n_train:] == expected).all()
    assert not np.allclose(expected, plain[n_train:], atol=1e-3)
