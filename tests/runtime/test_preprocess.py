"""Where a picture lands in the graph's input, and the way back."""

from __future__ import annotations

import json
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from headstart.errors import ModelError
from headstart.runtime.preprocess import PAD_VALUE, RESIZE_RULES, Preprocess, Resize
from headstart.types import Size

SHAPES: list[Size] = [(1, 1), (1, 97), (97, 1), (31, 200), (33, 32), (48, 64), (200, 31), (7, 5)]


def flat(size: Size) -> Any:
    """A picture that is nowhere as grey as the bars."""
    return np.full((*size, 3), 250, np.uint8)


@pytest.mark.parametrize(
    ("rule", "original", "scale", "offset"),
    [
        # Input (32, 64). By hand: the factor is that of the tighter side, sizes are rounded,
        # half of what is left over lies above and to the left.
        ("letterbox", (48, 64), (32 / 48, 43 / 64), (0, 10)),
        ("letterbox", (10, 80), (8 / 10, 64 / 80), (12, 0)),
        ("letterbox", (64, 128), (0.5, 0.5), (0, 0)),
        ("letterbox", (1, 1000), (1.0, 64 / 1000), (15, 0)),
        ("letterbox", (1000, 1), (32 / 1000, 1.0), (0, 31)),
        ("crop", (48, 64), (1.0, 1.0), (-8, 0)),
        ("crop", (10, 80), (3.2, 256 / 80), (0, -96)),
        ("crop", (16, 8), (8.0, 8.0), (-48, 0)),
        ("squash", (48, 64), (32 / 48, 1.0), (0, 0)),
        ("squash", (1, 1000), (32.0, 0.064), (0, 0)),
    ],
)
def test_placement(rule: Resize, original: Size, scale: Any, offset: Any) -> None:
    geometry = Preprocess((32, 64), rule).place(original)
    assert geometry.original == original
    assert geometry.scale == pytest.approx(scale)
    assert geometry.offset == offset


@pytest.mark.parametrize(
    ("rule", "rows", "columns"),
    [
        ("letterbox", slice(0, 32), slice(10, 53)),
        ("crop", slice(0, 32), slice(0, 64)),
        ("squash", slice(0, 32), slice(0, 64)),
    ],
)
def test_what_the_picture_does_not_cover_is_grey(rule: Resize, rows: slice, columns: slice) -> None:
    found, _ = Preprocess((32, 64), rule).apply(flat((48, 64)))
    expected = np.full((32, 64, 3), PAD_VALUE, np.uint8)
    expected[rows, columns] = 250
    np.testing.assert_array_equal(found, expected)


def test_crop_cuts_the_same_at_both_sides() -> None:
    image = flat((32, 96))
    image[:, 24:72] = 0  # the middle half; the input shows columns 32 to 64 of 96
    found, geometry = Preprocess((32, 32), "crop").apply(image)
    assert geometry.offset == (0, -32)
    assert (found == 0).all()


@pytest.mark.parametrize("rule", RESIZE_RULES)
@pytest.mark.parametrize("original", SHAPES)
@pytest.mark.parametrize("size", [(32, 32), (33, 64)])
def test_every_shape_fits(rule: Resize, original: Size, size: Size) -> None:
    found, geometry = Preprocess(size, rule).apply(flat(original))
    assert (found.shape, found.dtype) == ((*size, 3), np.uint8)
    assert found.flags["C_CONTIGUOUS"]
    # The picture is seen; with crop and squash nothing else is.
    seen = (found == 250).all(axis=2)
    assert seen.any()
    assert rule == "letterbox" or seen.all()
    # The geometry says where: the seen rows and columns are those of the picture's corners.
    rows, columns = np.nonzero(seen.any(axis=1))[0], np.nonzero(seen.any(axis=0))[0]
    corners = np.array([[-0.5, -0.5], [original[1] - 0.5, original[0] - 0.5]])
    (left, top), (right, bottom) = np.clip(geometry.to_input(corners) + 0.5, 0, size[::-1])
    assert (rows[0], rows[-1] + 1) == pytest.approx((top, bottom), abs=1e-6)
    assert (columns[0], columns[-1] + 1) == pytest.approx((left, right), abs=1e-6)


@pytest.mark.parametrize("original", [(48, 64), (101, 333), (333, 101), (20, 31), (2, 90)])
def test_cropping_is_that_of_the_whole_resized_picture(original: Size) -> None:
    image = np.random.default_rng(1).integers(0, 256, (*original, 3)).astype(np.uint8)
    preprocess = Preprocess((40, 56), "crop")
    found, geometry = preprocess.apply(image)
    height, width = (round(n * s) for n, s in zip(original, geometry.scale, strict=True))
    whole = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    top, left = (-int(offset) for offset in geometry.offset)
    expected = np.asarray(whole)[top : top + 40, left : left + 56]
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_a_very_wide_picture_takes_no_more_than_its_input() -> None:
    # Resized as a whole it would have 224 x 4,480,000 pixels: 3 GB.
    image = np.full((1, 20_000, 3), 7, np.uint8)
    assert (Preprocess((224, 224), "crop").apply(image)[0] == 7).all()


