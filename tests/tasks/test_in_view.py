"""Encoded targets as predictions that can be drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torchvision import tv_tensors

from headstart.tasks.learn_points import (
    encode_points,
    moved_points,
    place_points,
    points_in_view,
)
from headstart.tasks.learning import Placed
from headstart.tasks.points import PointSchema, PointsTarget
from headstart.tasks.segmentation.learn import LEARNER
from headstart.tasks.segmentation.masks import Coding
from headstart.tasks.segmentation.spec import MaskSchema
from headstart.types import IGNORED, Geometry, Skeleton


def test_points_come_back_to_their_pixels() -> None:
    """Continuous coordinates lie half a pixel behind the centres of pixels."""
    schema = PointSchema(Skeleton(("left", "right", "top"), flip_pairs=((0, 1),)))
    target = PointsTarget(((1.0, 1.0),) * 3, (2, 1, 0), (40, 80))
    inside = torch.tensor([[10.5, 20.5], [70.5, 30.5], [1.0, 1.0]])
    placed = Placed(tv_tensors.KeyPoints(inside, canvas_size=(40, 80)))
    found = points_in_view(encode_points(target, placed, schema), schema)
    np.testing.assert_allclose(found.xy[:2], [[10, 20], [70, 30]], atol=1e-4)
    assert np.isnan(found.xy[2]).all()
    assert found.scores == (1.0, 1.0, 0.0)


def test_a_mask_comes_back_at_the_size_of_the_view() -> None:
    schema = MaskSchema(("ground", "thing"), Coding(False, (0, 1)))
    mask = torch.zeros(1, 64, 96, dtype=torch.uint8)
    mask[:, 16:48, 32:] = 1
    mask[:, 60:] = IGNORED
    placed = Placed(tv_tensors.Mask(mask))
    target: Any = None
    found = LEARNER.in_view(LEARNER.encode(target, placed, schema), schema, (64, 96))
    np.testing.assert_array_equal(found.indices, mask[0].numpy())


def test_points_that_do_not_move_stay_as_they_are() -> None:
    schema = PointSchema(Skeleton(("left", "right", "top"), flip_pairs=((0, 1),)))
    target = PointsTarget(((1.0, 2.5), (79.0, 39.0), (0.0, 0.0)), (2, 1, 0), (40, 80), 9.0, 3.0)
    placed = place_points(target, Geometry((40, 80), (1.0, 1.0), (0.0, 0.0), (40, 80)))
    found = moved_points(target, Placed(placed), schema)
    np.testing.assert_allclose(found.xy, target.xy, atol=1e-4)
    assert (found.visible, found.size) == (target.visible, target.size)
    assert (found.area, found.head) == (9.0, 3.0)
    mirrored = moved_points(target, Placed(placed, True, 4.0), schema)
    np.testing.assert_allclose(mirrored.xy[0], target.xy[1], atol=1e-4)
    assert (mirrored.visible, mirrored.area, mirrored.head) == ((1, 2, 0), 36.0, 6.0)
