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
from headstart.data.augment import Augmentation
from headstart.data.cache import make_room
from headstart.data.image_cache import ImageCache
from headstart.data.manifest import look_into, parse_data
from headstart.data.near_duplicates import near_duplicates
from headstart.data.regions import cut_regions
from headstart.data.scan import measure_some
from headstart.data.split import Leaks, assign_splits
from headstart.data.split_table import apply_table, give_sides, splits_table
from headstart.errors import ConfigError, HeadstartError
from headstart.jobs.results import RunInputs, deliver
from headstart.jobs.run_folder import RunFolder, open_run
from headstart.jobs.warm_start import (
    WarmStart,
    adopt,
    read_start,
    with_its_backbone,
    without_leaks,
)
from headstart.models.backbones import Backbone
from headstart.models.heads import Head
from headstart.models.network import Network
from headstart.models.several import check_backbones, load_backbones, own_size
from headstart.progress import Progress
from headstart.runtime.preprocess import Preprocess
from headstart.storage import (
    cache_dir,
    read_json,
    seed_from,
    write_json,
    write_text,
)
from headstart.tasks.learning import HeadOptions
from headstart.training.budget import affordable_size
from headstart.training.features import StoredViews
from headstart.training.phases import Phases
from headstart.training.plan import Plan, make_plan
from headstart.training.probe import Probe, seconds_per_picture
from headstart.training.settings import settle, settled, suit_backbones
from headstart.training.views import PLAIN, LiveViews, MovingTargets, View, ViewMaker
from headstart.types import Manifest, Metric, Size

SHOWN_ROWS = 20
"""Classes and left-out pictures that the terminal lists; the report lists more."""

PACKAGES = ("numpy", "pillow", "torch", "torchvision", "timm", "pytorch-lightning", "onnxruntime")
"""Whose versions a run records: a score can depend on them."""

FREE_SETTINGS = frozenset({"data", "cache_size"})
"""Settings that may differ when a run is resumed: they do not change the model."""

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
    config = suit_backbones(with_its_backbone(train_config(given, file)))
    # Before the pictures are read, which can take minutes.
    check_backbones(config.backbones)
    run = open_run(config.data, out, resume)
    with run.locked():
        run = run.continued()
        if resume and run.config.is_file():
            config = _recorded_config(run, config, given)
        else:
            if resume:
                progress.say(f"Nothing to resume in {run.path}: starting from the beginning.")
            write_text(run.config, config.to_yaml())
        if run.finished:
            progress.say(f"{run.path} is finished already")
        else:
            try:
                _train(run, config, progress)
            except HeadstartError:
                # A mistake in the input must not use up the name of the run.
                run.discard()
                raise
    return TrainResult(run.path, run.model, run.report, read_json(run.metrics))


@dataclasses.dataclass(frozen=True)
class _Material:
    """What a plan is made for.

    Attributes:
        config: settled.
        manifest: the pictures that are used, with their sides.
        sides: content of ``splits.csv``: also of pictures that an earlier model has learned from.
        network: before training.
        maker: makes the views.
        images: the decoded pictures.
    """

    config: TrainConfig
    manifest: Manifest
    sides: str
    network: Network
    maker: ViewMaker
    images: ImageCache

    def views(self, plan: Plan) -> StoredViews | LiveViews:
        """Where training takes its views from."""
        prefix, _ = self.network.split(plan.split_stage)
        if plan.live:
            return LiveViews(prefix, self.maker, self.images)
        return StoredViews(cache_dir(), prefix, self.maker, plan.engine)

    def wanted(self, plan: Plan) -> list[View]:
        """Every view that training needs."""
        train, val = self.manifest.on("train"), self.manifest.on("val")
        views = [(record, view) for record in train for view in range(PLAIN, plan.views + 1)]
        return views + [(record, PLAIN) for record in val]

    def missing(self, plan: Plan) -> int:
        """Number of views that are not stored yet."""
        views = self.views(plan)
        return len(views.missing(self.wanted(plan))) if isinstance(views, StoredViews) else 0


def _train(run: RunFolder, config: TrainConfig, progress: Progress) -> None:
    # Before the pictures are read, which can take minutes.
    start = read_start(config)
    backbone = load_backbones(config.backbones, weights=config.weights)
    with run.timed("decode"):
        config, manifest, cache = read_data(config, backbone, run.splits, progress)
    progress.say(describe_data(manifest))
    sides = splits_table(manifest)
    if start is not None:
        manifest = without_leaks(manifest, start)
    network, initialised = _build(config, manifest, backbone, start)
    preprocess = preprocess_of(config, manifest)
    maker = view_maker(config, manifest, preprocess)
    material = _Material(config, manifest, sides, network, maker, cache)
    probe = Probe(config, network, manifest, maker, cache)
    plan = _plan(run, material, probe)
    progress.say(plan.describe())
    torch.set_num_threads(plan.threads)
    engine = probe.opened(plan.engine, plan.split_stage)
    with run.timed("features"):
        views = material.views(plan)
        if isinstance(views, StoredViews):
            wanted = material.wanted(plan)
            todo = views.missing(wanted)
            to_come = plan.store_bytes * len(todo) // max(1, len(wanted))
            make_room(cache_dir(), config.cache_size, progress, to_come)
            views.compute(todo, cache, progress, engine)
    # Its threads would compete with torch's in training.
    del engine, probe
    learner = tasks.learner(manifest.task)
    with run.timed("training"):
        phases = Phases(run.path, config, plan, manifest, network, views, learner, initialised)
        out_of_fold = _out_of_fold(manifest, phases, config.seed)
        phases.train(progress)
    inputs = RunInputs(run, config, manifest, plan, preprocess, network, out_of_fold, start)
    deliver(inputs, progress)
    make_room(cache_dir(), config.cache_size, progress)


