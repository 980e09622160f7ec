"""What is odd about points: outside of their picture, left and right swapped."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from headstart.tasks.inspection import Issue, Labelled
from headstart.tasks.points import Points, PointSchema, PointsTarget

USUAL = 0.97
"""From this share of the pictures on, the order of a pair counts as what it always is."""

MIN_PICTURES = 30
"""With fewer pictures nothing is usual."""

MIN_APART = 0.15
"""Share of the extent of a picture's points that a pair must lie apart to have an order at all:
crossed legs and people from the side have pairs that nearly coincide."""


def inspect_points(labelled: Sequence[Labelled], schema: PointSchema) -> list[Issue]:
    """Points outside of the picture, and pairs whose left and right seem to have changed places.

    A pair is judged only where its order, or its order relative to the other pairs, is the same in
    nearly all pictures: faces from the front have such pairs, people who turn have few.
    """
    issues = [
        Issue("points-outside", "warning", (item.image,), text)
        for item in labelled
        if (text := _outside(item, schema))
    ]
    return issues + _swapped(labelled, schema)


def _upright(item: Labelled) -> Points:
    target: PointsTarget = item.target
    xy = item.frame.to_upright(target.array)
    return np.where(target.known[:, None], xy, np.nan)


def _outside(item: Labelled, schema: PointSchema) -> str:
    xy = _upright(item)
    height, width = item.frame.size
    beyond = ((xy < -0.5) | (xy >= (width - 0.5, height - 0.5))).tolist()
    names = [name for name, out in zip(schema.names, beyond, strict=True) if any(out)]
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{len(names)} of its points lie outside the picture: {', '.join(names[:3])}{more}"


def _swapped(labelled: Sequence[Labelled], schema: PointSchema) -> list[Issue]:
    pairs = np.array(schema.skeleton.flip_pairs, dtype=int).reshape(-1, 2)
    if not len(pairs) or len(labelled) < MIN_PICTURES:
        return []
    xy = np.stack([_upright(item) for item in labelled])
    apart = xy[:, pairs[:, 0], 0] - xy[:, pairs[:, 1], 0]
    signs = np.nan_to_num(np.sign(apart))
    known = np.isfinite(xy)
    low = np.where(known, xy, np.inf).min(axis=1)
    extent = (np.where(known, xy, -np.inf).max(axis=1) - low).max(axis=1, keepdims=True)
    clear = np.nan_to_num(np.sign(np.where(np.abs(apart) >= MIN_APART * extent, apart, 0.0)))
    return _all_swapped(labelled, signs) + _one_swapped(labelled, schema, pairs, clear)


def _all_swapped(labelled: Sequence[Labelled], signs: npt.NDArray[np.float64]) -> list[Issue]:
    """Pictures in which most pairs stand the other way round than in nearly all others."""
    usual = np.sign(signs.sum(axis=0))
    agreement = (signs * usual).sum(axis=1)
    if (agreement > 0).mean() < USUAL:
        return []
    return [
        Issue(
            "left-right-swapped",
            "warning",
            (labelled[int(at)].image,),
            "left and right of most pairs of points stand the other way round than elsewhere",
        )
        for at in np.flatnonzero(agreement < -0.5 * np.abs(signs).sum(axis=1))
    ]


def _one_swapped(
    labelled: Sequence[Labelled],
    schema: PointSchema,
    pairs: npt.NDArray[np.intp],
    signs: npt.NDArray[np.float64],
) -> list[Issue]:
    """Single pairs that stand against the other pairs of their picture, where hardly any does."""
    issues = []
    for number, (first, second) in enumerate(pairs):
        others = np.delete(signs, number, axis=1)
        # Only where the others agree among themselves.
        clear = np.abs(others.sum(axis=1)) >= np.maximum(2, 0.8 * np.abs(others).sum(axis=1))
        relative = signs[:, number] * np.sign(others.sum(axis=1)) * clear
        known = relative != 0
        if known.sum() < MIN_PICTURES:
            continue
        usual = np.sign(relative[known].sum())
        if (relative[known] == usual).mean() < USUAL:
            continue
        names = f"{schema.names[first]} and {schema.names[second]}"
        share = f"{(relative[known] == usual).mean():.1%}"
        text = (
            f"{names} stand the other way round to its other pairs of points than in {share} of "
            "the pictures: swapped, or crossed?"
        )
        issues += [
            Issue("left-right-swapped", "warning", (labelled[int(at)].image,), text)
            for at in np.flatnonzero(relative == -usual)
        ]
    return issues
