"""What will be trained and what it will cost, settled and written before the first view."""

from __future__ import annotations

import dataclasses
import math
import multiprocessing
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from headstart.config import DeviceName, TrainConfig, sides_text
from headstart.errors import ConfigError, RunError
from headstart.models.network import Network
from headstart.storage import cpu_count
from headstart.tasks.learning import TaskDefaults
from headstart.training import engines
from headstart.training.budget import SAFETY, choices
from headstart.training.devices import has_bfloat16
from headstart.training.settings import settled
from headstart.training.store_plan import fit_store
from headstart.types import Manifest, Size

# Fixed costs that do not depend on the pictures: export, imports, report.
OVERHEAD_SECONDS = 12.0

QUANTIZE_SHARE = 0.25
"""Epochs under the rounding of 8 bits, as a share of those before."""

ROUNDING_COST = 2.0
"""Time of a step under rounding, as a multiple of one without: it is in float32."""

FORWARD = 0.25
"""Time of running a picture as a share of that of a training step: 0.21 to 0.25 for stages 3, 5 and
6 of EfficientNet-Lite0."""

LIVE_HEAD_VIEWS = 3
"""Views of each picture that the head's phase sees where none are stored: each costs a pass."""


class Costs(Protocol):
    """Measured seconds; see ``Probe``."""

    def view(self, key: engines.EngineKey) -> float:
        """Making, running and storing one view."""

    def step(self, stage: int, precision: str) -> float:
        """Training on one view."""

    @property
    def making(self) -> float:
        """Making one augmented view."""

    @property
    def score(self) -> float:
        """Scoring one picture."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """The decisions of a run; ``plan.json``. A resumed run reads them and never measures again.

    Attributes:
        strategy: ``features``, ``finetune`` or ``full``.
        split_stage: first stage that trains; the number of stages when none does.
        n_stages: stages of the backbone.
        views: augmented views stored for each training picture.
        epochs: of the second phase.
        freeze_epochs: of the first phase.
        lr: peak learning rate of the head in the second phase.
        batch_size: pictures in a step of the optimizer.
        loss: that training minimises.
        engine: runs the frozen part.
        precision: of training, in Lightning's words.
        device: that torch trains on.
        threads: of torch.
        n_train: training pictures.
        n_val: validation pictures.
        n_test: test pictures.
        image_size: (height, width) of the model's input in pixels.
        train_size: the same of the views that are trained on.
        store_bytes: that the stored views will take.
        expected_seconds: by step.
        shortened: what was given up so that the views fit into ``max_store_bytes``; empty for
            nothing.
        budget: seconds that the person gave; None for as long as it takes.
        quantize_epochs: of the third phase, under the rounding of 8 bits.
    """

    strategy: str
    split_stage: int
    n_stages: int
    views: int
    epochs: int
    freeze_epochs: int
    lr: float
    batch_size: int
    loss: str
    engine: str
    precision: str
    threads: int
    n_train: int
    n_val: int
    n_test: int
    image_size: Size
    train_size: Size
    store_bytes: int
    expected_seconds: Mapping[str, float]
    shortened: str = ""
    budget: float | None = None
    quantize_epochs: int = 0
    device: DeviceName = "cpu"

    @property
    def workers(self) -> int:
        """Processes that make views while an accelerator trains on those before.

        The processor itself is busy with training, and stored views need no making.
        """
        forks = "fork" in multiprocessing.get_all_start_methods()
        return cpu_count() if self.live and self.device != "cpu" and forks else 0

    @property
    def live(self) -> bool:
        """Whether views are made whenever they are needed instead of being stored."""
        return self.strategy == "full"

    @property
    def head_views(self) -> int:
        """Views of each training picture of which the head's phase takes the reduced maps."""
        return min(self.views + 1, LIVE_HEAD_VIEWS) if self.live else self.views + 1

    @property
    def engine_keys(self) -> tuple[engines.EngineKey, engines.EngineKey]:
        """For the views of training pictures, and of validation pictures.

        Of another size than the others these are too few, in most runs, to convert the prefix for.
        """
        train = engines.EngineKey(self.engine, self.split_stage, self.train_size)
        if self.train_size == self.image_size:
            return train, train
        name = engines.engine_for_few(self.engine, self.n_val * math.prod(self.image_size))
        return train, engines.EngineKey(name, self.split_stage, self.image_size)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Plan:
        """Reads ``plan.json``.

        Raises:
            RunError: another version wrote it, with other decisions.
        """
        try:
            sizes = {name: tuple(value[name]) for name in ("image_size", "train_size")}
            return cls(**{**value, **sizes})
        except (KeyError, TypeError) as error:
            raise RunError(
                "plan.json is of another version of headstart: finish the run with that version, "
                "or start a new one without --resume"
            ) from error

    def settings(self) -> dict[str, Any]:
        """The settings that the plan decided, under the names of ``TrainConfig``."""
        names = (
            "strategy",
            "split_stage",
            "views",
            "epochs",
            "freeze_epochs",
            "engine",
            "precision",
        )
        settled = {name: getattr(self, name) for name in names}
        # 'features' has no second phase, which is not the same as a phase of no epochs.
        return settled if self.epochs else {**settled, "epochs": None}

    def describe(self) -> str:
        """The plan in a few lines, for a person."""
        frozen = (
            "the whole backbone"
            if self.split_stage == self.n_stages
            else f"stages 0 to {self.split_stage - 1} of {self.n_stages}"
            if self.split_stage
            else "nothing"
        )
        where = "" if self.device == "cpu" else f" on {self.device}"
        trained = f"head and stages {self.split_stage} and up{where}"
        phases = [f"{self.freeze_epochs} epochs of the head"] if self.freeze_epochs else []
        phases += [f"{self.epochs} epochs of {trained}"] if self.epochs else []
        phases += [f"{self.quantize_epochs} in 8 bits"] if self.quantize_epochs else []
        steps = ", ".join(f"{name} {s:.0f} s" for name, s in self.expected_seconds.items())
        total = sum(self.expected_seconds.values())
        within = f", chosen for {self.budget:.0f} s in all" if self.budget else ""
        once = "" if self.live else f", run once on {self.engine}"
        seen = "each training picture"
        if self.train_size != self.image_size:
            seen += f" at {sides_text(self.train_size)} pixels of {sides_text(self.image_size)}"
        stored = f"{self.store_bytes / 1e6:,.0f} MB to store"
        if self.live:
            stored = "made whenever they are needed"
        return (
            f"Plan ({self.strategy}): frozen are {frozen}{once}\n"
            f"  views  {self.views} augmented + 1 plain of {seen}, "
            f"{stored}{self.shortened}\n"
            f"  train  {', then '.join(phases) or 'the head, solved at once'}\n"
            f"  time   about {total:.0f} s ({steps}){within}"
        )


