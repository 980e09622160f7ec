"""Frozen records that pass between the stages.

Conventions everywhere: sizes are (height, width) in pixels; points are (x, y) in pixels with the
origin at the centre of the top-left pixel; pictures are arrays (height, width, 3), uint8, RGB.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Size = tuple[int, int]
"""(height, width) in pixels."""

Box = tuple[float, float, float, float]
"""(x, y, width, height) in pixels; x and y of the top-left corner, in continuous coordinates."""

ImageArray = npt.NDArray[np.uint8]
"""(height, width, 3), uint8, RGB."""

Outputs = Mapping[str, npt.NDArray[np.float32]]
"""The named outputs of an exported graph for a batch: each array (batch, ...), float32."""

IGNORED = 255
"""Index of pixels of a mask that count for nothing."""

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """How a picture lies in its file.

    Attributes:
        size: (height, width) of the upright picture in pixels.
        orientation: of EXIF, 1 to 8; from 5 on the stored picture lies on its side.
    """

    size: Size
    orientation: int = 1

    @property
    def stored(self) -> Size:
        """(height, width) of the picture as it is stored."""
        return self.size[::-1] if self.orientation >= 5 else self.size

    def to_upright(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Maps points (..., 2) as (x, y) in pixels of the stored picture to the upright one.

        The origin is the centre of the top-left pixel in both.
        """
        height, width = self.stored
        x, y = points[..., 0], points[..., 1]
        turned = {
            1: (x, y),
            2: (width - 1 - x, y),
            3: (width - 1 - x, height - 1 - y),
            4: (x, height - 1 - y),
            5: (y, x),
            6: (height - 1 - y, x),
            7: (height - 1 - y, width - 1 - x),
            8: (y, width - 1 - x),
        }[self.orientation]
        return np.stack(turned, axis=-1)

    def box_to_upright(self, box: Box) -> Box:
        """Maps a box in the stored picture to the upright one."""
        left, top, width, height = box
        # Corners in continuous coordinates lie half a pixel before the centres of pixels.
        corners = np.array([[left, top], [left + width, top + height]]) - 0.5
        turned = self.to_upright(corners) + 0.5
        low, high = turned.min(axis=0), turned.max(axis=0)
        width, height = high - low
        return (float(low[0]), float(low[1]), float(width), float(height))