def test_a_picture_of_the_input_size_is_not_touched() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 64, 3)).astype(np.uint8)
    assert len(RESIZE_RULES) == 3
    for rule in get_args(Resize):
        found, geometry = Preprocess((32, 64), rule).apply(image)
        np.testing.assert_array_equal(found, image)
        assert (geometry.scale, geometry.offset) == ((1.0, 1.0), (0.0, 0.0))


@pytest.mark.parametrize(
    ("rule", "point", "expected"),
    [
        # Picture 40 high, 80 wide; input 32 x 32. Pixel centres: x' = (x + .5) * s + o - .5.
        # letterbox: s = .4, o = (0, 8): the top left pixel's centre .5 lies at .2, and 8 below.
        ("letterbox", (0.0, 0.0), (-0.3, 7.7)),
        ("letterbox", (39.5, 19.5), (15.5, 15.5)),
        ("letterbox", (79.0, 39.0), (31.3, 23.3)),
        # crop: s = .8, o = (-16, 0).
        ("crop", (0.0, 0.0), (-16.1, -0.1)),
        ("crop", (39.5, 19.5), (15.5, 15.5)),
        # squash: s = (.4, .8).
        ("squash", (0.0, 0.0), (-0.3, -0.1)),
        ("squash", (79.0, 39.0), (31.3, 31.1)),
    ],
)
def test_points_worked_out_by_hand(rule: Resize, point: Any, expected: Any) -> None:
    geometry = Preprocess((32, 32), rule).place((40, 80))
    assert geometry.to_input(np.array(point)) == pytest.approx(expected)
    assert geometry.to_original(np.array(expected)) == pytest.approx(point)


@pytest.mark.parametrize("rule", RESIZE_RULES)
@pytest.mark.parametrize("seed", range(6))
def test_the_way_back_is_the_inverse(rule: Resize, seed: int) -> None:
    random = np.random.default_rng(seed)
    original = tuple(int(side) for side in random.integers(1, 3000, 2))
    size = tuple(int(side) for side in random.integers(32, 400, 2))
    geometry = Preprocess(size, rule).place(original)  # type: ignore[arg-type]
    points = random.uniform(-10, 3000, (4, 5, 2))
    back = geometry.to_original(geometry.to_input(points))
    np.testing.assert_allclose(back, points, atol=1e-8)
    np.testing.assert_allclose(geometry.to_input(geometry.to_original(points)), points, atol=1e-8)


def test_a_bright_spot_lies_where_the_geometry_says() -> None:
    for rule in get_args(Resize):
        image = np.zeros((60, 120, 3), np.uint8)
        image[20:30, 50:60] = 255  # middle (54.5, 24.5)
        found, geometry = Preprocess((48, 48), rule).apply(image)
        weight = found[:, :, 0].astype(float)
        weight[weight == PAD_VALUE] = 0
        rows, columns = np.mgrid[0:48, 0:48]
        middle = [(columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()]
        assert middle == pytest.approx(geometry.to_input(np.array([54.5, 24.5])), abs=0.05), rule


@pytest.mark.parametrize("name", ["astronaut", "coffee"])
@pytest.mark.parametrize("size", [(224, 224), (97, 160)])
def test_resizing_agrees_with_torchvision(name: str, size: Size) -> None:
    data = pytest.importorskip("skimage.data")  # shipped in the wheel, nothing is fetched
    photograph = getattr(data, name)()
    found, _ = Preprocess(size, "squash").apply(photograph)
    resize = v2.Resize(size, antialias=True)
    tensor = torch.from_numpy(photograph).permute(2, 0, 1)
    expected = resize(tensor).permute(1, 2, 0).numpy()
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_json_round_trip() -> None:
    written = Preprocess((96, 128), "crop", 4095)
    value = json.loads(json.dumps(written.to_json()))
    assert value == {
        "size": [96, 128],
        "resize": "crop",
        "filter": "bilinear, antialiased",
        "pad_value": 128,
        "box_margin": 1.25,
        "white_level": 4095,
    }
    assert Preprocess.from_json(value) == written


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"resize": "zoom"}, r"unknown resize rule .*'resize': 'zoom'.*; update headstart"),
        ({"box_margin": 1.5}, r"unknown resize rule .*'box_margin': 1\.5.*; update headstart"),
        ({"pad_value": 0}, r"unknown resize rule .*'pad_value': 0.*; update headstart"),
    ],
)
def test_a_rule_of_another_version_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Preprocess.from_json({**Preprocess((32, 32)).to_json(), **change})


def test_decoding_leaves_something_to_resize() -> None:
    assert Preprocess((96, 128)).decode_size == (192, 256)
