"""Points: read from columns and fields, turned with the picture, drawn where they are."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from headstart.config import DatasetOptions
from headstart.errors import DataError
from headstart.tasks.points import (
    PointSchema,
    PointsPrediction,
    PointsTarget,
    draw_points,
    fit_points,
    parse_points,
    point_columns,
    summarise_points,
)
from headstart.types import Annotation, Frame, Skeleton

NONE = DatasetOptions()


def annotations(*fields: dict[str, str]) -> list[Annotation]:
    return [Annotation(Path(f"{n}.png"), f"{n}.png", entry) for n, entry in enumerate(fields)]


@pytest.mark.parametrize(
    ("names", "points"),
    [
        (["x0", "y0", "x1", "y1"], ["0", "1"]),
        (["x_0", "y_0", "v_0"], ["0"]),
        (["x10", "y10", "x2", "y2"], ["2", "10"]),
        (["nose_x", "nose_y", "left eye_x", "left eye_y"], ["nose", "left eye"]),
        (["x0", "y0", "x1"], []),
        (["x0", "y0", "price"], []),
        (["x", "y"], []),
        ([], []),
    ],
)
def test_columns_of_coordinates(names: list[str], points: list[str]) -> None:
    assert list(point_columns(names)) == points


def test_columns_become_points_and_blanks_have_no_label() -> None:
    rows = annotations(
        {"x0": "1.5", "y0": "2", "x1": "3", "y1": "4"},
        {"x0": "", "y0": "2", "x1": "3", "y1": "4"},
        {"x0": "nan", "y0": "2", "x1": "inf", "y1": "4"},
    )
    parsed = parse_points(rows, None, NONE, None)
    first, second, third = parsed.targets
    assert (first.xy, first.visible) == (((1.5, 2.0), (3.0, 4.0)), (2, 2))
    assert (second.xy, second.visible) == (((0.0, 0.0), (3.0, 4.0)), (0, 2))
    assert third is None
    (omission,) = parsed.omissions
    assert (omission.image, omission.reason) == ("2.png", "none of its points has a label")
    assert summarise_points(parsed.schema, [first, second]) == [("0", "1"), ("1", "2")]


def test_the_field_of_a_pose_has_triples_and_the_layout_names_them() -> None:
    skeleton = Skeleton(("a", "b"), ((0, 1),), ((0, 1),))
    rows = annotations({"points": "1,2,2 3,4,1"}, {"points": "5,6,2 0,0,0", "area": "50"})
    parsed = parse_points(rows, None, NONE, skeleton)
    assert parsed.schema == PointSchema(skeleton)
    assert [target.visible for target in parsed.targets] == [(2, 1), (2, 0)]
    assert parsed.targets[1].area == 50.0
    assert summarise_points(parsed.schema, parsed.targets)[1] == ("b", "1, 1 hidden")
    (wrong,) = parse_points(
        [*rows, *annotations({"points": "1,2,2"})], None, NONE, skeleton
    ).omissions
    assert wrong.reason == "it has 1 points instead of 2"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"normalise_by": (0, 2)}, r"normalise_by must hold numbers of points from 0 to 1, got"),
        ({"flip_pairs": ((0, 5),)}, r"flip_pairs must hold numbers of points from 0 to 1, got"),
    ],
)
def test_options_that_name_no_point_are_refused(options: dict, message: str) -> None:
    rows = annotations({"points": "1,2,2 3,4,1"})
    with pytest.raises(DataError, match=message):
        parse_points(rows, None, DatasetOptions(**options), None)


def test_dataset_yaml_wins_over_the_layouts_pairs() -> None:
    skeleton = Skeleton(("a", "b", "c"), (), ((0, 1),))
    rows = annotations({"points": "1,2,2 3,4,1 5,6,2"})
    options = DatasetOptions(flip_pairs=((1, 2),), normalise_by=(0, 2))
    schema = parse_points(rows, None, options, skeleton).schema
    assert schema.skeleton.flip_pairs == ((1, 2),)
    assert schema.normaliser == "distance between a and c"
    assert PointSchema.from_json(schema.to_json()) == schema


@pytest.mark.parametrize("orientation", range(1, 9))
def test_points_turn_like_pillow_turns_the_picture(orientation: int) -> None:
    """A bright pixel of the stored picture is where its point says after turning."""
    stored = np.zeros((30, 50), np.uint8)
    stored[7, 41] = 255
    image = Image.fromarray(stored)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.info["exif"] = exif.tobytes()
    upright = np.asarray(ImageOps.exif_transpose(image))
    frame = Frame((upright.shape[0], upright.shape[1]), orientation)
    (target,) = parse_points(annotations({"x0": "41", "y0": "7"}), None, NONE, None).targets
    found = fit_points(target, frame)
    row, column = np.argwhere(upright)[0]
    assert found.xy == ((column, row),)
    assert found.size == upright.shape
    # A box around the pixel stays around it: corners lie half a pixel before the centre.
    assert frame.box_to_upright((41.0, 7.0, 1.0, 1.0)) == (column, row, 1.0, 1.0)


def test_points_outside_the_picture_lose_their_label() -> None:
    """By hand: the picture reaches from -0.5 to 19.5 and to 9.5."""
    texts = {"x0": "-0.5", "y0": "0", "x1": "19.4", "y1": "9.4", "x2": "19.5", "y2": "0"}
    (target,) = parse_points(annotations(texts), None, NONE, None).targets
    assert fit_points(target, Frame((10, 20))).visible == (2, 2, 0)
    with pytest.raises(DataError, match="outside the picture"):
        fit_points(PointsTarget(((-3.0, 0.0),), (2,)), Frame((10, 20)))


def test_lengths_that_errors_are_divided_by() -> None:
    """By hand: 3, 4, 5; and the root of 200."""
    target = PointsTarget(((0.0, 0.0), (3.0, 4.0), (0.0, 0.0)), (2, 1, 0), (10, 20))
    skeleton = Skeleton(("a", "b", "c"))
    assert target.reference(PointSchema(skeleton, (0, 1))) == 5.0
    assert math.isnan(target.reference(PointSchema(skeleton, (0, 2))))
    assert target.reference(PointSchema(skeleton)) == pytest.approx(math.sqrt(200))
    named = PointSchema(Skeleton(("Left Shoulder", "nose", "right_hip")))
    assert named.torso == (0, 2)
    assert PointSchema(skeleton).torso is None


def test_points_are_drawn_where_they_are() -> None:
    schema = PointSchema(Skeleton(("a", "b"), ((0, 1),)))
    pixels = np.full((100, 200, 3), 255, np.uint8)
    answer = PointsPrediction(("a", "b"), np.array([[40.0, 30.0], [150.0, 80.0]]), (0.9, 0.9))
    drawn = np.asarray(draw_points(pixels, answer, schema)[""])[:100]
    assert (drawn != 255).any(axis=2)[29:32, 39:42].all()
    # The bone runs from one to the other and nowhere else.
    assert (drawn != 255).any(axis=2)[54:57, 94:97].any()
    assert (drawn[5:20, 100:190] == 255).all()
    unsure = PointsPrediction(("a", "b"), answer.xy, (0.9, 0.01))
    one = np.asarray(draw_points(pixels, unsure, schema, sure=0.1)[""])[:100]
    assert (one[70:90, 140:160] == 255).all()