def make_plan(
    config: TrainConfig,
    manifest: Manifest,
    network: Network,
    defaults: TaskDefaults,
    probe: Costs,
    missing: Callable[[Plan], tuple[int, int]] | None = None,
    spent: Callable[[], float] = lambda: 0.0,
) -> Plan:
    """Settles what the configuration leaves open, and measures this machine for the estimate.

    Without a budget every choice that changes the model is a function of the configuration, the
    number of pictures and the kind of processor; only the expected time is measured. With one, the
    best choice whose expected time fits is taken.

    Args:
        config: settled (see ``training.settings``).
        manifest: the pictures with their sides.
        network: that will train.
        defaults: of the task.
        probe: measures.
        missing: number of views that a plan has to compute, of training and of validation
            pictures; None takes all.
        spent: seconds of the budget that have passed; measuring takes some of them.

    Raises:
        ConfigError: ``--split-stage`` is not a stage of the backbone.
    """
    _check(config, network)

    def planned(tried: TrainConfig) -> Plan:
        plan = _decided(tried, manifest, network, defaults)
        views = missing(plan) if missing else (plan.n_train * (plan.views + 1), plan.n_val)
        return dataclasses.replace(plan, expected_seconds=_expect(plan, network, probe, views))

    plan = planned(config)
    if config.budget is None:
        return plan
    for choice in choices(plan.split_stage, plan.n_stages, plan.views, defaults):
        update = {
            name: value
            for name, value in choice.settings().items()
            if name not in config.model_fields_set or getattr(config, name) is None
        }
        if network.head.solved:
            update.pop("freeze_epochs", None)
        plan = planned(config.model_copy(update=update))
        if sum(plan.expected_seconds.values()) <= SAFETY * config.budget - spent():
            return dataclasses.replace(plan, budget=config.budget)
    needed = sum(plan.expected_seconds.values()) + spent()
    short = f" (the cheapest plan takes {needed:.0f} s, more than the {config.budget:.0f} s given)"
    return dataclasses.replace(plan, budget=config.budget, shortened=plan.shortened + short)


