"""The unit of agreement of tasks whose answers can agree in part, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from headstart import tasks
from headstart.tasks.points import PointsPrediction, agree
from headstart.tasks.segmentation.spec import MaskPrediction


def test_masks_agree_by_intersection_over_union() -> None:
    """Of 16 pixels 4 differ: 12 in the intersections, 16 + 4 in the unions of both classes."""
    first = np.zeros((4, 4), np.uint8)
    second = first.copy()
    second[0] = 1
    predictions = [MaskPrediction.of(values, ("sky", "road")) for values in (first, second)]
    agreement = tasks.spec("segmentation").agreement
    assert agreement(*predictions) == pytest.approx(12 / 20)
    assert agreement(predictions[1], predictions[1]) == 1.0


@pytest.mark.parametrize(
    ("extent", "moved", "share"),
    [
        (30.0, 1.0, 1.0),
        (30.0, 1.1, 0.5),
        # The box around the points has a diagonal of 500 pixels, a hundredth is 5.
        (500.0, 5.0, 1.0),
        (500.0, 5.1, 0.5),
    ],
)
def test_points_are_close_within_a_pixel_or_a_hundredth(
    extent: float, moved: float, share: float
) -> None:
    second = np.array([[0.0, 0.0], [0.6 * extent, 0.8 * extent]])
    first = second + np.array([[0.0, 0.0], [moved, 0.0]])
    found = agree(PointsPrediction(("a", "b"), first), PointsPrediction(("a", "b"), second))
    assert found == share
