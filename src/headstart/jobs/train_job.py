"""Trains: data, plan, stored views, two phases, export, scores, report. Needs the extra train."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import headstart
from headstart import tasks
from headstart.config import TrainConfig, train_config
from headstart.data.cache import make_room
from headstart.errors import ConfigError, HeadstartError
from headstart.jobs.material import Material, checked_config, gather, prepare_views
from headstart.jobs.results import RunInputs, deliver
from headstart.jobs.run_folder import RunFolder, open_run
from headstart.progress import Progress
from headstart.storage import cache_dir, read_json, write_json, write_text
from headstart.training.custom import Custom
from headstart.training.loggers import check_logger
from headstart.training.phases import Phases
from headstart.training.plan import Plan
from headstart.training.probe import Probe
from headstart.types import Manifest, Metric

PACKAGES = ("numpy", "pillow", "torch", "torchvision", "timm", "pytorch-lightning", "onnxruntime")
"""Whose versions a run records: a score can depend on them."""

FREE_SETTINGS = frozenset({"data", "cache_size", "logger"})
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
    custom: Custom,
) -> TrainResult:
    """See ``headstart.train``."""
    config = checked_config(given, file, custom)
    keys = custom.keys()
    run = open_run(config.data, out, resume)
    with run.locked():
        run = run.continued()
        if resume and run.config.is_file():
            config = _recorded_config(run, config, given)
            _check_same(run, keys)
        else:
            if resume:
                progress.say(f"Nothing to resume in {run.path}: starting from the beginning.")
            run.custom.unlink(missing_ok=True)
            if keys:
                write_json(run.custom, keys)
            write_text(run.config, config.to_yaml())
        if run.finished:
            progress.say(f"{run.path} is finished already")
        else:
            try:
                _train(run, config, progress, custom)
            except HeadstartError:
                # A mistake in the input must not use up the name of the run.
                run.discard()
                raise
    return TrainResult(run.path, run.model, run.report, read_json(run.metrics))


def _train(run: RunFolder, config: TrainConfig, progress: Progress, custom: Custom) -> None:
    check_logger(config.logger)
    material = gather(config, run.splits, progress, run.timed, custom)
    # Lightning's objects refer to each other and to the views: they alone would keep the cache in
    # use until Python next looks for garbage.
    with ExitStack() as in_use:
        in_use.callback(material.images.close)
        probe = material.probe()
        plan = _plan(run, material, probe)
        views = prepare_views(material, plan, probe, progress, run.timed)
        in_use.callback(views.close)
        # Its threads would compete with torch's in training.
        del probe
        config, manifest = material.config, material.manifest
        with run.timed("training"):
            phases = material.phases(run.path, plan, views)
            in_use.callback(phases.close)
            out_of_fold = _out_of_fold(manifest, phases, config.seed)
            phases.train(progress)
        preprocess, network, start = material.preprocess, material.network, material.start
        inputs = RunInputs(run, config, manifest, plan, preprocess, network, out_of_fold, start)
        deliver(inputs, progress)
        make_room(cache_dir(), config.cache_size, progress)


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
    free = [name for name in FREE_SETTINGS - {"data"} if given.get(name) is not None]
    return recorded.model_copy(update={name: getattr(config, name) for name in free})


def _check_same(run: RunFolder, keys: Mapping[str, Mapping[str, str]]) -> None:
    """A resumed run is given the same transform and loss, which no file can hold.

    Raises:
        ConfigError: names what is missing, new or different.
    """
    recorded = read_json(run.custom) if run.custom.is_file() else {}

    def shown(found: Mapping[str, str] | None) -> str:
        return f"{found['name']} (key {found['key'][:8]})" if found else "not given"

    changed = [
        f"{name} was {shown(recorded.get(name))} when {run.path} was started, and is "
        f"{shown(keys.get(name))}: a resumed run must be given the same, to headstart.train"
        for name in sorted({*recorded, *keys})
        if recorded.get(name) != keys.get(name)
    ]
    if changed:
        raise ConfigError(changed)


def _environment(plan: Plan) -> dict[str, Any]:
    return {
        "headstart": headstart.__version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": torch.cpu.get_capabilities().get("cpu_name", platform.processor()),
        "threads": plan.threads,
        "packages": {name: metadata.version(name) for name in PACKAGES},
    }