@dataclasses.dataclass(frozen=True)
class Geometry:
    """How one picture was placed in the graph's input: input = original * scale + offset.

    Continuous coordinates: pixel centres lie at whole numbers plus 0.5.

    Attributes:
        original: (height, width) of the upright picture in pixels.
        scale: (y, x), input pixels for each original pixel.
        offset: (y, x) in input pixels; negative where the picture is cropped.
        size: (height, width) of the input in pixels.
    """

    original: Size
    scale: tuple[float, float]
    offset: tuple[float, float]
    size: Size

    def to_input(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Maps points (..., 2) as (x, y) in original pixels to input pixels."""
        scale, offset = self._xy()
        return (points + 0.5) * scale + offset - 0.5

    def to_original(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Maps points (..., 2) as (x, y) in input pixels to original pixels."""
        scale, offset = self._xy()
        return (points + 0.5 - offset) / scale - 0.5

    def box_to_input(self, box: Box) -> Box:
        """Maps a box in the original to the input."""
        (scale_y, scale_x), (top, left) = self.scale, self.offset
        x, y, width, height = box
        return (x * scale_x + left, y * scale_y + top, width * scale_x, height * scale_y)

    def cut(self, region: Box, size: Size) -> Geometry:
        """Where the original lies when a region of the input is shown at another size.

        Args:
            region: of the input.
            size: (height, width) that the region is shown at, in pixels.
        """
        left, top, width, height = region
        (scale_y, scale_x), (old_top, old_left) = self.scale, self.offset
        by_y, by_x = size[0] / height, size[1] / width
        offset = ((old_top - top) * by_y, (old_left - left) * by_x)
        return Geometry(self.original, (scale_y * by_y, scale_x * by_x), offset, size)

    def seen_from(self, original: Size) -> Geometry:
        """The same place in the input for the same picture at another resolution."""
        (old_h, old_w), (scale_y, scale_x) = self.original, self.scale
        scale = (scale_y * old_h / original[0], scale_x * old_w / original[1])
        return Geometry(original, scale, self.offset, self.size)

    def _xy(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        return np.array(self.scale[::-1]), np.array(self.offset[::-1])


@dataclasses.dataclass(frozen=True)
class Stage:
    """What comes out of a stage of a backbone.

    Attributes:
        channels: of the feature map.
        stride: input pixels for each position of the map.
        multiply_adds: of the stage, for each pixel of the input.
    """

    channels: int
    stride: int
    multiply_adds: float = 1.0


@dataclasses.dataclass(frozen=True, slots=True)
class Annotation:
    """One picture as a reader found it, before any task has looked at it.

    Attributes:
        path: where the picture lies.
        image: path relative to the data set's root, with forward slashes; its name in messages.
        fields: what is said about it, by name ("label": "cat"); a task turns them into a target.
        split: the side that the layout assigns, or None when headstart shall decide.
        group: pictures of one group (person, video, burst) stay on one side; None stands alone.
        box: around the one thing of the picture that is meant, in the stored picture; None for the
            whole picture.
        boxes: class and box of each thing that the picture shows, in the stored picture, where the
            layout says them; for other programs, since no task here learns them.
    """

    path: Path
    image: str
    fields: Mapping[str, str]
    split: Split | None = None
    group: str | None = None
    box: Box | None = None
    boxes: tuple[tuple[str, Box], ...] = ()

    @property
    def root(self) -> Path:
        """The data set's root, which further files of the fields are relative to."""
        return self.path.parents[self.image.count("/")]


@dataclasses.dataclass(frozen=True)
class Omission:
    """A picture that was left out, and why."""

    image: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Skeleton:
    """What points are called, and how they belong together.

    Attributes:
        names: one for each point, in order.
        bones: pairs of points between which a line is drawn.
        flip_pairs: pairs of points that change places in a mirrored picture.
    """

    names: tuple[str, ...]
    bones: tuple[tuple[int, int], ...] = ()
    flip_pairs: tuple[tuple[int, int], ...] = ()


@dataclasses.dataclass(frozen=True)
class DataListing:
    """What a reader found on disk.

    Attributes:
        root: folder that relative paths are relative to.
        layout: name of the reader.
        annotations: one entry a picture, in a stable order.
        omissions: files that look like data and were left out.
        notes: sentences about how the layout was understood.
        options: names of the ``dataset.yaml`` entries that the reader used.
        skeleton: of the points that the fields hold, where the layout names them.
        classes: what the values of mask files stand for, in order, where the layout names them.
    """

    root: Path
    layout: str
    annotations: tuple[Annotation, ...]
    omissions: tuple[Omission, ...] = ()
    notes: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    skeleton: Skeleton | None = None
    classes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """One readable picture with its target.

    Attributes:
        path: where the picture lies.
        image: path relative to the data set's root, with forward slashes.
        fingerprint: hash of the file's content (see ``data.fingerprints``).
        pixels: key of its decoded pixels: the fingerprint, and for more than 8 bits a channel what
            counts as white.
        target: what the task predicts for it, in the task's plain form (an index, a number, ...).
        split: the side it is on.
        group: pictures of one group stay on one side.
        size: (height, width) of the upright picture in pixels.
        box: around the thing that is meant, in the upright picture; None for the whole picture.
        alone: whether nothing else in the picture has a box.
    """

    path: Path
    image: str
    fingerprint: str
    pixels: str
    target: Any
    split: Split | None = None
    group: str | None = None
    size: Size = (0, 0)
    box: Box | None = None
    alone: bool = True

    @property
    def region(self) -> str:
        """Key of what is shown of the picture: all of it, or the surroundings of the box."""
        if self.box is None:
            return self.pixels
        return f"{self.pixels}@{','.join(f'{side:.2f}' for side in self.box)}"

    @property
    def group_key(self) -> str:
        """What must stay on one side: the group, or the picture's content when it stands alone."""
        return f"group:{self.group}" if self.group is not None else self.fingerprint


@dataclasses.dataclass(frozen=True)
class Manifest:
    """A data set, ready to train on or to score.

    Attributes:
        root: folder that relative paths are relative to.
        task: name of the task.
        schema: the task's description of its targets (class names, ...).
        records: every picture that is used, in a stable order.
        omissions: every picture that is not, and why.
        notes: sentences that the person should read.
        white_level: value that is white in the pictures with more than 8 bits a channel.
        withheld: readable pictures that no side may use, because they would leak into another one;
            ``omissions`` says why.
    """

    root: Path
    task: str
    schema: Any
    records: tuple[Record, ...]
    omissions: tuple[Omission, ...] = ()
    notes: tuple[str, ...] = ()
    white_level: int = 65535
    withheld: tuple[Record, ...] = ()

    @property
    def contents(self) -> dict[Path, str]:
        """Fingerprint of the content of each file."""
        return {record.path: record.fingerprint for record in self.records}

    def on(self, *splits: Split) -> tuple[Record, ...]:
        """The records of the given sides, in the manifest's order."""
        return tuple(record for record in self.records if record.split in splits)


@dataclasses.dataclass(frozen=True)
class Metric:
    """A score with its 95 % interval.

    Attributes:
        value: the score.
        low: lower end of the interval, None when there is none (fewer than two pictures).
        high: upper end of the interval.
        better: whether a higher or a lower value is better.
    """

    value: float
    low: float | None = None
    high: float | None = None
    better: Literal["higher", "lower"] = "higher"

    def to_json(self) -> dict[str, Any]:
        """The form of ``metrics.json``."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Finding:
    """A passage of the report that only the task can write.

    Attributes:
        title: heading.
        text: one or more sentences.
        columns: header of the table; empty for no table.
        rows: cells of the table; numbers between 0 and 1 in ``shaded`` tables are drawn as a heat.
        shaded: whether the cells' background shows their size.
        images: pictures to show under the table, each with a caption; by ``Record.image``.
        compared: pictures to show twice, with their target and with the prediction drawn in; as
            ``images``.
        bars: rows (name, share between 0 and 1, text) that are drawn as bars.
        spoken: whether the text is also printed when training ends.
    """

    title: str
    text: str = ""
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    shaded: bool = False
    images: Sequence[tuple[str, str]] = ()
    compared: Sequence[tuple[str, str]] = ()
    bars: Sequence[tuple[str, float, str]] = ()
    spoken: bool = False

    def to_json(self) -> dict[str, Any]:
        """The form of ``report.json``."""
        return dataclasses.asdict(self)
