"""Points in pictures: the target and the answer that direct coordinates and heatmaps share.

Points are (x, y) in pixels of the upright original picture; the origin is the centre of the
top-left pixel.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from headstart.config import DatasetOptions
from headstart.errors import DataError
from headstart.tasks.drawing import colours, readable, with_legend
from headstart.tasks.fields import field_names, parse_number
from headstart.tasks.protocol import ParsedTargets
from headstart.types import Annotation, Frame, ImageArray, Omission, Size, Skeleton

FIELD = "points"
"""Holds ``x,y,v`` for each point, separated by spaces; v is 0 for a point without a label."""

MAX_LEGEND = 20

_COLUMN = re.compile(r"(?:(?P<axis>[xyv])_?(?P<number>\d+)|(?P<name>.+)_(?P<last>[xyv]))")
_TORSO = (("left_shoulder", "right_hip"), ("right_shoulder", "left_hip"))

Points = npt.NDArray[np.float64]
"""(points, 2): x and y in pixels."""


@dataclasses.dataclass(frozen=True)
class PointSchema:
    """Which points a picture has.

    Attributes:
        skeleton: names, bones and pairs that change places in a mirrored picture.
        normalise_by: two points whose distance errors are divided by; None for the picture's size.
    """

    skeleton: Skeleton
    normalise_by: tuple[int, int] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the points, in order."""
        return self.skeleton.names

    @property
    def torso(self) -> tuple[int, int] | None:
        """A shoulder and the opposite hip, where the points have such names."""
        lower = [name.lower().replace(" ", "_") for name in self.names]
        for shoulder, hip in _TORSO:
            if shoulder in lower and hip in lower:
                return lower.index(shoulder), lower.index(hip)
        return None

    @property
    def normaliser(self) -> str:
        """What errors are divided by, in words."""
        if self.normalise_by is None:
            return "square root of the picture's area"
        first, second = (self.names[at] for at in self.normalise_by)
        return f"distance between {first} and {second}"

    def to_json(self) -> dict[str, Any]:
        """The schema as plain values."""
        return {
            "points": list(self.names),
            "bones": [list(bone) for bone in self.skeleton.bones],
            "flip_pairs": [list(pair) for pair in self.skeleton.flip_pairs],
            "normalise_by": list(self.normalise_by) if self.normalise_by else None,
            "normaliser": self.normaliser,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> PointSchema:
        """Reads what ``to_json`` wrote."""
        skeleton = Skeleton(
            tuple(value["points"]), _pairs(value["bones"]), _pairs(value["flip_pairs"])
        )
        pair = value["normalise_by"]
        return cls(skeleton, (pair[0], pair[1]) if pair else None)


@dataclasses.dataclass(frozen=True)
class PointsTarget:
    """The points of one thing in one picture.

    Attributes:
        xy: of each point; (0, 0) where it has no label.
        visible: for each point 0 (no label), 1 (hidden) or 2 (visible).
        size: (height, width) of the upright picture in pixels; (0, 0) before it is known.
        area: of the thing in square pixels, where the data says so.
        head: length of its head in pixels, where the data says so.
    """

    xy: tuple[tuple[float, float], ...]
    visible: tuple[int, ...]
    size: Size = (0, 0)
    area: float | None = None
    head: float | None = None

    @property
    def array(self) -> Points:
        """(points, 2), float64."""
        return np.asarray(self.xy, dtype=np.float64)

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Which points have a label: (points,)."""
        return np.asarray(self.visible) > 0

    def reference(self, schema: PointSchema) -> float:
        """The length in pixels that errors are divided by; NaN where it is not known."""
        if schema.normalise_by is None:
            return math.sqrt(self.size[0] * self.size[1])
        return self.distance(schema.normalise_by)

    def distance(self, pair: tuple[int, int]) -> float:
        """Between two of its points in pixels; NaN where one has no label, or they coincide."""
        if not all(self.visible[at] for at in pair):
            return math.nan
        return math.dist(self.xy[pair[0]], self.xy[pair[1]]) or math.nan

    def as_prediction(self, names: tuple[str, ...]) -> PointsPrediction:
        """The answer of a perfect model; points without a label are not a number."""
        xy = np.where(self.known[:, None], self.array, np.nan)
        return PointsPrediction(names, xy, tuple(float(known) for known in self.known))

    def to_json(self) -> dict[str, Any]:
        """The target as plain values."""
        return {"points": [[*xy, v] for xy, v in zip(self.xy, self.visible, strict=True)]}


@dataclasses.dataclass(frozen=True, eq=False)
class PointsPrediction:
    """The answer for one picture.

    Attributes:
        names: of the points.
        xy: (points, 2) as (x, y) in pixels of the original picture.
        scores: of each point, 0 to 1; None where the model gives none.
        top: how many of the scores ``to_json`` lists; None for all.
    """

    names: tuple[str, ...]
    xy: Points
    scores: tuple[float, ...] | None = None
    top: int | None = None

    @property
    def headline(self) -> str:
        """The first points."""
        texts = [
            f"{name} ({x:.1f}, {y:.1f})" for name, (x, y) in zip(self.names, self.xy, strict=True)
        ]
        more = f" and {len(texts) - 3} more" if len(texts) > 3 else ""
        return ", ".join(texts[:3]) + more

    def to_json(self) -> dict[str, Any]:
        """``points`` in order; ``scores`` by name, highest first."""
        scores = self.scores or (None,) * len(self.names)
        points = [
            {"name": name, "x": float(x), "y": float(y), "score": score}
            for name, (x, y), score in zip(self.names, self.xy, scores, strict=True)
        ]
        by_name: dict[str, float | None] = dict(zip(self.names, scores, strict=True))
        if self.scores is not None:
            order = np.argsort(-np.asarray(self.scores), kind="stable")[: self.top]
            by_name = {self.names[i]: self.scores[i] for i in order}
        return {
            "label": None,
            "points": points,
            "score": float(np.mean(self.scores)) if self.scores else None,
            "scores": by_name,
            "unknown": None,
        }


def point_columns(names: Sequence[str]) -> dict[str, dict[str, str]]:
    """Columns of coordinates: ``x0, y0, x1, ...`` or ``nose_x, nose_y, ...``, with v or without.

    Returns:
        For each point in order ``{"x": column, "y": column}``, perhaps with ``"v"``; empty when
        some column is none of a point, or a point lacks a coordinate.
    """
    found: dict[str, dict[str, str]] = {}
    numbered = True
    for column in names:
        match = _COLUMN.fullmatch(column)
        if match is None:
            return {}
        numbered = numbered and match["number"] is not None
        key = match["number"] or match["name"]
        found.setdefault(key, {})[match["axis"] or match["last"]] = column
    if not all({"x", "y"} <= columns.keys() for columns in found.values()):
        return {}
    return dict(sorted(found.items(), key=lambda entry: int(entry[0]))) if numbered else found


def parse_points(
    annotations: Sequence[Annotation],
    schema: PointSchema | None,
    options: DatasetOptions,
    skeleton: Skeleton | None,
) -> ParsedTargets:
    """Targets from a field ``points`` or from columns of coordinates.

    Args:
        annotations: of one data set.
        schema: of a trained model; None makes one.
        options: of ``dataset.yaml``.
        skeleton: that the layout names.

    Raises:
        DataError: there are no points, or the options do not fit them.
    """
    if not annotations:
        raise DataError("pictures with points are needed, got 0")
    columns = point_columns(_ordered_names(annotations))
    if schema is None:
        count = len(columns) or max(_count(a) for a in annotations)
        names = tuple(columns) or options.points or tuple(str(at) for at in range(count))
        schema = make_schema(skeleton or Skeleton(names), options)
    targets: list[PointsTarget | None] = []
    omissions = []
    for annotation in annotations:
        try:
            targets.append(_target(annotation, columns, len(schema.names)))
        except DataError as error:
            targets.append(None)
            omissions.append(Omission(annotation.image, str(error)))
    if len(omissions) == len(annotations):
        raise DataError(f"no picture has usable points: {omissions[0].reason}")
    return ParsedTargets(schema, tuple(targets), tuple(omissions))


def make_schema(skeleton: Skeleton, options: DatasetOptions) -> PointSchema:
    """The schema with what ``dataset.yaml`` says about the points.

    Raises:
        DataError: it names a point that does not exist.
    """
    count = len(skeleton.names)
    pairs = options.flip_pairs
    chosen_pairs = {
        "bones": options.bones or (),
        "flip_pairs": pairs or (),
        "normalise_by": (options.normalise_by,),
    }
    for name, chosen in chosen_pairs.items():
        wrong = [pair for pair in chosen if pair and not all(0 <= at < count for at in pair)]
        if wrong:
            raise DataError(
                f"{name} must hold numbers of points from 0 to {count - 1}, got {wrong[0]}"
            )
    if pairs is not None:
        skeleton = dataclasses.replace(skeleton, flip_pairs=pairs)
    if options.bones is not None:
        skeleton = dataclasses.replace(skeleton, bones=options.bones)
    return PointSchema(skeleton, options.normalise_by)


def fit_points(target: PointsTarget, frame: Frame) -> PointsTarget:
    """Turns points with the picture; those outside of it lose their label.

    Raises:
        DataError: no point is left.
    """
    turned = frame.to_upright(target.array)
    height, width = frame.size
    inside = (turned >= -0.5).all(axis=1) & (turned < (width - 0.5, height - 0.5)).all(axis=1)
    visible = np.where(inside, target.visible, 0)
    if not visible.any():
        raise DataError("all of its points lie outside the picture")
    turned[visible == 0] = 0.0
    return dataclasses.replace(
        target,
        xy=tuple((float(x), float(y)) for x, y in turned),
        visible=tuple(int(v) for v in visible),
        size=frame.size,
    )


def summarise_points(schema: PointSchema, targets: Sequence[PointsTarget]) -> list[tuple[str, str]]:
    """Pictures in which each point has a label."""
    visible = np.array([target.visible for target in targets]).reshape(len(targets), -1)
    rows = []
    for name, column in zip(schema.names, visible.T, strict=True):
        hidden = int((column == 1).sum())
        rows.append((name, f"{int((column > 0).sum())}" + (f", {hidden} hidden" if hidden else "")))
    return rows


def agree(first: PointsPrediction, second: PointsPrediction) -> float:
    """Share of points that lie close to each other in the original picture.

    Close is within a pixel, or within a hundredth of the diagonal of the box around the second's
    points where that is more: pixels of a large picture are finer than any model.
    """
    apart = np.linalg.norm(first.xy - second.xy, axis=1)
    both_unknown = np.isnan(first.xy).any(axis=1) & np.isnan(second.xy).any(axis=1)
    known = second.xy[np.isfinite(second.xy).all(axis=1)]
    extent = float(np.linalg.norm(np.ptp(known, axis=0))) if len(known) else 0.0
    return float(np.mean((apart <= max(1.0, 0.01 * extent)) | both_unknown))


def draw_points(
    pixels: ImageArray, prediction: PointsPrediction, schema: PointSchema, sure: float = 0.0
) -> Mapping[str, Image.Image]:
    """Points and bones over the picture, with a legend where there are few points.

    Args:
        pixels: (h, w, 3), uint8, RGB.
        prediction: for it.
        schema: names and bones.
        sure: points with a lower score are left out.
    """
    image = readable(pixels)
    factor = image.width / pixels.shape[1]
    xy = (prediction.xy + 0.5) * factor
    scores = prediction.scores or (1.0,) * len(xy)
    shown = [
        score >= sure and bool(np.isfinite(p).all()) for score, p in zip(scores, xy, strict=True)
    ]
    pen = ImageDraw.Draw(image)
    palette = colours(len(xy))
    radius = max(2.0, image.width / 150)
    for first, second in schema.skeleton.bones:
        if shown[first] and shown[second]:
            line = [tuple(xy[first]), tuple(xy[second])]
            pen.line(line, fill=palette[second], width=max(1, round(radius * 0.8)))
    for (x, y), colour, visible in zip(xy, palette, shown, strict=True):
        if visible:
            box = (x - radius, y - radius, x + radius, y + radius)
            pen.ellipse(box, fill=colour, outline=(255, 255, 255))
    if len(xy) > MAX_LEGEND:
        return {"": image}
    legend = [
        (colour, name)
        for colour, name, seen in zip(palette, schema.names, shown, strict=True)
        if seen
    ]
    return {"": with_legend(image, legend)}


def _ordered_names(annotations: Sequence[Annotation]) -> list[str]:
    """Names of fields in the order of the first annotation that has all of them."""
    everything = field_names([annotation.fields for annotation in annotations])
    for annotation in annotations:
        if len(annotation.fields) == len(everything):
            return list(annotation.fields)
    return list(everything)


def _count(annotation: Annotation) -> int:
    return len(annotation.fields.get(FIELD, "").split())


def _target(
    annotation: Annotation, columns: Mapping[str, Mapping[str, str]], count: int
) -> PointsTarget:
    fields = annotation.fields
    if columns:
        triples = [
            [fields.get(c["x"], ""), fields.get(c["y"], ""), fields.get(c.get("v", ""), "2")]
            for c in columns.values()
        ]
    else:
        triples = [triple.split(",") for triple in fields.get(FIELD, "").split()]
    if len(triples) != count:
        raise DataError(f"it has {len(triples)} points instead of {count}")
    xy, visible = [], []
    for triple in triples:
        numbers = [parse_number(text) for text in triple]
        x, y, v = numbers if len(numbers) == 3 else (None, None, None)
        known = x is not None and y is not None and v is not None and v > 0
        xy.append((float(x or 0.0), float(y or 0.0)) if known else (0.0, 0.0))
        visible.append(min(2, int(v or 0)) if known else 0)
    if not any(visible):
        raise DataError("none of its points has a label")
    return PointsTarget(
        tuple(xy),
        tuple(visible),
        area=parse_number(fields.get("area", "")),
        head=parse_number(fields.get("head", "")),
    )


def _pairs(value: Sequence[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((pair[0], pair[1]) for pair in value)
