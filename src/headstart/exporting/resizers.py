"""What other programs' ways of resizing cost: where most disagreement on devices comes from.

A model is trained on pictures that ``Preprocess`` made. A web page or a phone resizes by its own
means; these are models of them, in Pillow.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from headstart import tasks
from headstart.exporting.trial import Drop, paired_drop
from headstart.progress import Progress
from headstart.runtime.backends import Backend
from headstart.runtime.images import read_image
from headstart.runtime.model_folder import ModelDescription
from headstart.runtime.predictor import DEFAULT_BATCH, load_input
from headstart.runtime.preprocess import PAD_VALUE, Preprocess
from headstart.storage import cpu_count
from headstart.types import Box, Geometry, ImageArray, Outputs, Record

MAX_PICTURES = 200
"""More would tell the same and take minutes."""

Resizer = Callable[[ImageArray, Preprocess, Box | None], tuple[ImageArray, Geometry]]
"""From an upright picture at its full size to the graph's input."""


@dataclasses.dataclass(frozen=True)
class ResizerCost:
    """What a way of resizing costs the reference.

    Attributes:
        name: of the way.
        n: pictures.
        agreement: of the answers with those after headstart's own resizing, 0 to 1.
        drop: of the metric.
    """

    name: str
    n: int
    agreement: float
    drop: Drop

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"resizer": self.name, "agreement": self.agreement, **self.drop.to_json()}


def own_at_full_size(
    image: ImageArray, preprocess: Preprocess, box: Box | None
) -> tuple[ImageArray, Geometry]:
    """Antialiased bilinear from all pixels: Pillow, torchvision."""
    return preprocess.apply(image, box)


def halved(
    image: ImageArray, preprocess: Preprocess, box: Box | None
) -> tuple[ImageArray, Geometry]:
    """Halved as often as possible, then bilinear: a canvas of medium or high quality, mipmaps."""
    geometry = preprocess.place((image.shape[0], image.shape[1]), box)
    times = max(0, math.floor(-math.log2(max(geometry.scale))))
    return _sampled(image, geometry, Image.Resampling.BILINEAR, 2**times), geometry


def bilinear(
    image: ImageArray, preprocess: Preprocess, box: Box | None
) -> tuple[ImageArray, Geometry]:
    """Bilinear between the four nearest pixels: OpenCV, most phones, a canvas of low quality."""
    geometry = preprocess.place((image.shape[0], image.shape[1]), box)
    return _sampled(image, geometry, Image.Resampling.BILINEAR, 1), geometry


def nearest(
    image: ImageArray, preprocess: Preprocess, box: Box | None
) -> tuple[ImageArray, Geometry]:
    """The nearest pixel: a canvas without smoothing, many embedded cameras."""
    geometry = preprocess.place((image.shape[0], image.shape[1]), box)
    return _sampled(image, geometry, Image.Resampling.NEAREST, 1), geometry


RESIZERS: Mapping[str, Resizer] = {
    "antialiased, from full size": own_at_full_size,
    "halved, then bilinear": halved,
    "bilinear": bilinear,
    "nearest": nearest,
}


def resizer_costs(
    description: ModelDescription,
    reference: Backend,
    records: Sequence[Record],
    progress: Progress,
) -> list[ResizerCost]:
    """Runs the reference on the same pictures, resized in each way.

    Args:
        description: of the model.
        reference: runs ``model.onnx``.
        records: labelled pictures; the first ``MAX_PICTURES`` are taken.
        progress: shows a bar.
    """
    chosen = [record for record in records if record.target is not None][:MAX_PICTURES]
    if not chosen:
        return []
    spec, scorer = tasks.spec(description.task), tasks.scorer(description.task)
    ways = ("own", *RESIZERS)
    observed: dict[str, list[Outputs]] = {name: [] for name in ways}
    agreements: dict[str, list[float]] = {name: [] for name in ways}

    def load(record: Record) -> list[tuple[ImageArray, Geometry]]:
        preprocess = description.preprocess
        full = read_image(record.path, white_level=preprocess.white_level)
        others = [resize(full, preprocess, record.box) for resize in RESIZERS.values()]
        return [load_input(record.path, preprocess, record.box), *others]

    with (
        ThreadPoolExecutor(cpu_count()) as pool,
        progress.bar("resizers", len(chosen)) as advance,
    ):
        for start in range(0, len(chosen), DEFAULT_BATCH):
            batch = chosen[start : start + DEFAULT_BATCH]
            own: list[Any] = []
            for name, inputs in zip(ways, zip(*pool.map(load, batch), strict=True), strict=True):
                outputs = reference.run(np.stack([pixels for pixels, _ in inputs]))
                places = [place for _, place in inputs]
                known = description.schema, description.calibration
                answers = spec.decode(outputs, *known, geometries=places)
                own = own or answers
                agreements[name] += map(spec.agreement, answers, own)
                part = scorer.observe(outputs, answers, batch, description.schema)
                observed[name].append(part)
            advance(len(batch))
    joined = {name: _joined(parts) for name, parts in observed.items()}
    return [
        ResizerCost(
            name,
            len(chosen),
            float(np.mean(agreements[name])),
            paired_drop(description, joined["own"], joined[name], chosen),
        )
        for name in RESIZERS
    ]


def _sampled(
    image: ImageArray, geometry: Geometry, how: Image.Resampling, reduced: int
) -> ImageArray:
    """Samples the picture where the input's pixels lie in it; beyond it lies grey."""
    (scale_y, scale_x), (top, left), (height, width) = (
        geometry.scale,
        geometry.offset,
        geometry.size,
    )
    picture = Image.fromarray(image)
    if reduced > 1:
        picture = picture.reduce(reduced)
    ratio_x, ratio_y = picture.width / image.shape[1], picture.height / image.shape[0]
    extent = (
        -left / scale_x * ratio_x,
        -top / scale_y * ratio_y,
        (width - left) / scale_x * ratio_x,
        (height - top) / scale_y * ratio_y,
    )
    grey = (PAD_VALUE,) * 3
    found = picture.transform(
        (width, height), Image.Transform.EXTENT, extent, resample=how, fillcolor=grey
    )
    return np.asarray(found)


def _joined(parts: Sequence[Outputs]) -> Outputs:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
