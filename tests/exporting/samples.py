"""Tiny models of every task with pictures that have targets, for tests of exported files."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.torch import load_file

from exporting.tiny import TINY_SIZE, random_inputs, tiny_backbone, write_tiny_model
from headstart import tasks
from headstart.config import DatasetOptions
from headstart.exporting.formats.protocol import Source
from headstart.exporting.graph import Deployed
from headstart.exporting.rebuild import with_state
from headstart.runtime.model_folder import GRAPH, ModelDescription, checked_bytes
from headstart.types import Annotation, Frame, Record, Split
from pictures import write_mask

COUNT = 48
"""Pictures of a sample: a third of them on each side."""

FRAME = Frame(TINY_SIZE)

FIELDS: Mapping[str, tuple[Mapping[str, str], ...]] = {
    "words": tuple({"label": ("ant", "bee", "wasp")[at % 3]} for at in range(COUNT)),
    "sets": tuple(
        {"labels": ("ant", "ant|bee", "", "bee|wasp", "wasp")[at % 5]} for at in range(COUNT)
    ),
    "numbers": tuple({"value": f"{0.5 + at % 7 / 4}"} for at in range(COUNT)),
    "coordinates": tuple(
        {"x0": f"{5 + at % 13}", "y0": f"{5 + at % 7}", "x1": "30", "y1": f"{4 + at % 11}"}
        for at in range(COUNT)
    ),
    "masks": tuple({"mask": f"mask-{at % 4}.png"} for at in range(COUNT)),
    "poses": tuple(
        {"points": f"{5 + at % 13},{5 + at % 7},2 30,{4 + at % 11},1 9,9,2"} for at in range(COUNT)
    ),
}
"""Annotations; each kind belongs to the task that claims it most."""


@dataclasses.dataclass(frozen=True)
class Sample:
    """A tiny model in its folder, and labelled pictures on all sides."""

    folder: Path
    description: ModelDescription
    records: tuple[Record, ...]

    @property
    def graph(self) -> bytes:
        return checked_bytes(self.folder, self.description, GRAPH)

    @functools.cached_property
    def source(self) -> Source:
        calibration = list(random_inputs(24, seed=5))
        return Source(self.folder, self.description, self.graph, self.rebuilt, calibration)

    def rebuilt(self) -> Deployed:
        """The backbone is none that has a name, so that it is built here."""
        state = load_file(self.folder / "weights.safetensors")
        return with_state(tiny_backbone(depth=6), state, self.description, "weights")


def make_sample(kind: str, folder: Path) -> Sample:
    """A model for one kind of ``FIELDS``, in a new folder."""
    task = max(tasks.task_names(), key=lambda name: tasks.spec(name).claims(FIELDS[kind]))
    spec = tasks.spec(task)
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    random = np.random.default_rng(3)
    for number in range(4):
        blocks = random.integers(0, 3, (4, 4), dtype=np.uint8)
        write_mask(pictures / f"mask-{number}.png", blocks.repeat(8, axis=0).repeat(8, axis=1))
    for number, pixels in enumerate(random_inputs(COUNT, seed=1)):
        Image.fromarray(pixels).save(pictures / f"{number}.png")
    annotations = [
        Annotation(pictures / f"{at}.png", f"{at}.png", entry)
        for at, entry in enumerate(FIELDS[kind])
    ]
    parsed = spec.parse(annotations)
    targets = [spec.fit(target, FRAME, DatasetOptions()) for target in parsed.targets]
    sides: tuple[Split, ...] = ("train", "val", "test")
    records = tuple(
        Record(
            *(annotation.path, annotation.image, f"{at:032x}", f"{at:032x}"),
            *(target, sides[at % 3], None, FRAME.size),
        )
        for at, (annotation, target) in enumerate(zip(annotations, targets, strict=True))
    )
    calibration = {"temperature": 1.5, "unknown_threshold": -1.0} if kind == "words" else {}
    model = folder / "run" / "model"
    description = write_tiny_model(model, task, parsed.schema, targets, calibration=calibration)
    return Sample(model, description, records)
