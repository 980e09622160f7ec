"""Trains: data, plan, stored views, two phases, export, scores, report. Needs the extra train."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import headstart
from headstart import tasks
from headstart.config import TrainConfig, train_config
from headstart.data import split
from headstart.data.augment import Augmentation
from headstart.data.cache import make_room
from headstart.data.image_cache import ImageCache
from headstart.data.manifest import look_into, parse_data
from headstart.data.regions import cut_regions
from headstart.data.scan import measure_some
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
from headstart.models.backbones import Backbone, backbone_info, load_backbone
from headstart.models.heads import Head
from headstart.models.network import Network
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
from headstart.training.settings import settle, settled
from headstart.training.views import PLAIN, LiveViews, MovingTargets, View, ViewMaker
from headstart.types import Manifest, Metric, Size

SHOWN_ROWS = 20
"""Classes and left-out pictures that the terminal lists; the report lists more."""

PACKAGES = ("numpy", "pillow", "torch", "torchvision", "timm", "pytorch-lightning", "onnxruntime")
"""Whose versions a run records: a score can depend on them."""

FREE_SETTINGS = frozenset({"data", "cache_size"})
"""Settings that may differ when a run is resumed: they do not change the model."""

Timed = Callable[[str], AbstractContextManager[Any]]
"""Measures a step by its name, as ``RunFolder.timed`` does."""

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
    config = with_its_backbone(train_config(given, file))
    # Before the pictures are read, which can take minutes.
    backbone_info(config.backbone)
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
class Material:
    """What a plan is made for, and what trains on it.

    Attributes:
        config: settled.
        manifest: the pictures that are used, with their sides.
        sides: content of ``splits.csv``: also of pictures that an earlier model has learned from.
        network: before training.
        maker: makes the views.
        images: the decoded pictures.
        preprocess: the resize rule.
        start: the model that training goes on from, if any.
        initialised: whether the head needs no further start.
    """

    config: TrainConfig
    manifest: Manifest
    sides: str
    network: Network
    maker: ViewMaker
    images: ImageCache
    preprocess: Preprocess
    start: WarmStart | None
    initialised: bool

    def probe(self) -> Probe:
        """Measures this machine on the material."""
        return Probe(self.config, self.network, self.manifest, self.maker, self.images)

    def phases(self, run: Path, plan: Plan, views: StoredViews | LiveViews) -> Phases:
        """What trains the network."""
        learner = tasks.learner(self.manifest.task)
        return Phases(
            run, self.config, plan, self.manifest, self.network, views, learner, self.initialised
        )

    def plan(self, probe: Probe, elapsed: Callable[[], float]) -> Plan:
        """A new plan; ``elapsed`` gives the seconds spent so far."""
        defaults = tasks.learner(self.manifest.task).defaults(self.manifest.schema)
        return make_plan(
            self.config, self.manifest, self.network, defaults, probe, self.missing, elapsed
        )

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
    material = gather(config, run.splits, progress, run.timed)
    probe = material.probe()
    plan = _plan(run, material, probe)
    views = prepare_views(material, plan, probe, progress, run.timed)
    # Its threads would compete with torch's in training.
    del probe
    config, manifest = material.config, material.manifest
    with run.timed("training"):
        phases = material.phases(run.path, plan, views)
        out_of_fold = _out_of_fold(manifest, phases, config.seed)
        phases.train(progress)
    preprocess, network, start = material.preprocess, material.network, material.start
    inputs = RunInputs(run, config, manifest, plan, preprocess, network, out_of_fold, start)
    deliver(inputs, progress)
    make_room(cache_dir(), config.cache_size, progress)


def gather(
    config: TrainConfig, recorded: Path, progress: Progress, timed: Timed = nullcontext
) -> Material:
    """Reads the pictures and builds the network.

    Args:
        config: as it was given.
        recorded: ``splits.csv`` of a run that goes on; need not exist.
        progress: told what was found.
        timed: measures the step that it is given the name of.
    """
    # Before the pictures are read, which can take minutes.
    start = read_start(config)
    backbone = load_backbone(config.backbone, file=config.weights)
    with timed("decode"):
        config, manifest, cache = _read_data(recorded, config, backbone, progress)
    progress.say(describe_data(manifest))
    sides = split.splits_table(manifest)
    if start is not None:
        manifest = without_leaks(manifest, start)
    network, initialised = _build(config, manifest, backbone, start)
    preprocess = _preprocess(config, manifest)
    maker = _maker(config, manifest, preprocess)
    return Material(config, manifest, sides, network, maker, cache, preprocess, start, initialised)


def prepare_views(
    material: Material,
    plan: Plan,
    probe: Probe,
    progress: Progress,
    timed: Timed = nullcontext,
) -> StoredViews | LiveViews:
    """Tells the plan and stores the views that it needs and that are not stored yet."""
    progress.say(plan.describe())
    torch.set_num_threads(plan.threads)
    engine = probe.opened(plan.engine, plan.split_stage)
    with timed("features"):
        views = material.views(plan)
        if isinstance(views, StoredViews):
            wanted = material.wanted(plan)
            todo = views.missing(wanted)
            to_come = plan.store_bytes * len(todo) // max(1, len(wanted))
            make_room(cache_dir(), material.config.cache_size, progress, to_come)
            views.compute(todo, material.images, progress, engine)
    return views


def _read_data(
    recorded: Path, config: TrainConfig, backbone: Backbone, progress: Progress
) -> tuple[TrainConfig, Manifest, ImageCache]:
    """The pictures, and the configuration with what depends on their task and size."""
    overrides = {"normalise_by": config.normalise_by}
    parsed = parse_data(config.data, task=config.task, limit=config.limit, overrides=overrides)
    sizes = measure_some([annotation.path for annotation, _ in parsed.entries])
    learner = tasks.learner(parsed.task)
    chosen = settle(config, learner, parsed.schema, sizes)
    if config.budget is not None and config.image_size is None:
        size = _affordable(chosen, len(parsed.entries), backbone)
        chosen = chosen.model_copy(update={"image_size": size})
    config = chosen.model_copy(update={"task": parsed.task})
    cache = ImageCache(cache_dir(), settled(config.image_size))
    manifest = look_into(parsed, cache, progress)
    cut_regions(manifest.records, cache, _preprocess(config, manifest), progress)
    if recorded.is_file():
        return config, split.apply_table(manifest, recorded), cache
    return config, split.assign_splits(manifest), cache


def _affordable(config: TrainConfig, pictures: int, backbone: Backbone) -> Size:
    """The size at which the pictures can be seen within the budget."""
    size = settled(config.image_size)
    seconds = seconds_per_picture(backbone, size)
    return affordable_size(size, pictures, seconds, settled(config.budget))


def _preprocess(config: TrainConfig, manifest: Manifest) -> Preprocess:
    return Preprocess(settled(config.image_size), settled(config.resize), manifest.white_level)


def _maker(config: TrainConfig, manifest: Manifest, preprocess: Preprocess) -> ViewMaker:
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
    options = HeadOptions(config.head, config.dropout)
    head = learner.head(backbone.outputs, manifest.schema, targets, options)
    if not isinstance(head, Head):
        raise TypeError(f"the head of a task must be a Head, got {type(head).__name__}")
    # The engine of a fresh run would change the layout in passing, that of a resumed run is perhaps
    # never opened: sums in another order would then train other weights.
    network = Network(backbone, head).eval()
    adopted = start is not None and adopt(network, start, manifest)
    return network.to(memory_format=torch.channels_last), adopted


def _plan(run: RunFolder, material: Material, probe: Probe) -> Plan:
    """The run's plan; made and written, with all that it depends on, when there is none yet."""
    if run.plan.is_file():
        return Plan.from_json(read_json(run.plan))
    plan = material.plan(probe, lambda: run.seconds)
    settled = material.config.model_copy(update=plan.settings())
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
