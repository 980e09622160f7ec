"""A curve as SVG."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import pytest

from headstart.evaluation.curve import HEIGHT, MARGIN, WIDTH, log_curve

SVG = "{http://www.w3.org/2000/svg}"


def test_points_lie_on_a_logarithmic_axis_and_infinite_ones_are_left_out() -> None:
    drawn = ET.fromstring(
        log_curve([1e-4, 1e-2, 0.1, 1.0], [3.0, 1.0, math.nan, 2.0], 1e-2, "lr", "loss < 1")
    )
    line = drawn.find(f"{SVG}polyline")
    assert line is not None
    points = [tuple(map(float, p.split(","))) for p in line.attrib["points"].split()]
    # 1e-2 is half of the way from 1e-4 to 1; the lowest loss is at the bottom.
    assert points == [
        (MARGIN, MARGIN),
        (WIDTH / 2, HEIGHT - MARGIN),
        (WIDTH - MARGIN, HEIGHT / 2),
    ]
    texts = [element.text for element in drawn.iter(f"{SVG}text")]
    assert {"suggestion 1.0e-02", "lr", "loss < 1", "1e-4", "1e0"} <= set(texts)


def test_nothing_finite_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="needs a finite point, got 1 that are not"):
        log_curve([1.0], [math.inf], 1.0, "lr", "loss")
