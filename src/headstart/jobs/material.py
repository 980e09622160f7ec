"""From settings to what a plan is made for: pictures with sides, views, and the network."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch

from headstart import tasks
from headstart.config import TrainConfig, train_config
from headstart.data.augment import Augmentation
from headstart.data.cache import make_room
from headstart.data.image_cache import ImageCache
from headstart.data.manifest import ParsedData, look_into, parse_data
from headstart.data.near_duplicates import near_duplicates
from headstart.data.regions import cut_regions
from headstart.data.scan import measure_some
from headstart.data.split import Leaks, assign_splits
from headstart.data.split_table import apply_table, give_sides, splits_table
from headstart.jobs.warm_start import (
    WarmStart,
    adopt,
    read_start,
    with_its_backbone,
    with_its_head,
    without_leaks,
)
from headstart.models.backbones import Backbone
from headstart.models.heads import Head
from headstart.models.network import Network
from headstart.models.several import check_backbones, load_backbones, own_size
from headstart.progress import Progress
from headstart.runtime.preprocess import Preprocess
from headstart.storage import cache_dir, seed_from
from headstart.tasks.learning import HeadOptions
from headstart.training.budget import affordable_size
from headstart.training.custom import NOTHING, Custom
from headstart.training.devices import check_device
from headstart.training.features import StoredViews
from headstart.training.phases import Phases
from headstart.training.plan import Plan, make_plan
from headstart.training.probe import Probe, seconds_per_picture
from headstart.training.settings import asks_for_epochs, settle, settled, suit_backbones
from headstart.training.views import PLAIN, LiveViews, MovingTargets, SideViews, View, ViewMaker
from headstart.types import Manifest, Size

SHOWN_ROWS = 20
"""Classes and left-out pictures that the terminal lists; the report lists more."""

Timed = Callable[[str], AbstractContextManager[Any]]
"""Measures a step by its name, as ``RunFolder.timed`` does."""


def checked_config(
    given: Mapping[str, Any], file: Path | None, custom: Custom = NOTHING
) -> TrainConfig:
    """The settings that were given, looked at before the pictures are read: that can take minutes.

    Raises:
        ConfigError: lists every invalid setting.
    """
    config = suit_backbones(with_its_backbone(train_config(given, file)))
    check_backbones(config.backbones)
    check_device(config.device)
    custom.check(config, given)
    return config


@dataclasses.dataclass(frozen=True)
class Material:
    """What a plan is made for, and what trains on it.

    Attributes:
        config: settled.
        manifest: the pictures that are used, with their sides.
        sides: content of ``splits.csv``: also of pictures that an earlier model has learned from.
        network: before training.
        maker: makes the views of training pictures.
        val_maker: makes those of validation pictures, which are as large as the input.
        images: the decoded pictures.
        preprocess: the resize rule.
        start: the model that training goes on from, if any.
        initialised: whether the head needs no further start.
        custom: what was given in Python.
    """

    config: TrainConfig
    manifest: Manifest
    sides: str
    network: Network
    maker: ViewMaker
    val_maker: ViewMaker
    images: ImageCache
    preprocess: Preprocess
    start: WarmStart | None
    initialised: bool
    custom: Custom

    def probe(self) -> Probe:
        """Measures this machine on the material."""
        return Probe(
            self.config, self.network, self.manifest, self.maker, self.images, self.preprocess
        )

    def phases(self, run: Path, plan: Plan, views: SideViews) -> Phases:
        """What trains the network."""
        return Phases(
            run,
            self.config,
            plan,
            self.manifest,
            self.network,
            views,
            self.initialised,
            self.custom.loss_function,
        )

    def plan(self, probe: Probe, elapsed: Callable[[], float]) -> Plan:
        """A new plan; ``elapsed`` gives the seconds spent so far."""
        defaults = tasks.learner(self.manifest.task).defaults(self.manifest.schema)
        return make_plan(
            self.config, self.manifest, self.network, defaults, probe, self.missing, elapsed
        )

    def live_views(self, plan: Plan) -> SideViews:
        """The views of a plan that stores none."""
        prefix, _ = self.network.split(plan.split_stage)
        train, val = (LiveViews(prefix, m, self.images) for m in (self.maker, self.val_maker))
        return SideViews(train, val)

    def stores(self, plan: Plan) -> tuple[StoredViews, StoredViews]:
        """Where the views of training and of validation pictures are stored; perhaps in one."""
        prefix, _ = self.network.split(plan.split_stage)
        train, val = plan.engine_keys
        store = StoredViews(cache_dir(), prefix, self.maker, train.name)
        if train == val:
            return store, store
        return store, StoredViews(cache_dir(), prefix, self.val_maker, val.name)

    def wanted(self, plan: Plan) -> tuple[list[View], list[View]]:
        """Every view that training needs, of training and of validation pictures."""
        train, val = self.manifest.on("train"), self.manifest.on("val")
        views = [(record, view) for record in train for view in range(PLAIN, plan.views + 1)]
        return views, [(record, PLAIN) for record in val]

    def missing(self, plan: Plan) -> tuple[int, int]:
        """Number of views of both sides that are not stored yet."""
        if plan.live:
            return 0, 0
        pairs = zip(self.stores(plan), self.wanted(plan), strict=True)
        train, val = (len(store.missing(views)) for store, views in pairs)
        return train, val


def gather(
    config: TrainConfig,
    recorded: Path,
    progress: Progress,
    timed: Timed = nullcontext,
    custom: Custom = NOTHING,
) -> Material:
    """Reads the pictures and builds the network.

    Args:
        config: as it was given.
        recorded: ``splits.csv`` of a run that goes on; need not exist.
        progress: told what was found.
        timed: measures the step that it is given the name of.
        custom: what was given in Python.
    """
    # Before the pictures are read, which can take minutes.
    start = read_start(config)
    head = config.head or (start.description.head if start is not None else None)
    backbone = load_backbones(config.backbones, weights=config.weights, head=head)
    with timed("decode"):
        config, manifest, cache = read_data(config, backbone, recorded, progress)
    progress.say(describe_data(manifest))
    sides = splits_table(manifest)
    if start is not None:
        manifest = without_leaks(manifest, start)
    network, initialised = _build(config, manifest, backbone, start)
    # What goes on from an earlier model keeps its head, which has to learn the new pictures.
    wanted = asks_for_epochs(config, tasks.learner(manifest.task), manifest.schema)
    if start is not None or custom.loss_function is not None or wanted:
        network.head.solved = False
    preprocess = preprocess_of(config, manifest)
    maker, val_maker = (
        view_maker(config, manifest, size, custom)
        for size in (settled(config.train_size), preprocess.size)
    )
    return Material(
        config,
        manifest,
        sides,
        network,
        maker,
        val_maker,
        cache,
        preprocess,
        start,
        initialised,
        custom,
    )


def prepare_views(
    material: Material,
    plan: Plan,
    probe: Probe,
    progress: Progress,
    timed: Timed = nullcontext,
) -> SideViews:
    """Tells the plan and stores the views that it needs and that are not stored yet."""
    progress.say(plan.describe())
    torch.set_num_threads(plan.threads)
    probe.keep(plan.engine_keys)
    if plan.live:
        return material.live_views(plan)
    with timed("features"):
        stores, wanted = material.stores(plan), material.wanted(plan)
        todo = [store.missing(views) for store, views in zip(stores, wanted, strict=True)]
        to_come = plan.store_bytes * sum(map(len, todo)) // max(1, sum(map(len, wanted)))
        make_room(cache_dir(), material.config.cache_size, progress, to_come)
        for store, key, views in zip(stores, plan.engine_keys, todo, strict=True):
            if views:
                store.compute(views, material.images, progress, probe.engine(key))
    return SideViews(*stores)


def parse_pictures(config: TrainConfig) -> ParsedData:
    """The pictures that the settings choose, with the sides that the data or a table gives."""
    overrides = {"normalise_by": config.normalise_by, "label_from": config.label_from}
    parsed = parse_data(
        config.data, task=config.task, limit=config.limit, overrides=overrides, group=config.group
    )
    return parsed if config.splits is None else give_sides(parsed, config.splits)


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
    parsed = parse_pictures(config)
    config = with_its_head(config, parsed.task)
    sizes = measure_some([annotation.path for annotation, _ in parsed.entries])
    learner = tasks.learner(parsed.task)
    own = own_size(backbone) if backbone is not None else None
    chosen = settle(config, learner, parsed.schema, sizes, own)
    if backbone is not None and config.budget is not None and config.image_size is None:
        size = _affordable(chosen, len(parsed.entries), backbone)
        chosen = settle(config, learner, parsed.schema, sizes, size)
    config = chosen.model_copy(update={"task": parsed.task})
    cache = ImageCache(cache_dir(), settled(config.image_size))
    # Scores come from the original files: pictures that only test need no decoded copy.
    tested = parsed.only_tested()
    manifest = look_into(parsed, cache, progress, across_sides=True, unkept=tested)
    seen = [record for record in manifest.records if record.path not in tested]
    cut_regions(seen, cache, preprocess_of(config, manifest), progress)
    if recorded is not None and recorded.is_file():
        return config, apply_table(manifest, recorded), cache
    twins = near_duplicates(manifest.contents, progress)
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


def view_maker(
    config: TrainConfig, manifest: Manifest, size: Size, custom: Custom = NOTHING
) -> ViewMaker:
    """Makes the views of a settled configuration at a (height, width) in pixels."""
    learner = tasks.learner(manifest.task)
    targets = MovingTargets(learner, manifest.schema) if learner.moves(manifest.schema) else None
    augmentation = Augmentation(settled(config.augment), settled(config.flip))
    preprocess = preprocess_of(config, manifest)
    return ViewMaker(preprocess, config.seed, augmentation, targets, custom.transform, size)


def _build(
    config: TrainConfig, manifest: Manifest, backbone: Backbone, start: WarmStart | None
) -> tuple[Network, bool]:
    """The network before training, and whether its head needs no further start.

    A head's random start depends on the seed alone.
    """
    learner = tasks.learner(manifest.task)
    torch.manual_seed(seed_from("head", config.seed))
    targets = [record.target for record in manifest.on("train")]
    options = HeadOptions(settled(config.head), settled(config.dropout))
    head = learner.head(backbone.outputs, manifest.schema, targets, options)
    if not isinstance(head, Head):
        raise TypeError(f"the head of a task must be a Head, got {type(head).__name__}")
    # The engine of a fresh run would change the layout in passing, that of a resumed run is perhaps
    # never opened: sums in another order would then train other weights.
    network = Network(backbone, head).eval()
    adopted = start is not None and adopt(network, start, manifest)
    return network.to(memory_format=torch.channels_last), adopted


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
