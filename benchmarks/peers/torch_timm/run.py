"""A plain loop of torch and timm in its recommended form for a CPU.

channels_last, bfloat16 autocast where the processor has it, DataLoader workers, timm's transforms,
AdamW with one-cycle; first the classifier alone on the frozen body (in evaluation mode), then
everything (in training mode, as it is usually written). The clock stands still while the test split
is scored.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Sequence
from typing import Any

import protocol

with protocol.importing():
    import numpy as np
    import timm
    import torch
    from PIL import Image
    from timm.data import create_transform
    from torch import nn
    from torch.utils.data import DataLoader, Dataset

ARCHITECTURE = "tf_efficientnet_lite0"
SIZE = (3, 224, 224)
MEAN = STD = (0.5, 0.5, 0.5)
BATCH = 32
TEST_BATCH = 64
WEIGHT_DECAY = 0.05
# As in headstart: pretrained layers learn more slowly than the new one.
BODY_LR_FACTOR = 0.3
LABEL_SMOOTHING = 0.1


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    """Files with the numbers of their classes.

    Args:
        rows: (path, label) of each.
        classes: in order.
        transform: from a Pillow picture to a tensor.
    """

    def __init__(
        self,
        rows: Sequence[Sequence[str]],
        classes: Sequence[str],
        transform: Callable[[Image.Image], torch.Tensor],
    ) -> None:
        self._rows, self._transform = rows, transform
        self._numbers = {name: number for number, name in enumerate(classes)}

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, at: int) -> tuple[torch.Tensor, int]:
        path, label = self._rows[at]
        with Image.open(path) as picture:
            # Scaled decoding, as fast as JPEG allows; both sides stay at least 256 long.
            picture.draft("RGB", (256, 256))
            return self._transform(picture.convert("RGB")), self._numbers[label]


def main() -> None:
    """Does the job on standard input."""
    job = protocol.read_job()
    seed_everything(job["seed"])
    clock = protocol.Clock(job["limit"])
    options = job["options"]
    classes = sorted({label for _, label in job["train"]})
    model = timm.create_model(
        ARCHITECTURE,
        pretrained=True,
        pretrained_cfg_overlay={"file": job["weights"]},
        num_classes=len(classes),
    ).to(memory_format=torch.channels_last)
    with clock.paused():
        show_weights(model)
    train, test = loaders(job, classes)
    run = Run(model, train, test, clock)
    with protocol.training(clock, "torch", "torchvision", "timm", "pillow"):
        run.phase(options["frozen_epochs"], options["head_lr"], frozen=True)
        if options["epochs"]:
            run.phase(options["epochs"], options["lr"], frozen=False)


def seed_everything(seed: int) -> None:
    """Of every generator that takes part."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - timm's transforms draw from the global generator
    torch.manual_seed(seed)


def loaders(job: dict[str, Any], classes: Sequence[str]) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Training batches in random order, test batches in order."""
    moved = create_transform(
        SIZE, is_training=True, mean=MEAN, std=STD, scale=(0.3, 1.0), color_jitter=0.3, hflip=0.5
    )
    plain = create_transform(SIZE, mean=MEAN, std=STD, crop_pct=0.875, interpolation="bilinear")
    workers = job["options"].get("workers", os.cpu_count() or 1)
    kept = {"num_workers": workers, "persistent_workers": workers > 0}
    train = Pictures(job["train"], classes, moved)
    return (
        DataLoader(
            train,
            min(BATCH, len(train)),
            shuffle=True,
            drop_last=len(train) % BATCH == 1,
            **kept,
        ),
        DataLoader(Pictures(job["test"], classes, plain), TEST_BATCH, num_workers=workers),
    )


class Run:
    """One training run.

    Args:
        model: trained in place.
        train: training batches.
        test: test batches, scored after every epoch with the clock standing still.
        clock: of the job.
    """

    def __init__(
        self,
        model: nn.Module,
        train: DataLoader[Any],
        test: DataLoader[Any],
        clock: protocol.Clock,
    ) -> None:
        self._model, self._train, self._test, self._clock = model, train, test, clock
        self._loss = nn.CrossEntropyLoss(label_smoothing=LABEL_SMOOTHING)

    def phase(self, epochs: int, lr: float, *, frozen: bool) -> None:
        """Trains the classifier alone, or everything."""
        if not epochs:
            return
        head = list(self._model.get_classifier().parameters())
        owned = {id(parameter) for parameter in head}
        body = [p for p in self._model.parameters() if id(p) not in owned]
        for parameter in body:
            parameter.requires_grad_(not frozen)
        groups = [{"params": head, "lr": lr}]
        rates = [lr]
        if not frozen:
            groups.append({"params": body, "lr": lr * BODY_LR_FACTOR})
            rates.append(lr * BODY_LR_FACTOR)
        optimizer = torch.optim.AdamW(groups, weight_decay=WEIGHT_DECAY)
        steps = epochs * len(self._train)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps)
        for _ in range(epochs):
            # A frozen body keeps the statistics of its normalisation layers.
            self._model.train(not frozen)
            self._epoch(optimizer, schedule)
            with self._clock.paused():
                found = self._score()
                protocol.say("epoch", seconds=self._clock.seconds, accuracy=found, frozen=frozen)
            self._clock.check()

    def _epoch(self, optimizer: torch.optim.Optimizer, schedule: Any) -> None:
        for pictures, targets in self._train:
            inputs = pictures.to(memory_format=torch.channels_last)
            with protocol.autocast():
                loss = self._loss(self._model(inputs).float(), targets)
            loss.backward()
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
            self._clock.check()

    def _score(self) -> float:
        right = seen = 0
        self._model.eval()
        with torch.inference_mode(), protocol.autocast():
            for pictures, targets in self._test:
                inputs = pictures.to(memory_format=torch.channels_last)
                right += int((self._model(inputs).argmax(dim=1) == targets).sum())
                seen += len(targets)
        return right / seen


def show_weights(model: nn.Module) -> None:
    """Reports what the body makes of the checked picture."""
    pixels = torch.from_numpy(protocol.checked_picture()).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        features = model.eval().forward_features((pixels - 0.5) / 0.5)
    protocol.say_weights(features.mean(dim=(2, 3))[0])


if __name__ == "__main__":
    main()
