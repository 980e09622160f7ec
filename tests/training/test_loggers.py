"""Where the curves of training go; Weights & Biases is played by a module of the test."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pytorch_lightning.loggers import Logger
from pytorch_lightning.loggers import wandb as lightning_wandb

from headstart.errors import MissingExtraError
from headstart.progress import QuietProgress
from headstart.training.loggers import check_logger, open_logger
from training.small import Small, same_state

MISSING = (
    r"--logger wandb needs the extra 'wandb' \(module 'wandb' is not installed\): "
    r'pip install "headstart\[wandb\]"'
)


class FakeRun:
    """Keeps what is logged, and says whether it was finished."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.logged: list[dict[str, Any]] = []
        self.finished = False

    def log(self, metrics: dict[str, Any], **_: Any) -> None:
        assert not self.finished
        self.logged.append(metrics)

    @property
    def names(self) -> set[str]:
        return {name for metrics in self.logged for name in metrics}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small.make(tmp_path_factory.mktemp("small"))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[FakeRun]:
    """The runs that Weights & Biases was asked for."""
    opened: list[FakeRun] = []
    modules = {
        name: ModuleType(name)
        for name in ("wandb", "wandb.sdk", "wandb.sdk.lib", "wandb.wandb_run")
    }
    fake = modules["wandb"]

    def init(**options: Any) -> FakeRun:
        assert fake.run is None, "a run was still open"  # type: ignore[attr-defined]
        opened.append(FakeRun(options))
        fake.run = opened[-1]  # type: ignore[attr-defined]
        return opened[-1]

    def finish() -> None:
        fake.run.finished, fake.run = True, None  # type: ignore[attr-defined]

    fake.run, fake.init, fake.finish = None, init, finish  # type: ignore[attr-defined]
    modules["wandb.sdk.lib"].RunDisabled = type("RunDisabled", (), {})  # type: ignore[attr-defined]
    modules["wandb.wandb_run"].Run = FakeRun  # type: ignore[attr-defined]
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(lightning_wandb, "_WANDB_AVAILABLE", True)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return opened


def log_one(run: Path) -> None:
    with open_logger("wandb", run, "head") as logger:
        assert logger is not None
        logger.log_metrics({"val_loss": 1.0})


def mistake(logger: Logger | None) -> None:
    assert logger is not None
    logger.log_metrics({"val_loss": 1.0})
    raise ZeroDivisionError


def test_each_phase_is_a_run_that_stays_offline(
    tmp_path: Path, runs: list[FakeRun], small: Small
) -> None:
    small.phases(tmp_path / "pets", small.network(), logger="wandb").train(QuietProgress())
    assert [run.options["name"] for run in runs] == ["pets head", "pets finetune"]
    for run in runs:
        assert run.options["mode"] == "offline"
        assert run.options["group"] == "pets"
        assert run.options["project"] == "headstart"
        assert Path(run.options["dir"]) == tmp_path / "pets" / "logs"
        assert {"train_loss", "val_loss", "val_metric"} <= run.names
        assert run.finished


def test_the_environment_may_ask_for_the_network(
    tmp_path: Path, runs: list[FakeRun], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_PROJECT", "cats")
    log_one(tmp_path)
    assert (runs[0].options["mode"], runs[0].options["project"]) == ("online", "cats")


def test_a_mistake_in_training_ends_the_run_too(tmp_path: Path, runs: list[FakeRun]) -> None:
    with pytest.raises(ZeroDivisionError), open_logger("wandb", tmp_path, "head") as logger:
        mistake(logger)
    assert [run.finished for run in runs] == [True]


def test_a_run_of_the_persons_own_is_left_open(tmp_path: Path, runs: list[FakeRun]) -> None:
    import wandb

    theirs = wandb.init(name="theirs")
    with pytest.warns(UserWarning, match="already in progress"):
        log_one(tmp_path)
    assert [run.options["name"] for run in runs] == ["theirs"]
    assert theirs.logged
    assert not theirs.finished


def test_none_writes_nothing_and_trains_the_same(small: Small, tmp_path: Path) -> None:
    networks = {}
    for name in ("none", "tensorboard"):
        networks[name] = small.network()
        small.phases(tmp_path / name, networks[name], logger=name).train(QuietProgress())
    assert not (tmp_path / "none" / "logs").exists()
    assert list((tmp_path / "tensorboard" / "logs").rglob("events.out.tfevents.*"))
    assert same_state(networks["none"], networks["tensorboard"])


def test_without_the_package_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MissingExtraError, match=MISSING):
        check_logger("wandb")
    check_logger("tensorboard")
    check_logger("none")
