"""Targets and answers of segmentation: a class for every pixel."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.config import DatasetOptions
from headstart.errors import DataError
from headstart.tasks.drawing import Colour, blended, colours, readable, with_legend
from headstart.tasks.fields import Row, field_names, pick_field
from headstart.tasks.inspection import Issue, Labelled
from headstart.tasks.protocol import NO_OPTIONS, Calibration, ParsedTargets, TaskSpec
from headstart.tasks.segmentation.codings import choose
from headstart.tasks.segmentation.masks import Coding, MaskFacts, problem, read_mask, survey
from headstart.types import (
    IGNORED,
    Annotation,
    Frame,
    Geometry,
    ImageArray,
    Omission,
    Outputs,
    Size,
    Skeleton,
)

FIELD = "mask"

STRIDE = 4
"""Input pixels for each position of the graph's output, in both directions."""

OVERLAY = 0.5
"""Share of the classes' colours in a drawn picture."""

EMPTY_SHARE = 0.2
"""Where more masks than this hold a single class, pictures of one class are what is meant."""

Indices = npt.NDArray[np.uint8]
"""(h, w), uint8: index of a class, or ``IGNORED``."""


@dataclasses.dataclass(frozen=True)
class MaskSchema:
    """The classes, in the order of the graph's ``probabilities``.

    Attributes:
        classes: their names.
        coding: how the values of mask files stand for them.
    """

    classes: tuple[str, ...]
    coding: Coding

    @property
    def palette(self) -> list[Colour]:
        """A colour for each class: that of its masks, where they have colours."""
        if not self.coding.colours:
            return colours(len(self.classes))
        return [(v >> 16 & 255, v >> 8 & 255, v & 255) for v in self.coding.values]


@dataclasses.dataclass(frozen=True)
class MaskTarget:
    """The mask of one picture.

    Attributes:
        mask: its file, relative to the data set's root.
        path: where the file lies.
        fingerprint: hash of its content.
        size: (height, width) in pixels, as stored.
        counts: pixels of each class, and last those that are ignored.
        orientation: of EXIF, by which it is turned like its picture.
    """

    mask: str = dataclasses.field(compare=False)
    path: Path = dataclasses.field(compare=False)
    fingerprint: str
    size: Size
    counts: tuple[int, ...]
    orientation: int = 1

    def read(self, schema: MaskSchema) -> Indices:
        """The upright mask (h, w), uint8.

        Raises:
            DataError: the file changed since it was listed.
        """
        try:
            return read_mask(self.path, schema.coding, self.orientation)
        except DataError as error:
            raise DataError(f"{self.mask} {error}") from error


@dataclasses.dataclass(frozen=True, eq=False)
class MovedMask:
    """A mask that was moved with its picture.

    Attributes:
        indices: class of every pixel (h, w), uint8.
    """

    indices: Indices

    def read(self, schema: MaskSchema) -> Indices:
        """The indices, whatever the coding of files is."""
        return self.indices


@dataclasses.dataclass(frozen=True, eq=False)
class MaskPrediction:
    """The answer for one picture.

    Attributes:
        indices: class of every pixel of the original picture (h, w), uint8.
        shares: share of the pixels by class, largest first; classes without a pixel are left out.
    """

    indices: Indices
    shares: dict[str, float]

    @classmethod
    def of(
        cls, indices: Indices, classes: Sequence[str], top_k: int | None = None
    ) -> MaskPrediction:
        """Counts the pixels of each class; ignored ones are in no share."""
        counts = np.bincount(indices.ravel(), minlength=IGNORED + 1)[: len(classes)]
        total = max(1, int(counts.sum()))
        order = [i for i in np.argsort(-counts, kind="stable") if counts[i]][:top_k]
        return cls(indices, {classes[i]: float(counts[i] / total) for i in order})

    @property
    def headline(self) -> str:
        """The largest classes."""
        return ", ".join(f"{name} {share:.1%}" for name, share in list(self.shares.items())[:3])

    def to_json(self) -> dict[str, Any]:
        """``scores`` are shares of the pixels; the mask itself is drawn to a file."""
        label, score = next(iter(self.shares.items()), (None, None))
        size = [int(side) for side in self.indices.shape]
        return {
            "label": label,
            "score": score,
            "scores": self.shares,
            "unknown": None,
            "size": size,
        }


