"""Fits one phase with Lightning, from where it was stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.loggers import Logger
from torch.utils.data import DataLoader

from headstart.data.loader import (
    Batch,
    EpochOrder,
    Samples,
    plain_loader,
    train_loader,
)
from headstart.models.network import Rest
from headstart.progress import Progress
from headstart.tasks.protocol import TaskLearner
from headstart.training.checkpoints import (
    AtomicCheckpointIO,
    EpochKeeper,
    best_path,
    is_finished,
    last_path,
    load_state,
)
from headstart.training.loggers import open_logger
from headstart.training.module import PhaseSettings, Score, Scores, TransferModule


@dataclasses.dataclass(frozen=True)
class PhaseData:
    """What one phase trains on.

    Attributes:
        train: inputs and targets of the training pictures, all views.
        n_train: number of training pictures.
        views: number of views of each training picture.
        val: inputs and targets of the validation pictures, plain views.
        n_val: number of validation pictures.
        weights: how often each training picture is drawn, see ``EpochOrder``.
    """

    train: Samples
    n_train: int
    views: int
    val: Samples
    n_val: int
    weights: npt.NDArray[np.float64] | None = None


def fit_phase(
    rest: Rest,
    learner: TaskLearner,
    settings: PhaseSettings,
    data: PhaseData,
    run: Path,
    progress: Progress,
) -> None:
    """Trains ``rest`` and leaves the state in it that validation chose.

    Continues from the phase's last checkpoint when there is one.

    Args:
        rest: the part that trains.
        learner: of the task.
        settings: of the phase.
        data: for training and for validation.
        run: the run folder.
        progress: shows a bar.
    """
    folder = run / "checkpoints"
    if not is_finished(folder, settings.name):
        order = order_of(settings, data)
        validation = plain_loader(data.val, data.n_val, settings.batch_size, settings.workers)
        steps = settings.epochs * len(order)
        resume = last_path(folder, settings.name)
        with progress.bar(f"train {settings.name}", steps) as advance, quiet_lightning():
            rest.to(settings.device)
            keeper = EpochKeeper(
                folder, run / "metrics.jsonl", settings, learner.higher_is_better, advance
            )
            if resume.is_file():
                advance(int(torch.load(resume, weights_only=True)["global_step"]))
            else:
                keeper.begin(rest, _score(rest, learner, settings, validation))
            # Lightning leaves modules in the mode in which it finds them: without this no dropout.
            rest.train()
            with open_logger(settings.logger, run, settings.name) as logger:
                _trainer(settings, learner.higher_is_better, keeper, logger).fit(
                    TransferModule(rest, learner, settings, steps),
                    train_loader(data.train, order, settings.workers),
                    validation,
                    ckpt_path=resume if resume.is_file() else None,
                )
    rest.cpu().load_state_dict(load_state(best_path(folder, settings.name)))
    rest.eval()


def order_of(settings: PhaseSettings, data: PhaseData) -> EpochOrder:
    """The order in which a phase sees its training pictures."""
    return EpochOrder(
        data.n_train,
        data.views,
        settings.batch_size,
        settings.seed,
        settings.name,
        weights=data.weights,
        steps=settings.steps,
    )


def _score(
    rest: Rest, learner: TaskLearner, settings: PhaseSettings, validation: DataLoader[Batch]
) -> Score:
    """What the present state scores."""
    rest.eval()
    scores = Scores(learner, rest.head, settings.objective.loss)
    with torch.inference_mode():
        for maps, targets in validation:
            raw = rest(tuple(m.to(settings.device) for m in maps))
            scores.add(raw, targets.to(settings.device))
    return scores.result()


def _trainer(
    settings: PhaseSettings, higher_is_better: bool, keeper: EpochKeeper, logger: Logger | None
) -> pl.Trainer:
    # It has to decide before the keeper writes the checkpoint, which records the decision.
    stopping = EarlyStopping(
        "val_metric",
        patience=settings.patience,
        mode="max" if higher_is_better else "min",
        check_on_train_epoch_end=False,
    )
    return silent_trainer(
        settings.precision,
        settings.device,
        max_epochs=settings.epochs,
        callbacks=[stopping, keeper],
        logger=logger if logger is not None else False,
        plugins=[AtomicCheckpointIO()],
        log_every_n_steps=1,
    )


def silent_trainer(precision: str, device: str, **options: Any) -> pl.Trainer:
    """Lightning's trainer, which neither prints nor writes by itself.

    Args:
        precision: of the arithmetic, in Lightning's words.
        device: of torch.
        options: further arguments of ``pytorch_lightning.Trainer``.
    """
    # With deterministic algorithms torch fills all fresh memory, in case somebody reads it: a tenth
    # of the time of a step.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return pl.Trainer(
        accelerator=device,
        devices=1,
        precision=precision,  # type: ignore[arg-type]
        # Some operations have no deterministic form on accelerators.
        deterministic=True if device == "cpu" else "warn",
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        **options,
    )


@contextlib.contextmanager
def quiet_lightning() -> Iterator[None]:
    """Lightning's advice about workers and devices does not apply to stored maps on a CPU."""
    names = ("pytorch_lightning", "lightning.pytorch", "lightning_fabric")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)\.")
            warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
