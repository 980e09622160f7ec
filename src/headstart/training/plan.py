"""What will be trained and what it will cost, settled and written before the first view."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from headstart.config import TrainConfig
from headstart.errors import ConfigError
from headstart.models.network import Network
from headstart.storage import cpu_count
from headstart.training import engines
from headstart.types import Manifest

MAX_VIEWS = 7
VIEW_BUDGET = 16_000
"""Views of all training pictures together that are stored by default: a minute or two of work."""

DEFAULT_STAGE = 6
"""Of EfficientNet-Lite0: a third of its parameters train, at some 600 pictures a second."""

DEFAULT_EPOCHS = 20
DEFAULT_FREEZE_EPOCHS = 5
DEFAULT_LR = 1e-3
# Fixed costs that do not depend on the pictures: export, imports, report.
OVERHEAD_SECONDS = 12.0

PROBE_STEPS = 3


@dataclasses.dataclass(frozen=True)
class Plan:
    """The decisions of a run; ``plan.json``. A resumed run reads them and never measures again.

    Attributes:
        strategy: ``features`` or ``finetune``.
        split_stage: first stage that trains; the number of stages when none does.
        n_stages: stages of the backbone.
        views: augmented views stored for each training picture.
        epochs: of the second phase.
        freeze_epochs: of the first phase.
        lr: peak learning rate of the head in the second phase.
        engine: runs the frozen part.
        precision: of training, in Lightning's words.
        threads: of torch.
        n_train: training pictures.
        n_val: validation pictures.
        n_test: test pictures.
        store_bytes: that the stored views will take.
        expected_seconds: by step.
    """

    strategy: str
    split_stage: int
    n_stages: int
    views: int
    epochs: int
    freeze_epochs: int
    lr: float
    engine: str
    precision: str
    threads: int
    n_train: int
    n_val: int
    n_test: int
    store_bytes: int
    expected_seconds: Mapping[str, float]

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Plan:
        """Reads ``plan.json``."""
        return cls(**value)

    def settings(self) -> dict[str, Any]:
        """The settings that the plan decided, under the names of ``TrainConfig``."""
        names = ("split_stage", "views", "epochs", "freeze_epochs", "lr", "engine", "precision")
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
        phases = f"{self.freeze_epochs} epochs of the head"
        if self.epochs:
            phases += f", then {self.epochs} of head and stages {self.split_stage} and up"
        steps = ", ".join(f"{name} {s:.0f} s" for name, s in self.expected_seconds.items())
        total = sum(self.expected_seconds.values())
        return (
            f"Plan ({self.strategy}): frozen are {frozen}, run once on {self.engine}\n"
            f"  views  {self.views} augmented + 1 plain of each training picture, "
            f"{self.store_bytes / 1e6:,.0f} MB to store\n"
            f"  train  {phases}\n"
            f"  time   about {total:.0f} s ({steps})"
        )


def make_plan(
    config: TrainConfig, manifest: Manifest, network: Network
) -> tuple[Plan, engines.Engine]:
    """Settles what the configuration leaves open, and measures this machine for the estimate.

    Every choice that changes the model is a function of the configuration, the number of pictures
    and the kind of processor; only the expected time is measured.

    Returns:
        The plan, and the engine that was opened to measure it.

    Raises:
        ConfigError: ``--split-stage`` is not a stage of the backbone.
    """
    n_train, n_val, n_test = (len(manifest.on(side)) for side in ("train", "val", "test"))
    features_only = config.strategy == "features"
    _check(config, network)
    stage = network.n_stages if features_only else config.split_stage
    if stage is None:
        stage = DEFAULT_STAGE
    views = config.views
    if views is None:
        views = min(MAX_VIEWS, max(1, VIEW_BUDGET // n_train - 1))
    view_bytes = _view_bytes(network, stage, config)
    while views and view_bytes * (n_train * (views + 1) + n_val) > config.max_store_bytes:
        views -= 1
    epochs = 0 if features_only else config.epochs or DEFAULT_EPOCHS
    plan = Plan(
        strategy=config.strategy,
        split_stage=stage,
        n_stages=network.n_stages,
        views=views,
        epochs=epochs,
        freeze_epochs=(
            DEFAULT_FREEZE_EPOCHS if config.freeze_epochs is None else config.freeze_epochs
        ),
        lr=config.lr or DEFAULT_LR,
        engine=config.engine or engines.default_engine(n_train * (views + 1) + n_val),
        precision=config.precision or _precision(stage),
        threads=cpu_count(),
        n_train=n_train,
        n_val=n_val,
        n_test=n_test,
        store_bytes=view_bytes * (n_train * (views + 1) + n_val),
        expected_seconds={},
    )
    prefix, _ = network.split(stage)
    engine = engines.open_engine(plan.engine, prefix, config.image_size)
    expected = _expect(plan, network, config, engine)
    return dataclasses.replace(plan, expected_seconds=expected), engine


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
    if problems:
        raise ConfigError(problems)


def _precision(stage: int) -> str:
    """Measured: bfloat16 halves the time of a step from stage 6 on and slows earlier stages."""
    return "bf16-mixed" if engines.has_bfloat16() and stage >= DEFAULT_STAGE else "32-true"


def _view_bytes(network: Network, stage: int, config: TrainConfig) -> int:
    """float16 bytes of one view's maps."""
    prefix, _ = network.split(stage)
    with torch.inference_mode():
        maps = prefix(torch.zeros((1, *config.image_size, 3), dtype=torch.uint8))
    return sum(m.numel() * 2 for m in maps)


def _expect(
    plan: Plan, network: Network, config: TrainConfig, engine: engines.Engine
) -> dict[str, float]:
    """Seconds by step, from a short probe of the prefix, a training step and the whole network."""
    height, width = config.image_size
    _, rest = network.split(plan.split_stage)
    batch = np.zeros((engines.BATCH, height, width, 3), dtype=np.uint8)
    frozen = _seconds(lambda: engine.run(batch)) / engines.BATCH
    whole = torch.zeros((8, height, width, 3), dtype=torch.uint8)
    with torch.inference_mode():
        score = _seconds(lambda: network(whole)) / 8
    step = 0.0
    if plan.epochs:
        maps = tuple(torch.from_numpy(m[: config.batch_size]) for m in engine.run(batch))
        size = len(maps[0])

        def train_step() -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=plan.precision != "32-true"):
                rest(maps).float().square().mean().backward()
            rest.zero_grad()

        step = _seconds(train_step) / size
    return {
        "frozen part": frozen * (plan.n_train * (plan.views + 1) + plan.n_val),
        "training": plan.epochs * step * (plan.n_train + plan.n_val / 3)
        + plan.freeze_epochs * plan.n_train * 1e-4,
        "evaluation": score * (plan.n_val + plan.n_test),
        "export and report": OVERHEAD_SECONDS,
    }


def _seconds(work: Callable[[], object]) -> float:
    """Shortest of a few runs, after one that warms up."""
    work()
    best = float("inf")
    for _ in range(PROBE_STEPS):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best
