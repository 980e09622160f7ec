"""Trains: data, plan, stored views, two phases, export, scores, report. Needs the extra train."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import headstart
from headstart import tasks
from headstart.config import TrainConfig, train_config
from headstart.data import split
from headstart.data.image_cache import ImageCache
from headstart.data.manifest import build_manifest
from headstart.errors import ConfigError
from headstart.jobs.results import RunInputs, deliver
from headstart.jobs.run_folder import RunFolder, open_run
from headstart.models.backbones import load_backbone
from headstart.models.heads import Head
from headstart.models.network import Network, Rest
from headstart.progress import Progress
from headstart.runtime.preprocess import Preprocess
from headstart.storage import (
    cache_dir,
    read_json,
    seed_from,
    write_json,
    write_text,
)
from headstart.tasks.protocol import TaskLearner
from headstart.training.features import PLAIN, StoredViews
from headstart.training.fit import (
    FINETUNE_PHASE,
    HEAD_PHASE,
    PhaseData,
    ReducedSamples,
    StoredSamples,
    fit_phase,
)
from headstart.training.module import PhaseSettings
from headstart.training.plan import HEAD_LR, Plan, make_plan
from headstart.types import Manifest, Metric

SHOWN_ROWS = 20
"""Classes and left-out pictures that the terminal lists; the report lists more."""

PACKAGES = ("numpy", "pillow", "torch", "torchvision", "timm", "pytorch-lightning", "onnxruntime")
"""Whose versions a run records: a score can depend on them."""

OUT_OF_FOLD_BELOW = 500
"""With fewer pictures than this a cross-validated score stands beside the test score."""


@dataclasses.dataclass(frozen=True)
class TrainResult:
    """Where a run lies and what it scored.

    Attributes:
        run: the run folder.
        model: the model folder.
        report: the page to look at.
        metrics: the content of ``metrics.json``.
    """

    run: Path
    model: Path
    report: Path
    metrics: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """What ``train --json`` prints."""
        paths = {"run": self.run, "model": self.model, "report": self.report}
        return {**self.metrics, **{name: str(path) for name, path in paths.items()}}


def run_training(
    given: Mapping[str, Any],
    *,
    out: Path | None,
    resume: bool,
    file: Path | None,
    progress: Progress,
) -> TrainResult:
    """See ``headstart.train``."""
    config = train_config(given, file)
    run = open_run(config.data, out, resume)
    with run.locked():
        run = run.continued()
        if resume:
            config = _recorded_config(run, config, given)
        if run.finished:
            progress.say(f"{run.path} is finished already")
        else:
            _train(run, config, progress)
    return TrainResult(run.path, run.model, run.report, read_json(run.metrics))


def _train(run: RunFolder, config: TrainConfig, progress: Progress) -> None:
    cache = ImageCache(cache_dir(), config.image_size)
    with run.timed("decode"):
        manifest = _read_data(run, config, cache, progress)
    progress.say(describe_data(manifest))
    config = config.model_copy(update={"task": manifest.task})
    network = _build(config, manifest)
    plan = _plan(run, config, manifest, network)
    progress.say(plan.describe())
    torch.set_num_threads(plan.threads)
    preprocess = Preprocess(config.image_size, config.resize, manifest.white_level)
    prefix, rest = network.split(plan.split_stage)
    stored = StoredViews(cache_dir(), prefix, preprocess, plan.engine, config.seed)
    train, val = manifest.on("train"), manifest.on("val")
    views = [(record, view) for record in train for view in range(PLAIN, plan.views + 1)]
    views += [(record, PLAIN) for record in val]
    with run.timed("features"):
        stored.compute(views, cache, progress)
    with run.timed("training"):
        learner = tasks.learner(manifest.task)
        data = PhaseData(
            StoredSamples(stored, train),
            learner.encode([record.target for record in train], manifest.schema),
            plan.views + 1,
            StoredSamples(stored, val),
            learner.encode([record.target for record in val], manifest.schema),
        )
        reduced = dataclasses.replace(
            data,
            train=ReducedSamples(data.train, rest, len(train), data.views),
            val=ReducedSamples(data.val, rest, len(val), 1),
        )
        out_of_fold = _out_of_fold(manifest, reduced, config.seed)
        fitting = Fitting(run.path, config, plan, learner, progress)
        _fit(fitting, network, rest, reduced, data)
    deliver(RunInputs(run, config, manifest, plan, preprocess, network, out_of_fold), progress)


def _read_data(
    run: RunFolder, config: TrainConfig, cache: ImageCache, progress: Progress
) -> Manifest:
    manifest = build_manifest(
        config.data, task=config.task, limit=config.limit, cache=cache, progress=progress
    )
    if run.splits.is_file():
        return split.apply_table(manifest, run.splits)
    return split.assign_splits(manifest)


def _build(config: TrainConfig, manifest: Manifest) -> Network:
    """The untrained network; the head's random start depends on the seed alone."""
    learner = tasks.learner(manifest.task)
    backbone = load_backbone(config.backbone)
    torch.manual_seed(seed_from("head", config.seed))
    targets = [record.target for record in manifest.on("train")]
    head = learner.head(backbone.channels[-1], manifest.schema, targets, config.dropout)
    if not isinstance(head, Head):
        raise TypeError(f"the head of a task must be a Head, got {type(head).__name__}")
    return Network(backbone, head).eval()


