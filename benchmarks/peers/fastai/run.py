"""fastai as its documentation recommends: ``vision_learner``, ``aug_transforms``, ``fine_tune``.

All training pictures train: fastai's validation set is the test split here, and the clock stands
still while it is scored. Kinds of jobs: ``train``, and ``predict``: ``get_preds`` over the test
split.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import protocol

with protocol.importing():
    import torch
    from fastai.vision.all import (
        Callback,
        CancelValidException,
        CategoryBlock,
        ColReader,
        DataBlock,
        DataLoaders,
        ImageBlock,
        Learner,
        Resize,
        accuracy,
        aug_transforms,
        set_seed,
        vision_learner,
    )
    from pandas import DataFrame

ARCHITECTURE = "tf_efficientnet_lite0"
SIZE = 224
# Pictures are cut to this size on the processor before the batch is turned and zoomed, as in
# fastai's own examples.
PRESIZE = 256
# The default of 64 leaves 11 steps an epoch on the dishes; more steps served fastai better.
BATCH = 32


class EveryEpoch(Callback):  # type: ignore[misc]
    """Reports the accuracy that fastai's own validation finds, and keeps that off the clock.

    Args:
        clock: of the job.
        unscored: first epochs (of each phase) that are not scored.
    """

    def __init__(self, clock: protocol.Clock, unscored: int) -> None:
        super().__init__()
        self.clock, self.unscored = clock, unscored

    def after_batch(self) -> None:
        """Stops in the middle of an epoch when the time is up."""
        if self.training:
            self.clock.check()

    def before_validate(self) -> None:
        """The test split is scored now, or not at all."""
        self.clock.pause()
        if self.early:
            raise CancelValidException

    @property
    def early(self) -> bool:
        """Whether this epoch is not scored; the last one always is."""
        return bool(self.epoch < min(self.unscored, self.n_epoch - 1))

    def after_epoch(self) -> None:
        """Both losses and the metric are recorded now."""
        if not self.early:
            found = float(self.learn.recorder.metrics[0].value)
            protocol.say("epoch", seconds=self.clock.seconds, accuracy=found)
        self.clock.resume()
        self.clock.check()


def main() -> None:
    """Does the job on standard input."""
    job = protocol.read_job()
    set_seed(job["seed"])
    clock = protocol.Clock(job["limit"])
    learner = make_learner(job)
    with clock.paused():
        show_weights(learner)
    if job["kind"] == "predict":
        predict(learner, job)
        return
    options = job["options"]
    learner.add_cb(EveryEpoch(clock, options.get("unscored", 0)))
    with protocol.training(clock, "fastai", "torch", "torchvision", "timm", "pillow"):
        if options.get("frozen"):
            learner.freeze()
            learner.fit_one_cycle(options["epochs"], options["lr"])
        else:
            learner.fine_tune(options["epochs"], base_lr=options["lr"])


def make_learner(job: dict[str, Any]) -> Learner:
    """The learner, its body with the given weights, its normalisation that of timm's entry."""
    return vision_learner(
        make_loaders(job),
        ARCHITECTURE,
        metrics=accuracy,
        path=Path(job["work"]),
        # timm reads the weights from this file instead of a hub.
        pretrained_cfg_overlay={"file": job["weights"]},
    )


def make_loaders(job: dict[str, Any]) -> DataLoaders:
    """Training pictures, and test pictures as the validation set."""
    rows = [(path, label, False) for path, label in job["train"]]
    rows += [(path, label, True) for path, label in job["test"]]
    table = DataFrame(rows, columns=["path", "label", "tested"])
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_x=ColReader("path"),
        get_y=ColReader("label"),
        splitter=lambda found: (
            list(found.index[~found["tested"]]),
            list(found.index[found["tested"]]),
        ),
        item_tfms=Resize(PRESIZE),
        batch_tfms=aug_transforms(size=SIZE),
    )
    batch = min(BATCH, len(job["train"]))
    return block.dataloaders(table, bs=batch, seed=job["seed"], device=torch.device("cpu"))


def show_weights(learner: Learner) -> None:
    """Reports what the body makes of the checked picture."""
    body = learner.model[0].eval()
    pixels = torch.from_numpy(protocol.checked_picture()).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        features = body((pixels - 0.5) / 0.5)
    protocol.say_weights(features.mean(dim=(2, 3))[0])


def predict(learner: Learner, job: dict[str, Any]) -> None:
    """Times ``get_preds`` over the files of the test split."""
    files = [path for path, _ in job["test"]]
    for _ in range(job["options"].get("rounds", 1)):
        start = time.perf_counter()
        loader = learner.dls.test_dl(DataFrame({"path": files}), bs=job["options"].get("batch", 64))
        found, _ = learner.get_preds(dl=loader)
        seconds = time.perf_counter() - start
        protocol.say("predicted", seconds=seconds, pictures=len(found))
    protocol.say("end", seconds=0.0, censored=False, versions=protocol.versions("fastai", "torch"))


if __name__ == "__main__":
    sys.exit(main())