def read_data(
    config: TrainConfig, backbone: Backbone | None, recorded: Path | None, progress: Progress
) -> tuple[TrainConfig, Manifest, ImageCache]:
    """The pictures, and the configuration with what depends on their task and size.

    Args:
        config: as it was given.
        backbone: that a budget is worked out for; None where the size does not depend on one.
        recorded: ``splits.csv`` of a run; where it exists, sides are taken from it.
        progress: shows bars.
    """
    overrides = {"normalise_by": config.normalise_by, "label_from": config.label_from}
    parsed = parse_data(
        config.data, task=config.task, limit=config.limit, overrides=overrides, group=config.group
    )
    if config.splits is not None:
        parsed = give_sides(parsed, config.splits)
    sizes = measure_some([annotation.path for annotation, _ in parsed.entries])
    learner = tasks.learner(parsed.task)
    own = own_size(backbone) if backbone is not None else None
    chosen = settle(config, learner, parsed.schema, sizes, own)
    if backbone is not None and config.budget is not None and config.image_size is None:
        size = _affordable(chosen, len(parsed.entries), backbone)
        chosen = chosen.model_copy(update={"image_size": size})
    config = chosen.model_copy(update={"task": parsed.task})
    cache = ImageCache(cache_dir(), settled(config.image_size))
    manifest = look_into(parsed, cache, progress, across_sides=True)
    cut_regions(manifest.records, cache, preprocess_of(config, manifest), progress)
    if recorded is not None and recorded.is_file():
        return config, apply_table(manifest, recorded), cache
    twins = near_duplicates([record.path for record in manifest.records], progress)
    leaks: Leaks = "keep" if config.allow_leak else "refuse"
    return config, assign_splits(manifest, twins, leaks), cache


def _affordable(config: TrainConfig, pictures: int, backbone: Backbone) -> Size:
    """The size at which the pictures can be seen within the budget."""
    size = settled(config.image_size)
    seconds = seconds_per_picture(backbone, size)
    return affordable_size(size, pictures, seconds, settled(config.budget))


def preprocess_of(config: TrainConfig, manifest: Manifest) -> Preprocess:
    """The resize rule of a settled configuration."""
    return Preprocess(settled(config.image_size), settled(config.resize), manifest.white_level)


def view_maker(config: TrainConfig, manifest: Manifest, preprocess: Preprocess) -> ViewMaker:
    """Makes the views of a settled configuration."""
    learner = tasks.learner(manifest.task)
    targets = MovingTargets(learner, manifest.schema) if learner.moves(manifest.schema) else None
    augmentation = Augmentation(settled(config.augment), settled(config.flip))
    return ViewMaker(preprocess, config.seed, augmentation, targets)


def _build(
    config: TrainConfig, manifest: Manifest, backbone: Backbone, start: WarmStart | None
) -> tuple[Network, bool]:
    """The network before training, and whether its head needs no further start.

    A head's random start depends on the seed alone.
    """
    learner = tasks.learner(manifest.task)
    torch.manual_seed(seed_from("head", config.seed))
    targets = [record.target for record in manifest.on("train")]
    options = HeadOptions(config.head, settled(config.dropout))
    head = learner.head(backbone.outputs, manifest.schema, targets, options)
    if not isinstance(head, Head):
        raise TypeError(f"the head of a task must be a Head, got {type(head).__name__}")
    # The engine of a fresh run would change the layout in passing, that of a resumed run is perhaps
    # never opened: sums in another order would then train other weights.
    network = Network(backbone, head).eval()
    adopted = start is not None and adopt(network, start, manifest)
    return network.to(memory_format=torch.channels_last), adopted


def _plan(run: RunFolder, material: _Material, probe: Probe) -> Plan:
    """The run's plan; made and written, with all that it depends on, when there is none yet."""
    if run.plan.is_file():
        return Plan.from_json(read_json(run.plan))
    config, manifest = material.config, material.manifest
    defaults = tasks.learner(manifest.task).defaults(manifest.schema)
    plan = make_plan(
        config,
        manifest,
        material.network,
        defaults,
        probe,
        material.missing,
        lambda: run.seconds,
    )
    settled = config.model_copy(update=plan.settings())
    write_text(run.config, settled.to_yaml())
    write_text(run.splits, material.sides)
    write_json(run.path / "environment.json", _environment(plan))
    write_json(run.plan, dataclasses.asdict(plan))
    return plan


def _out_of_fold(manifest: Manifest, phases: Phases, seed: int) -> tuple[str, Metric] | None:
    if len(manifest.records) >= OUT_OF_FOLD_BELOW:
        return None
    records = [*manifest.on("train"), *manifest.on("val")]
    features = phases.pretrained_features()
    if features is None:
        return None
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
        if value is not None
        and name not in FREE_SETTINGS
        and getattr(recorded, name) != getattr(config, name)
    ]
    if recorded.data.resolve() != config.data.resolve():
        changed.append(f"{run.path} was started on {recorded.data}, got {config.data}")
    if changed:
        raise ConfigError(changed)
    if given.get("cache_size") is None:
        return recorded
    return recorded.model_copy(update={"cache_size": config.cache_size})


def _environment(plan: Plan) -> dict[str, Any]:
    return {
        "headstart": headstart.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": torch.cpu.get_capabilities().get("cpu_name", platform.processor()),
        "threads": plan.threads,
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }
