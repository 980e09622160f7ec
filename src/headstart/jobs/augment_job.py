"""Writes augmented copies of training pictures into a new data set. Needs the extra train."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.transforms.v2 import functional

from headstart import tasks
from headstart.config import DATASET_FILE, TrainConfig
from headstart.data.augment import augmented_view
from headstart.data.manifest import look_into
from headstart.data.near_duplicates import near_duplicates
from headstart.data.operations import FLIP, choose, parse_operations, transform_of
from headstart.data.placing import check_new_folder, options_text
from headstart.data.split import assign_splits
from headstart.errors import ConfigError, DataError, UnreadableImageError
from headstart.jobs.material import parse_pictures
from headstart.progress import Progress
from headstart.runtime.images import measure, read_image
from headstart.runtime.preprocess import BOX_MARGIN
from headstart.storage import seed_from, write_bytes, write_text
from headstart.tasks.drawing import PAPER, sheet, with_legend
from headstart.tasks.learning import Placed
from headstart.types import SPLITS, Geometry, ImageArray, Manifest, Omission, Record

TABLE = "labels.csv"
PICTURES = "pictures"
# Not "masks": beside a folder of pictures that would be another layout, without sides.
MASKS = "targets"
SHEET = "contact-sheet.png"

MAX_TIMES = 1000
SHEET_ROWS = 8
SHEET_COPIES = 5
TILE = 260
"""Longer side of a picture on the contact sheet in pixels."""

TEXT = 40
"""Characters under a picture of the contact sheet."""

JPEG_QUALITY = 95
STEM = 40
"""Characters of a picture's own name that its copies keep."""


@dataclasses.dataclass(frozen=True)
class AugmentResult:
    """What was written.

    Attributes:
        into: the folder.
        table: the CSV file, which ``train`` reads.
        sheet: the PNG file with some originals and copies.
        task: name of the task.
        operations: that copies were chosen from.
        originals: pictures by side.
        copies: augmented pictures, all of them in the training split.
        notes: sentences that the person should read.
        omissions: pictures that were left out, and why.
    """

    into: Path
    table: Path
    sheet: Path
    task: str
    operations: tuple[str, ...]
    originals: dict[str, int]
    copies: int
    notes: tuple[str, ...]
    omissions: tuple[Omission, ...]

    def to_json(self) -> dict[str, Any]:
        """What ``augment --json`` prints."""
        paths = {name: str(getattr(self, name)) for name in ("into", "table", "sheet")}
        return {**dataclasses.asdict(self), **paths}


@dataclasses.dataclass(frozen=True)
class _Shown:
    """A picture with its target, upright and cut around its box."""

    pixels: ImageArray
    placed: torch.Tensor | None
    target: Any


def run_augment(
    config: TrainConfig,
    *,
    into: Path,
    times: int,
    operations: str | Sequence[str] | None,
    progress: Progress,
) -> AugmentResult:
    """See ``headstart.augment``."""
    names = parse_operations(operations)
    if not 1 <= times <= MAX_TIMES:
        raise ConfigError([f"--times must be between 1 and {MAX_TIMES}, got {times}"])
    check_new_folder(into, config.data)
    manifest = _read(config, progress)
    names = _without_flip(names, manifest, asked=operations is not None)
    writer = _Writer(into, manifest, names, config.seed)
    total = len(manifest.records) + times * len(manifest.on("train"))
    with progress.bar("augment", total) as advance:
        for number, record in enumerate(manifest.records):
            advance(writer.add(number, record, times))
    # Last: what a kill leaves behind is no data set.
    writer.finish()
    return AugmentResult(
        into=into,
        table=into / TABLE,
        sheet=into / SHEET,
        task=manifest.task,
        operations=names,
        originals={side: len(manifest.on(side)) for side in SPLITS},
        copies=times * len(manifest.on("train")),
        notes=manifest.notes,
        omissions=manifest.omissions,
    )


