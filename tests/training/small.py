"""Pictures, stored views and a network small enough to train within a second."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import torch

from exporting.tiny import TINY_SIZE, tiny_backbone
from headstart import tasks
from headstart.config import TrainConfig
from headstart.data.augment import Augmentation
from headstart.data.image_cache import ImageCache
from headstart.data.manifest import build_manifest
from headstart.data.split import assign_splits
from headstart.models.heads import Head
from headstart.models.network import Network, Prefix
from headstart.progress import Advance, QuietProgress
from headstart.runtime.preprocess import Preprocess
from headstart.tasks.learning import HeadOptions
from headstart.training.features import StoredViews
from headstart.training.phases import Phases
from headstart.training.plan import Plan
from headstart.training.views import PLAIN, SideViews, ViewMaker
from headstart.types import Manifest
from pictures import write_class_folders

SPLIT_STAGE = 1
VIEWS = 2
STANDARD = Augmentation()


class KilledError(Exception):
    """Stands for the end of the process."""


class Killing:
    """Progress that ends the process after a number of steps of training."""

    def __init__(self, after: int) -> None:
        self.left = after

    def say(self, text: str) -> None:
        pass

    @contextlib.contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        yield self._advance

    def _advance(self, units: int) -> None:
        self.left -= units
        if self.left < 0:
            raise KilledError


class Counting:
    """Progress that counts the steps of all bars by title."""

    def __init__(self) -> None:
        self.steps: dict[str, int] = {}

    def say(self, text: str) -> None:
        pass

    @contextlib.contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        def advance(units: int) -> None:
            self.steps[title] = self.steps.get(title, 0) + units

        yield advance


OPTIONS = HeadOptions(dropout=0.2)


@dataclasses.dataclass(frozen=True)
class Small:
    """A data set whose views are stored."""

    manifest: Manifest
    config: TrainConfig
    plan: Plan
    cache: Path
    images: ImageCache
    preprocess: Preprocess

    @classmethod
    def make(cls, folder: Path) -> Small:
        # Two workers share two cores, and layers of this size gain nothing from a second thread.
        torch.set_num_threads(1)
        config = TrainConfig(
            data=write_class_folders(folder / "pictures", 14, size=(40, 48)),
            image_size=TINY_SIZE,
            train_size=TINY_SIZE,
            head_lr=0.01,
            label_smoothing=0.1,
        )
        images = ImageCache(folder / "cache", TINY_SIZE)
        manifest = assign_splits(
            build_manifest(config.data, cache=images, progress=QuietProgress())
        )
        plan = Plan(
            strategy="finetune",
            split_stage=SPLIT_STAGE,
            n_stages=3,
            views=VIEWS,
            epochs=3,
            freeze_epochs=2,
            lr=0.03,
            batch_size=8,
            loss="cross-entropy",
            engine="torch-float32",
            precision="32-true",
            threads=2,
            n_train=len(manifest.on("train")),
            n_val=len(manifest.on("val")),
            n_test=len(manifest.on("test")),
            image_size=TINY_SIZE,
            train_size=TINY_SIZE,
            store_bytes=0,
            expected_seconds={},
        )
        small = cls(manifest, config, plan, folder / "cache", images, Preprocess(TINY_SIZE))
        small.stored(small.network()).compute(small.views(), images, QuietProgress())
        return small

    def views(self) -> list:
        views = [(r, v) for r in self.manifest.on("train") for v in range(PLAIN, VIEWS + 1)]
        return views + [(r, PLAIN) for r in self.manifest.on("val")]

    def network(self, options: HeadOptions = OPTIONS) -> Network:
        learner = tasks.learner(self.manifest.task)
        backbone = tiny_backbone()
        targets = [record.target for record in self.manifest.on("train")]
        torch.manual_seed(0)
        head = learner.head(backbone.outputs, self.manifest.schema, targets, options)
        assert isinstance(head, Head)
        return Network(backbone, head).eval()

    def stored(self, network: Network, stage: int = SPLIT_STAGE) -> StoredViews:
        prefix, _ = network.split(stage)
        return store_views(self.cache, prefix, self.preprocess, seed=self.config.seed)

    def phases(self, run: Path, network: Network, **settings: object) -> Phases:
        stored = self.stored(network)
        return Phases(
            run,
            self.config.model_copy(update=settings),
            self.plan,
            self.manifest,
            network,
            SideViews(stored, stored),
        )


def store_views(
    folder: Path,
    prefix: Prefix,
    preprocess: Preprocess,
    engine: str = "torch-float32",
    seed: int = 0,
    augmentation: Augmentation = STANDARD,
) -> StoredViews:
    """Stored views with the defaults of these tests."""
    return StoredViews(folder, prefix, ViewMaker(preprocess, seed, augmentation), engine)


def same_state(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    """Whether all tensors are equal, bit for bit."""
    ours, theirs = first.state_dict(), second.state_dict()
    assert ours
    assert ours.keys() == theirs.keys()
    return all(torch.equal(ours[name], theirs[name]) for name in ours)
