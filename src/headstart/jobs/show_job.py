"""Draws views of training pictures as training sees them. Needs the extra train."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from headstart import tasks
from headstart.config import TrainConfig, train_config
from headstart.data.image_cache import ImageCache
from headstart.data.loader import EpochOrder
from headstart.errors import DataError
from headstart.jobs.material import read_data, view_maker
from headstart.jobs.run_folder import RUNS
from headstart.progress import Progress
from headstart.storage import write_bytes
from headstart.tasks.drawing import sheet, with_legend
from headstart.training.custom import Custom
from headstart.training.phases import FINETUNE_PHASE
from headstart.training.settings import settled
from headstart.training.store_plan import wanted_views
from headstart.training.views import PLAIN, View, ViewMaker
from headstart.types import Manifest, Record

MAX_COUNT = 256
SHEET_WIDTH = 1800
"""Pixels; so many views stand beside each other as fit."""


@dataclasses.dataclass(frozen=True)
class ShowResult:
    """What was drawn.

    Attributes:
        out: the PNG file.
        views: (image, number of the view) in the order of the sheet; 0 is the plain view.
    """

    out: Path
    views: tuple[tuple[str, int], ...]

    def to_json(self) -> dict[str, Any]:
        """What ``show --json`` prints."""
        views = [{"image": image, "view": number} for image, number in self.views]
        return {"out": str(self.out), "views": views}


def run_show(
    given: Mapping[str, Any],
    *,
    out: Path | None,
    count: int | None,
    file: Path | None,
    progress: Progress,
    custom: Custom,
) -> ShowResult:
    """See ``headstart.show``."""
    config = train_config(given, file)
    custom.check(config, given)
    if count is not None and not 1 <= count <= MAX_COUNT:
        raise DataError(f"--count must be between 1 and {MAX_COUNT}, got {count}")
    target = out if out is not None else RUNS / f"{config.data.resolve().stem}-batch.png"
    folder = config.data if config.data.is_dir() else config.data.parent
    if target.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"--out {target} lies in {folder}: the data is not changed, say another")
    config, manifest, images = read_data(config, None, None, progress)
    maker = view_maker(config, manifest, settled(config.train_size), custom)
    views = _batch(config, manifest, count)
    tiles = [_drawn(view, manifest, maker, images) for view in views]
    columns = max(1, SHEET_WIDTH // max(tile.width for tile in tiles))
    buffer = io.BytesIO()
    sheet(tiles, columns).save(buffer, "PNG")
    write_bytes(target, buffer.getvalue())
    return ShowResult(target, tuple((record.image, number) for record, number in views))


def _batch(config: TrainConfig, manifest: Manifest, count: int | None) -> list[View]:
    """The first views of the first epoch of the second phase."""
    train: tuple[Record, ...] = manifest.on("train")
    defaults = tasks.learner(manifest.task).defaults(manifest.schema)
    views = wanted_views(config, defaults, len(train)) + 1
    size = min(count or config.batch_size or defaults.batch_size, len(train))
    order = EpochOrder(len(train), views, size, config.seed, FINETUNE_PHASE)
    return [(train[position], number) for position, number in next(iter(order))]


def _drawn(view: View, manifest: Manifest, maker: ViewMaker, images: ImageCache) -> Image.Image:
    """One view with its target, and under it which view of which picture it is."""
    record, number = view
    pixels, encoded = maker.make(view, images)
    spec, schema = tasks.spec(manifest.task), manifest.schema
    if encoded is None:
        shown = spec.truth(schema, record.target)
    else:
        size = (pixels.shape[0], pixels.shape[1])
        shown = tasks.learner(manifest.task).in_view(encoded, schema, size)
    image = spec.draw(pixels, shown, schema)[""]
    name = record.image.rpartition("/")[2]
    return with_legend(image, [(None, f"{name} {'plain' if number == PLAIN else number}")])
