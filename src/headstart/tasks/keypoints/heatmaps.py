"""From heatmaps to points: the only decoder of keypoints. Needs no torch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

STRIDE = 4
"""Input pixels for each cell of a heatmap."""

SIGMA = 2.0
"""Standard deviation of the Gaussian targets in cells, as in A. Newell et al., ECCV 2016, and the
systems that followed at a quarter of 256 pixels."""

Maps = npt.NDArray[np.float32]
"""(points, height / 4, width / 4)."""


def peaks(maps: Maps) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Places and heights of the highest points.

    Around the highest cell, the centre of a Gaussian is where its logarithm, a parabola along each
    axis, has its top (F. Zhang et al., Distribution-Aware Coordinate Representation, CVPR 2020,
    without the off-diagonal term). Where the three values are no hill, the cell's centre is taken.

    Args:
        maps: heatmaps of one picture.

    Returns:
        (points, 2) as x and y in input pixels, 0 at the centre of the first pixel; and the values
        of the highest cells (points,), 0 to 1.
    """
    count, height, width = maps.shape
    flat = maps.reshape(count, -1).argmax(axis=1)
    rows, columns = flat // width, flat % width
    points = np.zeros((count, 2))
    for index, (row, column) in enumerate(zip(rows, columns, strict=True)):
        plane = maps[index]
        points[index] = (
            column + _top(plane[row], column, width),
            row + _top(plane[:, column], row, height),
        )
    scores = np.clip(maps.reshape(count, -1).max(axis=1), 0.0, 1.0).astype(np.float64)
    # A cell covers STRIDE pixels; its centre lies in the middle of them.
    return (points + 0.5) * STRIDE - 0.5, scores


def _top(line: npt.NDArray[np.float32], at: int, length: int) -> float:
    """Offset of the top of the parabola through the logarithms of a cell and its neighbours."""
    if not 0 < at < length - 1:
        return 0.0
    before, here, after = np.log(np.maximum(line[at - 1 : at + 2].astype(np.float64), 1e-6))
    curvature = before - 2.0 * here + after
    if curvature >= 0.0:
        return 0.0
    return float(np.clip((before - after) / (2.0 * curvature), -0.5, 0.5))