def _decided(
    config: TrainConfig, manifest: Manifest, network: Network, defaults: TaskDefaults
) -> Plan:
    """Everything but the expected time."""
    n_train, n_val, n_test = (len(manifest.on(side)) for side in ("train", "val", "test"))
    store = fit_store(config, network, defaults, (n_train, n_val))
    image_size, train_size = settled(config.image_size), settled(config.train_size)
    engine_name = config.engine
    if engine_name is None:
        # Validation pictures count where one engine runs the views of both sides.
        n_val_views = n_val if train_size == image_size else 0
        n_views = 0 if store.strategy == "full" else n_train * (store.views + 1) + n_val_views
        engine_name = engines.default_engine(n_views * math.prod(train_size), config.device)
    return Plan(
        strategy=store.strategy,
        split_stage=store.stage,
        n_stages=network.n_stages,
        views=store.views,
        **_epochs(config, network, defaults),
        lr=settled(config.lr),
        batch_size=settled(config.batch_size),
        loss=settled(config.loss),
        engine=engine_name,
        precision=config.precision
        or _precision(network.trained_share(store.stage), defaults, config.device),
        device=config.device,
        threads=cpu_count(),
        n_train=n_train,
        n_val=n_val,
        n_test=n_test,
        image_size=image_size,
        train_size=train_size,
        store_bytes=store.bytes,
        expected_seconds={},
        shortened=store.shortened,
    )


def _epochs(config: TrainConfig, network: Network, defaults: TaskDefaults) -> dict[str, int]:
    """Length of both phases."""
    features_only = config.strategy == "features"
    freeze_epochs = config.freeze_epochs
    if freeze_epochs is None:
        # A head without a convex start has to learn everything in its only phase, and on pooled
        # features an epoch costs next to nothing.
        alone = features_only or network.head.reduce is not None
        longer = alone and not network.head.convex
        freeze_epochs = defaults.epochs if longer else defaults.freeze_epochs
        if network.head.solved:
            freeze_epochs = 0
    epochs = 0 if features_only else config.epochs or defaults.epochs
    return {
        "epochs": epochs,
        "freeze_epochs": freeze_epochs,
        "quantize_epochs": math.ceil(QUANTIZE_SHARE * epochs) if config.quantize_aware else 0,
    }


def _check(config: TrainConfig, network: Network) -> None:
    problems = []
    if config.split_stage is not None and config.split_stage > network.n_stages:
        problems.append(
            f"--split-stage must be 0 to {network.n_stages} for {config.backbone}, "
            f"got {config.split_stage}"
        )
    if config.engine is not None and config.engine not in engines.ENGINES:
        problems.append(
            f"--engine must be one of {', '.join(engines.ENGINES)}, got {config.engine!r}"
        )
    if config.quantize_aware and config.strategy == "features":
        problems.append(
            "--quantize-aware goes on with the last stages, and --strategy features trains none: "
            "leave one of them out"
        )
    solvable = network.head.convex and config.start_from is None
    if config.strategy == "features" and config.freeze_epochs == 0 and not solvable:
        problems.append(
            "--freeze-epochs must be at least 1 with --strategy features, got 0: only a new head "
            "of one layer (--head linear or stats) can be solved without epochs"
        )
    if problems:
        raise ConfigError(problems)


def _precision(trained_share: float, defaults: TaskDefaults, device: DeviceName) -> str:
    """On processors bfloat16 halves the time of a step in late stages and slows early ones."""
    early = device == "cpu" and trained_share > defaults.bfloat16_share
    fast = has_bfloat16(device) and not early
    return "bf16-mixed" if fast else "32-true"


def _expect(
    plan: Plan, network: Network, probe: Costs, missing: tuple[int, int]
) -> dict[str, float]:
    """Seconds by step."""
    # Opening an engine can take longer than all that is left to do.
    pairs = zip(plan.engine_keys, missing, strict=True)
    parts = [] if plan.live else [(key, count) for key, count in pairs if count]
    reduces = network.head.reduce is not None
    epochs = plan.epochs + (0 if reduces else plan.freeze_epochs)
    step = making = 0.0
    if epochs:
        step = probe.step(plan.split_stage, plan.precision)
        making = probe.making if plan.live else 0.0
    rounded = ROUNDING_COST * plan.quantize_epochs
    # A picture of validation is larger, where training sees smaller ones.
    n_val = plan.n_val * math.prod(plan.image_size) / math.prod(plan.train_size)
    # What is stored of an earlier run was most likely reduced by it, too.
    fresh = plan.live or parts
    n_reduced = plan.n_train * plan.head_views + n_val if reduces and fresh else 0
    return {
        "frozen part": sum(probe.view(key) * count for key, count in parts),
        "training": (epochs + rounded) * (step + making) * (plan.n_train + n_val * FORWARD)
        + n_reduced * (step * FORWARD + making)
        + plan.freeze_epochs * plan.n_train * 1e-4,
        "evaluation": probe.score * (plan.n_val + plan.n_test),
        "export and report": OVERHEAD_SECONDS,
    }