class SegmentationSpec(TaskSpec):
    """See ``TaskSpec``."""

    name = "segmentation"
    outputs = ("probabilities",)
    options: tuple[str, ...] = ("classes", "ignore_index", "mask_frame")
    class_files: tuple[str, ...] = ("classes.txt", "codes.txt", "class_dict.csv", "labelmap.txt")

    def claims(self, fields: Sequence[Mapping[str, str]]) -> float:
        """A field ``mask``; it says more than names of classes beside it do."""
        return 0.97 if FIELD in field_names(fields) else 0.0

    def parse(
        self,
        annotations: Sequence[Annotation],
        *,
        schema: MaskSchema | None = None,
        classes: Sequence[str] = (),
        options: DatasetOptions = NO_OPTIONS,
        skeleton: Skeleton | None = None,
    ) -> ParsedTargets:
        """Targets are mask files; all of them are looked into."""
        column = pick_field(annotations, FIELD, "a column of mask files")
        names = [a.fields.get(column, "").strip().replace("\\", "/") for a in annotations]
        paths = [
            a.root / name if name else None for a, name in zip(annotations, names, strict=True)
        ]
        found = survey(path for path in paths if path is not None)
        notes: tuple[str, ...] = ()
        if schema is None:
            chosen, coding, notes = choose(list(found.values()), classes, options.ignore_index)
            schema = MaskSchema(tuple(chosen), coding)
        targets: list[MaskTarget | None] = []
        omissions = []
        for annotation, name, path in zip(annotations, names, paths, strict=True):
            facts = found[path] if path is not None else MaskFacts("", "is not named")
            reason = problem(facts, schema.coding)
            if reason is not None:
                omissions.append(Omission(annotation.image, f"{reason} ({name or 'blank'!r})"))
                targets.append(None)
            elif path is not None:
                counts = _counts(facts, schema.coding)
                targets.append(MaskTarget(name, path, facts.fingerprint, facts.size, counts))
        if len(omissions) == len(annotations):
            shown = "; ".join(f"{o.image}: {o.reason}" for o in omissions[:3])
            raise DataError(f"none of the {len(annotations)} masks can be used: {shown}")
        return ParsedTargets(schema, tuple(targets), tuple(omissions), notes)

    def fit(self, target: MaskTarget, frame: Frame, options: DatasetOptions) -> MaskTarget:
        """A mask of the stored picture's size is turned with it, one of the upright size is not."""
        allowed = {
            "stored": [(frame.stored, frame.orientation)],
            "upright": [(frame.size, 1)],
        }.get(options.mask_frame or "", [(frame.stored, frame.orientation), (frame.size, 1)])
        for size, orientation in allowed:
            if target.size == size:
                return dataclasses.replace(target, orientation=orientation)
        (height, width), (wanted_h, wanted_w) = target.size, allowed[0][0]
        raise DataError(
            f"its mask has {width}x{height} pixels and the picture {wanted_w}x{wanted_h}: "
            "save the mask at the picture's size"
        )

    def strata(self, schema: MaskSchema, target: MaskTarget) -> tuple[str, ...]:
        """The classes that occur."""
        return tuple(
            name for name, count in zip(schema.classes, target.counts, strict=False) if count
        )

    def inspect(self, labelled: Sequence[Labelled], schema: MaskSchema) -> list[Issue]:
        """Masks that hold a single class, where most hold several."""
        single = [item for item in labelled if len(self.strata(schema, item.target)) == 1]
        if len(single) > EMPTY_SHARE * len(labelled):
            return []
        return [
            Issue(
                "empty-mask",
                "warning",
                (item.image,),
                f"its mask holds nothing but {self.strata(schema, item.target)[0]}",
            )
            for item in single
        ]

    def contradicts(self, schema: MaskSchema, first: MaskTarget, second: MaskTarget) -> bool:
        """Masks move with every crop."""
        return False

    def parts(self, schema: MaskSchema) -> tuple[str, ...]:
        """The classes."""
        return schema.classes

    def summarise(self, schema: MaskSchema, targets: Sequence[MaskTarget]) -> list[tuple[str, str]]:
        """Share of the pixels and number of pictures of each class."""
        total = sum(sum(target.counts) for target in targets) or 1
        pixels: Counter[int] = Counter()
        pictures: Counter[int] = Counter()
        for target in targets:
            for index, count in enumerate(target.counts):
                pixels[index] += count
                pictures[index] += count > 0
        return [
            (name, f"{pixels[index] / total:.1%} of the pixels, in {pictures[index]} pictures")
            for index, name in enumerate((*schema.classes, "(ignored)"))
        ]

    def schema_to_json(self, schema: MaskSchema) -> dict[str, Any]:
        """Names, colours as ``#rrggbb``, and the coding of mask files."""
        return {
            "classes": list(schema.classes),
            "colours": [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in schema.palette],
            "coding": schema.coding.to_json(),
        }

    def schema_from_json(self, value: Mapping[str, Any]) -> MaskSchema:
        """Reads what ``schema_to_json`` wrote."""
        return MaskSchema(tuple(value["classes"]), Coding.from_json(value["coding"]))

    def target_to_json(self, schema: MaskSchema, target: MaskTarget) -> dict[str, Any]:
        """File, content and orientation."""
        return {
            "mask": target.mask,
            "fingerprint": target.fingerprint,
            "orientation": target.orientation,
        }

    def to_row(self, schema: MaskSchema, target: MaskTarget | MovedMask) -> Row:
        """The mask as numbers of classes."""
        return {FIELD: target.read(schema)}

    def row_options(self, schema: MaskSchema) -> dict[str, Any]:
        """The classes in the order of their numbers."""
        return {"classes": list(schema.classes), "ignore_index": IGNORED}

    def decode(
        self,
        outputs: Outputs,
        schema: MaskSchema,
        calibration: Calibration,
        *,
        geometries: Sequence[Geometry],
        top_k: int | None = None,
    ) -> list[MaskPrediction]:
        """Takes ``probabilities`` (n, classes, height / 4, width / 4)."""
        return [
            MaskPrediction.of(most_probable(maps, geometry), schema.classes, top_k)
            for maps, geometry in zip(outputs["probabilities"], geometries, strict=True)
        ]

    def truth(self, schema: MaskSchema, target: MaskTarget | MovedMask) -> MaskPrediction:
        """The mask itself."""
        return MaskPrediction.of(target.read(schema), schema.classes)

    def agreement(self, first: MaskPrediction, second: MaskPrediction) -> float:
        """Intersection over union of the masks, counted over all classes together."""
        equal = float(np.mean(first.indices == second.indices))
        # A pixel that differs belongs to the unions of two classes.
        return equal / (2.0 - equal)

    def draw(
        self, pixels: ImageArray, prediction: MaskPrediction, schema: MaskSchema
    ) -> Mapping[str, Image.Image]:
        """The classes' colours over the picture with a legend; and the mask as a palette PNG."""
        palette = schema.palette
        table = np.zeros((256, 3), dtype=np.uint8)
        table[: len(palette)] = palette
        overlay = blended(pixels, table[prediction.indices], OVERLAY)
        shown = {name: palette[schema.classes.index(name)] for name in prediction.shares}
        legend = [
            (colour, f"{name} {prediction.shares[name]:.1%}") for name, colour in shown.items()
        ]
        mask = Image.fromarray(prediction.indices).convert("P")
        mask.putpalette(table.tobytes())
        return {"": with_legend(readable(overlay), legend), "-mask": mask}


