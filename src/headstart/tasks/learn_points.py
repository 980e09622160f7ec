"""Points in views: how they are placed, moved and encoded. Needs torch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torchvision import tv_tensors

from headstart.tasks.learning import Placed
from headstart.tasks.points import PointSchema, PointsPrediction, PointsTarget
from headstart.types import Geometry


def place_points(target: PointsTarget, geometry: Geometry) -> torch.Tensor:
    """Points (points, 2) as x and y in continuous coordinates of the array that views are made of.

    Args:
        target: of the picture.
        geometry: how the original lies in the array.
    """
    inside = geometry.to_input(target.array) + 0.5
    points: torch.Tensor = tv_tensors.KeyPoints(
        torch.tensor(inside, dtype=torch.float32), canvas_size=geometry.size
    )
    return points


def points_in_view(encoded: torch.Tensor, schema: PointSchema) -> PointsPrediction:
    """What ``encode_points`` gave, as points in pixels of the view; NaN where there is no label."""
    rows, size = encoded[:-1].double(), encoded[-1, :2].double()
    xy = (rows[:, :2] * size - 0.5).numpy()
    known = rows[:, 2].numpy() > 0
    xy[~known] = np.nan
    return PointsPrediction(schema.names, xy, tuple(float(seen) for seen in known))


def moved_points(target: PointsTarget, placed: Placed, schema: PointSchema) -> PointsTarget:
    """The points of a picture in one view of it; those that left it have no label."""
    rows = encode_points(target, placed, schema).double()
    width, height, _ = rows[-1].tolist()
    seen = rows[:-1, 2] > 0
    xy = (rows[:-1, :2] * rows[-1, :2] - 0.5) * seen[:, None]
    return PointsTarget(
        tuple((x, y) for x, y in xy.tolist()),
        tuple(int(v) for v in rows[:-1, 2].tolist()),
        (round(height), round(width)),
        area=None if target.area is None else target.area * placed.growth,
        head=None if target.head is None else target.head * math.sqrt(placed.growth),
    )


def points_identity(target: PointsTarget, schema: Any) -> Any:
    """What the encoded points depend on."""
    pairs = schema.skeleton.flip_pairs if isinstance(schema, PointSchema) else ()
    return (target.to_json(), [list(pair) for pair in pairs])


def encode_points(target: PointsTarget, placed: Placed | None, schema: PointSchema) -> torch.Tensor:
    """Points of one view: (points + 1, 3), float32.

    A row is x and y as shares of the view's width and height, 0 at its left and upper border, and
    how visible the point is (0, 1 or 2). A point that left the view has no label. The last row is
    width, height and 1. In a mirrored view the points of each pair have changed places.

    Raises:
        TypeError: the target was not placed in a view.
    """
    if placed is None or not isinstance(placed.tensor, tv_tensors.KeyPoints):
        raise TypeError("points are encoded in a view")
    height, width = placed.tensor.canvas_size
    size = torch.tensor([width, height], dtype=torch.float32)
    shares = placed.tensor.as_subclass(torch.Tensor) / size
    visible = torch.tensor(target.visible, dtype=torch.float32)
    inside = ((shares >= 0.0) & (shares < 1.0)).all(dim=1)
    visible = visible * inside
    rows = torch.cat([shares * (visible > 0)[:, None], visible[:, None]], dim=1)
    if placed.mirrored:
        order = torch.arange(len(rows))
        for first, second in schema.skeleton.flip_pairs:
            order[first], order[second] = second, first
        rows = rows[order]
    last = torch.tensor([[width, height, 1.0]])
    return torch.cat([rows, last])