def _plan(run: RunFolder, config: TrainConfig, manifest: Manifest, network: Network) -> Plan:
    """The run's plan; made and written, with all that it depends on, when there is none yet."""
    if run.plan.is_file():
        return Plan.from_json(read_json(run.plan))
    plan = make_plan(config, manifest, network)
    settled = config.model_copy(update=plan.settings())
    write_text(run.config, settled.to_yaml())
    write_text(run.splits, split.splits_table(manifest))
    write_json(run.path / "environment.json", _environment(plan))
    write_json(run.plan, dataclasses.asdict(plan))
    return plan


@dataclasses.dataclass(frozen=True)
class Fitting:
    """What both phases share."""

    run: Path
    config: TrainConfig
    plan: Plan
    learner: TaskLearner
    progress: Progress

    def phase(self, name: str, epochs: int, lr: float, precision: str) -> PhaseSettings:
        """Settings of one phase."""
        return PhaseSettings(
            name=name,
            epochs=epochs,
            lr=lr,
            stage_lr_factor=self.config.stage_lr_factor,
            weight_decay=self.config.weight_decay,
            label_smoothing=self.config.label_smoothing,
            patience=self.config.patience,
            batch_size=self.config.batch_size,
            seed=self.config.seed,
            precision=precision,
        )


def _fit(
    fitting: Fitting, network: Network, rest: Rest, reduced: PhaseData, stored: PhaseData
) -> None:
    """Both phases; the better of their best states on validation stays in the network."""
    plan, learner = fitting.plan, fitting.learner
    before = [float("-inf")]
    if plan.freeze_epochs:
        only_head = Rest([], network.head, reduced=True)
        settings = fitting.phase(HEAD_PHASE, plan.freeze_epochs, HEAD_LR, "32-true")
        before = fit_phase(only_head, learner, settings, reduced, fitting.run, fitting.progress)
    if not plan.epochs:
        return
    start = {name: tensor.clone() for name, tensor in rest.state_dict().items()}
    settings = fitting.phase(FINETUNE_PHASE, plan.epochs, plan.lr, plan.precision)
    after = fit_phase(rest, learner, settings, stored, fitting.run, fitting.progress)
    if before > after:
        rest.load_state_dict(start)


def _out_of_fold(manifest: Manifest, data: PhaseData, seed: int) -> tuple[str, Metric] | None:
    records = [*manifest.on("train"), *manifest.on("val")]
    if len(manifest.records) >= OUT_OF_FOLD_BELOW:
        return None
    maps = [data.train.maps((at, PLAIN))[0] for at in range(len(data.targets))]
    maps += [data.val.maps((at, PLAIN))[0] for at in range(len(data.val_targets))]
    features = torch.stack(maps).numpy()
    return tasks.scorer(manifest.task).out_of_fold(features, records, manifest.schema, seed)


def describe_data(manifest: Manifest) -> str:
    """What was found: task, targets by side, what was left out and why."""
    lines = [
        f"Found {len(manifest.records)} pictures in {manifest.root} for {manifest.task}: "
        + ", ".join(f"{len(manifest.on(side))} {side}" for side in ("train", "val", "test"))
    ]
    rows = tasks.spec(manifest.task).summarise(
        manifest.schema, [record.target for record in manifest.records]
    )
    lines += [f"  {name:<24} {text}" for name, text in rows[:SHOWN_ROWS]]
    if len(rows) > SHOWN_ROWS:
        lines.append(f"  and {len(rows) - SHOWN_ROWS} more")
    lines += [f"Note: {note}." for note in manifest.notes]
    if manifest.omissions:
        lines.append(f"Left out {len(manifest.omissions)}:")
        lines += [f"  {o.image}: {o.reason}" for o in manifest.omissions[:SHOWN_ROWS]]
        if len(manifest.omissions) > SHOWN_ROWS:
            lines.append(f"  and {len(manifest.omissions) - SHOWN_ROWS} more (see report.html)")
    return "\n".join(lines)


def _recorded_config(run: RunFolder, config: TrainConfig, given: Mapping[str, Any]) -> TrainConfig:
    """The settings that the run was started with; a resumed run keeps them.

    Raises:
        ConfigError: lists every given setting that differs.
    """
    recorded = train_config({}, run.config)
    changed = [
        f"--{name.replace('_', '-')} was {getattr(recorded, name)} when {run.path} was started, "
        f"got {getattr(config, name)}: a resumed run keeps its settings"
        for name, value in given.items()
        if value is not None and name != "data" and getattr(recorded, name) != getattr(config, name)
    ]
    if recorded.data.resolve() != config.data.resolve():
        changed.append(f"{run.path} was started on {recorded.data}, got {config.data}")
    if changed:
        raise ConfigError(changed)
    return recorded


def _environment(plan: Plan) -> dict[str, Any]:
    return {
        "headstart": headstart.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": torch.cpu.get_capabilities().get("cpu_name", platform.processor()),
        "threads": plan.threads,
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }
