"""Where the curves of training go: TensorBoard, Weights & Biases, or nowhere."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger, TensorBoardLogger, WandbLogger

from headstart.config import LoggerName
from headstart.errors import needing_extra

FOLDER = "logs"
"""Of a run: what loggers write."""

PROJECT = "headstart"
"""Of Weights & Biases, where the environment (WANDB_PROJECT) names none."""


def check_logger(name: LoggerName) -> None:
    """Says early that a logger's package is missing: reading the pictures can take minutes.

    Raises:
        MissingExtraError: says what to install.
    """
    if name == "wandb":
        _import_wandb()


@contextlib.contextmanager
def open_logger(name: LoggerName, run: Path, phase: str) -> Iterator[Logger | None]:
    """The logger of one phase, closed in the end; None for none.

    Args:
        name: setting ``logger``.
        run: the run folder.
        phase: names the curves.

    Raises:
        MissingExtraError: its package is not installed.
    """
    folder = run / FOLDER
    if name == "none":
        yield None
    elif name == "tensorboard":
        yield TensorBoardLogger(folder, name=phase, version="")
    else:
        wandb = _import_wandb()
        # A run that the person's own program has begun is logged into, and left open.
        theirs = wandb.run
        folder.mkdir(parents=True, exist_ok=True)
        logger = WandbLogger(
            name=f"{run.name} {phase}",
            save_dir=folder,
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            group=run.name,
            # Nothing leaves the machine unless the person's environment says so.
            mode=os.environ.get("WANDB_MODE", "offline"),
            # Neither prints nor reads what is printed.
            settings={"silent": True, "console": "off"},
        )
        try:
            yield logger
        finally:
            # Otherwise the next phase would be logged into this one's curves.
            if wandb.run is not theirs:
                wandb.finish()


def _import_wandb() -> Any:
    # It reports its own crashes over the network from the moment of its import, in every mode.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    with needing_extra("--logger wandb", "wandb"):
        import wandb
    return wandb
