"""Keypoints: sub-pixel peaks, masked losses, and scores by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from headstart.tasks.keypoints.heatmaps import SIGMA, STRIDE, peaks
from headstart.tasks.keypoints.learn import LEARNER
from headstart.tasks.keypoints.losses import LOSSES, gaussians
from headstart.tasks.keypoints.score import SCORER
from headstart.tasks.keypoints.spec import SPEC
from headstart.tasks.learning import HeadOptions, Objective
from headstart.tasks.points import PointSchema, PointsTarget
from headstart.tasks.regression.score import SCORER as DIRECT
from headstart.types import Geometry, Record, Size, Skeleton, Stage

NAMES = ("left_shoulder", "right_hip", "nose")
SCHEMA = PointSchema(Skeleton(NAMES))
SIZE: Size = (64, 96)
STAGES = [Stage(6, 2), Stage(8, 4), Stage(10, 8), Stage(12, 16), Stage(14, 32), Stage(40, 32)]


def encoded(*points: tuple[float, float, int], size: Size = SIZE) -> torch.Tensor:
    """Points in continuous input pixels as ``encode_points`` gives them: (1, points + 1, 3)."""
    rows = [[x / size[1], y / size[0], v] for x, y, v in points]
    return torch.tensor([[*rows, [size[1], size[0], 1.0]]], dtype=torch.float32)


def records(*targets: PointsTarget, box: bool = False) -> list[Record]:
    return [
        Record(
            *(Path(f"{n}.png"), f"{n}.png", f"{n:032x}", f"{n:032x}", target, "test", None),
            *(target.size, (0.0, 0.0, 50.0, 50.0) if box else None),
        )
        for n, target in enumerate(targets)
    ]


@pytest.mark.parametrize("seed", range(4))
def test_the_top_of_a_gaussian_is_found_between_the_cells(seed: int) -> None:
    """Targets of the loss, decoded: less than a tenth of an input pixel off."""
    random = np.random.default_rng(seed)
    places = random.uniform((8, 8), (88, 56), (20, 2))
    truth = encoded(*((x, y, 2) for x, y in places))
    maps = gaussians(truth, SIZE[0] // STRIDE, SIZE[1] // STRIDE)[0].numpy()
    found, scores = peaks(maps)
    # Continuous coordinates lie half a pixel behind those that count centres of pixels.
    assert np.abs(found + 0.5 - places).max() < 0.1
    assert (scores > 0.85).all()


def test_flat_and_border_maps_give_the_centre_of_a_cell() -> None:
    """By hand: the centre of the first cell of 4 pixels is at 1.5."""
    flat = np.full((1, 16, 24), 0.5, np.float32)
    (point,), _ = peaks(flat)
    assert point.tolist() == [1.5, 1.5]
    corner = np.zeros((1, 16, 24), np.float32)
    corner[0, 15, 23] = 1.0
    (point,), (score,) = peaks(corner)
    assert point.tolist() == [93.5, 61.5]
    assert score == 1.0


def test_answers_are_in_original_pixels() -> None:
    """By hand: the input shows the original at half size, 10 pixels to the right."""
    geometry = Geometry((108, 152), (0.5, 0.5), (5.0, 10.0), SIZE)
    maps = gaussians(encoded((50.0, 25.0, 2)), 16, 24).numpy()
    schema = PointSchema(Skeleton(("nose",)))
    (answer,) = SPEC.decode({"heatmaps": maps}, schema, {}, geometries=[geometry])
    assert answer.xy[0] == pytest.approx(((50 - 10) / 0.5 - 0.5, (25 - 5) / 0.5 - 0.5), abs=0.2)
    value = answer.to_json()
    assert value["points"][0]["name"] == "nose"
    assert value["scores"].keys() == {"nose"}


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_points_without_a_label_have_no_gradient(name: str) -> None:
    head = LEARNER.head(STAGES, SCHEMA, [], HeadOptions())
    raw = torch.zeros(1, 3, 16, 24, requires_grad=True)
    truth = encoded((20, 20, 2), (60, 40, 1), (30, 30, 0))
    loss = LEARNER.loss(head, raw, truth, Objective(name))
    loss.backward()
    slopes = raw.grad.abs().sum(dim=(0, 2, 3))
    assert slopes[0] > 0
    assert slopes[1] > 0
    assert slopes[2] == 0
    nothing = LEARNER.loss(head, raw, encoded((1, 1, 0), (1, 1, 0), (1, 1, 0)), Objective(name))
    assert float(nothing.detach()) == 0.0


def test_perfect_heatmaps_have_the_lowest_loss() -> None:
    truth = encoded((20, 20, 2), (60, 40, 2), (30, 30, 2))
    targets, known = gaussians(truth, 16, 24), torch.ones(1, 3, dtype=torch.bool)
    empty = torch.zeros_like(targets)
    for name, loss in LOSSES.items():
        assert float(loss(targets, targets, known)) < 1e-4, name
        assert float(loss(empty, targets, known)) > 0.5, name


def test_the_width_of_targets_is_the_stated_one() -> None:
    """One standard deviation from the centre a Gaussian is at exp(-1/2)."""
    centre = (10 + 0.5) * STRIDE
    maps = gaussians(encoded((centre, centre, 2)), 24, 24)[0, 0]
    assert float(maps[10, 10]) == pytest.approx(1.0)
    assert float(maps[10, 10 + int(SIGMA)]) == pytest.approx(float(np.exp(-0.5)), abs=1e-5)


def test_the_monitored_metric_is_pck_of_the_torso_in_the_view() -> None:
    """By hand: the torso is 50 long, so that 10 pixels are allowed; one point of three misses."""
    head = LEARNER.head(STAGES, SCHEMA, [], HeadOptions())
    truth = encoded((10, 10, 2), (50, 40, 2), (80, 50, 2))
    raw = torch.full((1, 3, 16, 24), -9.0)
    for point, (column, row) in enumerate(((2, 2), (12, 10), (16, 12))):
        raw[0, point, row, column] = 9.0
    assert LEARNER.epoch_metric(LEARNER.statistics(head, raw, truth))[0] == pytest.approx(2 / 3)
    without = encoded((10, 10, 2), (50, 40, 0), (80, 50, 2))
    both = torch.cat([LEARNER.statistics(head, raw, truth), LEARNER.statistics(head, raw, without)])
    assert LEARNER.epoch_metric(both)[0] == pytest.approx(2 / 3)


def test_scores_by_hand() -> None:
    """Torso 50: 10 pixels are right. Head 12: 6 pixels are right. The second has no torso."""
    first = PointsTarget(((0.0, 0.0), (30.0, 40.0), (9.0, 9.0)), (2, 2, 2), (100, 100), head=12.0)
    second = PointsTarget(((0.0, 0.0), (0.0, 0.0), (50.0, 50.0)), (0, 0, 1), (100, 100))
    xy = np.array(
        [[[0.0, 5.0], [30.0, 51.0], [9.0, 16.0]], [[7.0, 7.0], [7.0, 7.0], [50.0, 53.0]]],
        dtype=np.float32,
    )
    observed = {"xy": xy, "scores": np.ones((2, 3), np.float32)}
    found = {
        n: m.value for n, m in SCORER.score(observed, records(first, second), SCHEMA, {}).items()
    }
    assert next(iter(found)) == "pck_0.2"
    assert found["pck_0.2"] == pytest.approx(2 / 3)
    assert found["pckh_0.5"] == pytest.approx(1 / 3)
    # (5 + 11 + 7) / 3 and 3, over the root of the area.
    assert found["point_error"] == pytest.approx((23 / 3 + 3) / 2 / 100)
    assert "oks_ap" not in found
    # The same of direct coordinates, behind their own headline.
    direct = DIRECT.score({"values": xy}, records(first, second), SCHEMA, {})
    assert next(iter(direct)) == "point_error"
    assert direct["pck_0.2"].value == found["pck_0.2"]
    torso = SCORER.analyse(observed, records(first, second), SCHEMA, {}, {})[0]
    assert "1 of 2 pictures show no whole torso" in torso.text


def test_whole_pictures_are_scored_beside_crops() -> None:
    target = PointsTarget(((0.0, 0.0), (30.0, 40.0), (9.0, 9.0)), (2, 2, 2), (100, 100))
    good = target.array[None].astype(np.float32)
    observed = {
        "xy": good,
        "xy_full_frame": good + 30,
        "scores": np.ones((1, 3), np.float32),
        "scores_full_frame": np.ones((1, 3), np.float32),
    }
    rows = records(target, box=True)
    found = SCORER.score(observed, rows, SCHEMA, {})
    assert (found["pck_0.2"].value, found["pck_0.2_full_frame"].value) == (1.0, 0.0)
    said = SCORER.analyse(observed, rows, SCHEMA, {}, found)[0]
    assert "1.000 on crops" in said.text
    assert "0.000 on whole pictures" in said.text


def test_oks_is_pycocotools_and_perfect_for_perfect_points() -> None:
    targets = [
        PointsTarget(((10.0, 10.0), (30.0, 40.0), (20.0, 5.0)), (2, 2, 1), (100, 100), 900.0)
        for _ in range(3)
    ]
    rows = records(*targets, box=True)
    good = np.stack([t.array for t in targets]).astype(np.float32)
    scores = np.ones((3, 3), np.float32)
    perfect = SCORER.score({"xy": good, "scores": scores}, rows, SCHEMA, {})["oks_ap"].value
    assert perfect == pytest.approx(1.0)
    off = SCORER.score({"xy": good + 2, "scores": scores}, rows, SCHEMA, {})["oks_ap"].value
    far = SCORER.score({"xy": good + 40, "scores": scores}, rows, SCHEMA, {})["oks_ap"].value
    assert 0.0 == far < off < perfect
