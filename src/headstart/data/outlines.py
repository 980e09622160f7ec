"""Outlines of the parts of a mask, along the edges of its pixels: drawn again they are the mask."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from headstart.errors import needing_extra

Vertices = npt.NDArray[np.int64]
"""(n, 2): x and y in pixels from the top left corner."""


def outlines(plane: npt.NDArray[np.bool_]) -> Iterator[Vertices]:
    """One polygon for each part (h, w) whose pixels share edges.

    Holes are joined to the outline by a cut of no width, as formats with one polygon a thing do.
    """
    with needing_extra("Writing outlines", "train"):
        from scipy import ndimage
    parts, _ = ndimage.label(plane)
    for number, place in enumerate(ndimage.find_objects(parts), start=1):
        rows, columns = place
        loops = _loops(parts[place] == number)
        loops.sort(key=_doubled_area, reverse=True)
        outline, *holes = loops
        for hole in holes:
            outline = _joined(outline, hole)
        yield outline + np.array([columns.start, rows.start])


def _loops(part: npt.NDArray[np.bool_]) -> list[Vertices]:
    """Closed lines with the part on their right, in the picture's downward y."""
    inside = np.pad(part, 1)
    nexts: dict[tuple[int, int], list[tuple[int, int]]] = {}
    # For each side of a pixel: the neighbour, and the ends of the edge as (x, y) offsets.
    for (down, right), begin, end in (
        ((-1, 0), (0, 0), (1, 0)),
        ((0, 1), (1, 0), (1, 1)),
        ((1, 0), (1, 1), (0, 1)),
        ((0, -1), (0, 1), (0, 0)),
    ):
        free = inside & ~np.roll(inside, (-down, -right), (0, 1))
        ys, xs = (values - 1 for values in np.nonzero(free))
        for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
            nexts.setdefault((x + begin[0], y + begin[1]), []).append((x + end[0], y + end[1]))
    loops = []
    while nexts:
        start = next(iter(nexts))
        loop, at, before = [], start, None
        while True:
            after = _turn(nexts, at, before)
            loop.append(at)
            at, before = after, at
            if at == start:
                break
        loops.append(_corners(np.array(loop)))
    return loops


def _turn(
    nexts: dict[tuple[int, int], list[tuple[int, int]]],
    at: tuple[int, int],
    before: tuple[int, int] | None,
) -> tuple[int, int]:
    """Takes the edge that goes on; where two pixels touch at a corner, the one to the right."""
    ways = nexts[at]
    if len(ways) > 1 and before is not None:
        across, down = at[0] - before[0], at[1] - before[1]
        right = (at[0] - down, at[1] + across)
        ways.sort(key=lambda way: way != right)
    way = ways.pop(0)
    if not ways:
        del nexts[at]
    return way


def _corners(loop: Vertices) -> Vertices:
    """Without the points on straight lines."""
    bends = (np.roll(loop, -1, 0) - loop != loop - np.roll(loop, 1, 0)).any(axis=1)
    kept: Vertices = loop[bends]
    return kept


def _doubled_area(loop: Vertices) -> int:
    """Positive for an outline, negative for a hole."""
    x, y = loop.T
    return int((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())


def _joined(outline: Vertices, hole: Vertices) -> Vertices:
    """Goes from a point of the outline around the hole and back."""
    apart = ((outline[:, None] - hole[:1]) ** 2).sum(axis=2)[:, 0]
    at = int(np.argmin(apart))
    around = np.concatenate([hole, hole[:1]])
    return np.concatenate([outline[: at + 1], around, outline[at:]])