def most_probable(probabilities: npt.NDArray[np.float32], geometry: Geometry) -> Indices:
    """The most probable class of every pixel of the original picture: (h, w), uint8.

    Logarithms are interpolated linearly, which ranks classes as interpolated logits would: the two
    differ by one number a position. Where the picture was cropped, its border is continued.

    Args:
        probabilities: (classes, height / 4, width / 4).
        geometry: how the picture lies in the graph's input.
    """
    logs = np.log(np.maximum(probabilities, 1e-12))
    _, map_h, map_w = probabilities.shape
    rows = _visible(geometry.original[0], geometry.scale[0], geometry.offset[0], map_h)
    columns = _visible(geometry.original[1], geometry.scale[1], geometry.offset[1], map_w)
    box = (columns.start, rows.start, columns.stop, rows.stop)
    best = np.full((rows.count, columns.count), -np.inf, dtype=np.float32)
    index = np.zeros(best.shape, dtype=np.uint8)
    # Class by class: at the original size all of them together could be gigabytes.
    for number, plane in enumerate(logs):
        image = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
        size = (columns.count, rows.count)
        values = np.asarray(image.resize(size, Image.Resampling.BILINEAR, box))
        better = values > best
        best[better] = values[better]
        index[better] = number
    return np.pad(index, (rows.cut, columns.cut), mode="edge")


@dataclasses.dataclass(frozen=True)
class _Visible:
    """What the graph saw along one side of a picture.

    Attributes:
        start: where it begins in the graph's output, in positions.
        stop: where it ends there.
        count: pixels of the original that were seen.
        cut: pixels of the original that were cut off before and behind.
    """

    start: float
    stop: float
    count: int
    cut: tuple[int, int]


def _visible(original: int, scale: float, offset: float, positions: int) -> _Visible:
    first = max(0, round(-offset / scale))
    last = min(original, round((positions * STRIDE - offset) / scale))
    last = max(last, first + 1)
    start = max(0.0, (first * scale + offset) / STRIDE)
    stop = min(float(positions), (last * scale + offset) / STRIDE)
    return _Visible(start, stop, last - first, (first, original - last))


def _counts(facts: MaskFacts, coding: Coding) -> tuple[int, ...]:
    """Pixels of each class, and last those that are ignored."""
    pixels: Counter[int] = Counter()
    for value, count in zip(facts.coded(coding.colours), facts.counts, strict=True):
        pixels[value] += count
    counts = [pixels[value] for value in coding.values]
    return (*counts, sum(facts.counts) - sum(counts))


SPEC = SegmentationSpec()
