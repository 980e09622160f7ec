"""What a phase leaves on disk after every epoch, so that a kill costs at most one epoch."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO
from safetensors.torch import load_file, save

from headstart.models.network import Rest
from headstart.storage import seed_from, write_atomically, write_bytes, write_text
from headstart.training.module import PhaseSettings, Score

State = dict[str, torch.Tensor]


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes Lightning's checkpoints in one step and reads them without unpickling objects."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Saves tensors and plain values."""
        write_atomically(Path(path), lambda temporary: torch.save(checkpoint, temporary))

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Loads with ``weights_only=True``, whatever is asked."""
        loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        return loaded


def save_state(path: Path, state: State) -> None:
    """Writes tensors as safetensors, in one step."""
    whole = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    write_bytes(path, save(whole))


def load_state(path: Path) -> State:
    """Reads tensors from safetensors."""
    loaded: State = load_file(path)
    return loaded


class EpochKeeper(pl.Callback):
    """After every epoch: a line in the journal, the state to keep, and a checkpoint.

    The state that a phase ends with is the latest one whose score is within one standard error of
    the best (the one-standard-error rule: L. Breiman et al., Classification and Regression Trees,
    1984, section 3.4.3). With a hundred validation pictures the epoch of the highest score is
    mostly luck, and the last epochs of a one-cycle schedule are the ones that generalise. The state
    before the first epoch takes part, so a phase that harms is undone.

    The checkpoint holds this callback's memory, so a resumed phase continues the journal and knows
    which score counts.

    Args:
        folder: for checkpoints.
        journal: path of ``metrics.jsonl``; lines of earlier phases are kept.
        settings: of the phase.
        higher_is_better: direction of the monitored metric.
        advance: called after every step.
    """

    def __init__(
        self,
        folder: Path,
        journal: Path,
        settings: PhaseSettings,
        higher_is_better: bool,
        advance: Callable[[int], None],
    ) -> None:
        self._best_path = best_path(folder, settings.name)
        self._last_path = last_path(folder, settings.name)
        self._journal = journal
        self._settings = settings
        self._sign = 1.0 if higher_is_better else -1.0
        self._advance = advance
        self._lines: list[dict[str, Any]] = []
        # Signed metric and standard error of the best state so far.
        self._best: list[float] = []
        self._finished = False

    def begin(self, rest: Rest, score: Score) -> None:
        """Takes the state before the first epoch into the comparison."""
        self._best = [self._sign * score.metric, score.error]
        save_state(self._best_path, rest.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """What the checkpoint keeps of this callback."""
        return {"lines": self._lines, "best": self._best, "finished": self._finished}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues where the checkpoint was written."""
        self._lines = state_dict["lines"]
        self._best = state_dict["best"]
        self._finished = state_dict["finished"]

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Makes dropout a function of seed, phase, epoch and step.

        Seeding the epoch would not do: a new loader draws from torch's generator, in a resumed run
        before the epoch starts and else after.
        """
        place = (self._settings.seed, self._settings.name, trainer.current_epoch, batch_idx)
        torch.manual_seed(seed_from("step", *place))

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        """Moves the progress bar."""
        self._advance(1)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes journal, kept state and checkpoint, in this order."""
        values = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._lines.append(
            {
                "phase": self._settings.name,
                "epoch": trainer.current_epoch,
                "train_loss": values["train_loss"],
                "val_loss": values["val_loss"],
                "val_metric": values["val_metric"],
                "lr": float(trainer.optimizers[0].param_groups[0]["lr"]),
            }
        )
        _rewrite_journal(self._journal, self._settings.name, self._lines)
        signed = self._sign * values["val_metric"]
        if signed > self._best[0]:
            self._best = [signed, values["val_error"]]
        if signed >= self._best[0] - self._best[1]:
            save_state(self._best_path, _rest_of(pl_module).state_dict())
        if self._settings.keep_all:
            path = epoch_path(self._best_path.parent, self._settings.name, trainer.current_epoch)
            save_state(path, _rest_of(pl_module).state_dict())
        self._finished = trainer.should_stop or trainer.current_epoch + 1 >= self._settings.epochs
        trainer.save_checkpoint(self._last_path)


def best_path(folder: Path, phase: str) -> Path:
    """Where a phase keeps the state that it ends with."""
    return folder / f"{phase}-best.safetensors"


def epoch_path(folder: Path, phase: str, epoch: int) -> Path:
    """Where the state after one epoch is kept, when all are."""
    return folder / f"{phase}-epoch-{epoch:03d}.safetensors"


def last_path(folder: Path, phase: str) -> Path:
    """Where a phase keeps its last checkpoint."""
    return folder / f"{phase}-last.ckpt"


def is_finished(folder: Path, phase: str) -> bool:
    """Whether a phase has had its last epoch."""
    path = last_path(folder, phase)
    if not path.is_file():
        return False
    callbacks = torch.load(path, map_location="cpu", weights_only=True)["callbacks"]
    return bool(callbacks[EpochKeeper.__name__]["finished"])


def _rest_of(module: pl.LightningModule) -> Rest:
    rest = module.rest
    if not isinstance(rest, Rest):
        raise TypeError(f"expected a Rest, got {type(rest).__name__}")
    return rest


def _rewrite_journal(journal: Path, phase: str, lines: list[dict[str, Any]]) -> None:
    earlier = []
    if journal.is_file():
        found = (json.loads(line) for line in journal.read_text(encoding="utf-8").splitlines())
        earlier = [line for line in found if line["phase"] != phase]
    write_text(journal, "".join(json.dumps(line) + "\n" for line in [*earlier, *lines]))