class _Writer:
    """Writes pictures as they come, and the table and the contact sheet at the end.

    Args:
        into: folder to write.
        manifest: the originals, with their sides.
        operations: that copies are chosen from.
        seed: decides them.
    """

    def __init__(
        self, into: Path, manifest: Manifest, operations: tuple[str, ...], seed: int
    ) -> None:
        self._into, self._manifest = into, manifest
        self._operations, self._seed = operations, seed
        self._spec = tasks.spec(manifest.task)
        self._learner = tasks.learner(manifest.task)
        self._rows: list[dict[str, str]] = []
        self._tiles: list[Image.Image] = []
        train = [at for at, record in enumerate(manifest.records) if record.split == "train"]
        spread = np.linspace(0, len(train) - 1, min(SHEET_ROWS, len(train))).round()
        self._drawn = {train[int(at)] for at in spread}

    def add(self, number: int, record: Record, times: int) -> int:
        """Writes one picture and, if it trains, its copies; gives how many were written."""
        stem = re.sub(r"[^\w-]+", "_", record.path.stem)[-STEM:]
        name = f"{number:06}-{stem}"
        shown = self._shown(record)
        self._add_original(name, record, shown)
        if number in self._drawn:
            self._draw(shown.pixels, shown.target)
        if record.split != "train":
            return 1
        jpeg = record.path.suffix.lower() in (".jpg", ".jpeg", ".jpe", ".jfif")
        for copy in range(1, times + 1):
            seed = seed_from("augment", self._seed, record.region, copy)
            chosen = choose(self._operations, seed)
            pixels, placed = augmented_view(shown.pixels, shown.placed, transform_of(chosen), seed)
            target = shown.target
            if placed is not None:
                target = self._learner.moved(target, placed, self._manifest.schema)
            content = _encoded(pixels, "JPEG" if jpeg else "PNG")
            self._write(f"{name}-copy-{copy:03}", ".jpg" if jpeg else ".png", content)
            self._list(f"{name}-copy-{copy:03}", ".jpg" if jpeg else ".png", record, target)
            if number in self._drawn and copy <= SHEET_COPIES:
                self._draw(pixels, target, chosen)
        return 1 + times

    def finish(self) -> None:
        """Writes the contact sheet, ``dataset.yaml`` and the table."""
        columns = 1 + min(SHEET_COPIES, len(self._tiles) // len(self._drawn) - 1)
        write_bytes(self._into / SHEET, _png(sheet(self._tiles, columns)))
        options = {"task": self._manifest.task}
        options |= self._spec.row_options(self._manifest.schema)
        write_text(self._into / DATASET_FILE, options_text(options))
        header = list(dict.fromkeys(name for row in self._rows for name in row))
        text = io.StringIO()
        table = csv.DictWriter(text, header, restval="", lineterminator="\n")
        table.writeheader()
        table.writerows(self._rows)
        write_text(self._into / TABLE, text.getvalue())

    def _shown(self, record: Record) -> _Shown:
        """Reads a picture; its target is placed in it where it moves."""
        try:
            pixels = read_image(record.path, white_level=self._manifest.white_level)
        except UnreadableImageError as error:
            raise DataError(f"{record.image} {error}") from error
        schema, target, placed = self._manifest.schema, record.target, None
        if self._learner.moves(schema):
            geometry = Geometry(record.size, (1.0, 1.0), (0.0, 0.0), record.size)
            placed = self._learner.place(target, schema, geometry)
        if record.box is None:
            return _Shown(pixels, placed, target)
        left, top, right, bottom = _around(record)
        pixels = pixels[top:bottom, left:right]
        if placed is not None:
            placed = functional.crop(placed, top, left, bottom - top, right - left)
            target = self._learner.moved(target, Placed(placed), schema)
        return _Shown(pixels, placed, target)

    def _add_original(self, name: str, record: Record, shown: _Shown) -> None:
        """Copies the file where it can stay as it is: neither cut nor lying on its side."""
        as_it_is = record.box is None and measure(record.path).orientation == 1
        suffix = record.path.suffix.lower() if as_it_is else ".png"
        content = record.path.read_bytes() if as_it_is else _encoded(shown.pixels, "PNG")
        self._write(name, suffix, content)
        self._list(name, suffix, record, shown.target)

    def _write(self, name: str, suffix: str, content: bytes) -> None:
        write_bytes(self._into / PICTURES / f"{name}{suffix}", content)

    def _list(self, name: str, suffix: str, record: Record, target: Any) -> None:
        """Adds a row of the table; masks become files."""
        row = {
            "image": f"{PICTURES}/{name}{suffix}",
            "split": str(record.split),
            "group": record.group if record.group is not None else record.image,
        }
        for field, value in self._spec.to_row(self._manifest.schema, target).items():
            if isinstance(value, str):
                row[field] = value
                continue
            row[field] = f"{MASKS}/{name}.png"
            write_bytes(self._into / row[field], _encoded(value, "PNG"))
        self._rows.append(row)

    def _draw(self, pixels: ImageArray, target: Any, operations: Sequence[str] = ()) -> None:
        """Adds a picture with its target to the contact sheet; the first one has a legend."""
        schema = self._manifest.schema
        truth = self._spec.truth(schema, target)
        drawn = self._spec.draw(pixels, truth, schema)[""]
        height = round(drawn.width * pixels.shape[0] / pixels.shape[1])
        if self._tiles:
            drawn = drawn.crop((0, 0, drawn.width, height))
        scale = TILE / max(drawn.width, height)
        drawn = drawn.resize((round(drawn.width * scale), round(drawn.height * scale)))
        canvas = Image.new("RGB", (TILE, drawn.height), PAPER)
        canvas.paste(drawn, (0, 0))
        text = ", ".join(operations) or truth.headline
        self._tiles.append(with_legend(canvas, [(None, text[:TEXT])]))


def _read(config: TrainConfig, progress: Progress) -> Manifest:
    """The pictures with their sides, as ``train`` would decide them."""
    manifest = look_into(parse_pictures(config), None, progress, across_sides=True)
    twins = near_duplicates(manifest.contents, progress)
    return assign_splits(manifest, twins, "refuse")


def _without_flip(names: tuple[str, ...], manifest: Manifest, asked: bool) -> tuple[str, ...]:
    """The operations without mirroring, where it is not known what a mirrored target is."""
    if FLIP not in names or tasks.learner(manifest.task).defaults(manifest.schema).may_mirror:
        return names
    if asked:
        problem = (
            "--operations must not hold flip: which points change places in a mirrored picture is "
            "not known (flip_pairs in dataset.yaml says it)"
        )
        raise ConfigError([problem])
    return tuple(name for name in names if name != FLIP)


def _around(record: Record) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is shown around a box, within the picture."""
    if record.box is None:
        raise ValueError(f"{record.image} has no box")
    left, top, width, height = record.box
    wide, high = (side * (BOX_MARGIN - 1.0) / 2.0 for side in (width, height))
    bounds = np.array([left - wide, top - high, left + width + wide, top + height + high])
    ends = [record.size[1], record.size[0]]
    low = np.clip(np.floor(bounds[:2]).astype(int), 0, np.array(ends) - 1)
    far = np.clip(np.ceil(bounds[2:]).astype(int), low + 1, ends)
    return int(low[0]), int(low[1]), int(far[0]), int(far[1])


def _encoded(pixels: Any, kind: str) -> bytes:
    """The content of a file: JPEG with little loss, or PNG."""
    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if kind == "JPEG":
        image.save(buffer, kind, quality=JPEG_QUALITY, subsampling=0)
    else:
        image.save(buffer, kind)
    return buffer.getvalue()


def _png(image: Image.Image) -> bytes:
    return _encoded(np.asarray(image), "PNG")
