"""Intervals: Wilson's against a paper, the bootstrap against a formula and against groups."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.tasks.metrics import bootstrap, has_groups, proportion
from headstart.types import Record


def records(groups: list[str | None]) -> list[Record]:
    return [
        Record(Path(f"{at}.png"), f"{at}.png", f"{at:032x}", f"{at:032x}", 0, "test", group)
        for at, group in enumerate(groups)
    ]


@pytest.mark.parametrize(
    ("right", "total", "low", "high"),
    [
        # R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3 (Wilson score
        # without continuity correction).
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_of_the_paper(right: int, total: int, low: float, high: float) -> None:
    found = proportion(np.arange(total) < right)
    assert found.value == pytest.approx(right / total)
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)
    assert found.better == "higher"


def test_wilson_interval_by_hand() -> None:
    """By hand for 9 of 10 and z = 1.96: (p + z2/2n -+ z sqrt(pq/n + z2/4n2)) / (1 + z2/n), which is

    (0.9 + 0.19207 -+ 1.95996 * sqrt(0.009 + 0.0096036)) / 1.38415 = 0.78899 -+ 0.19314.
    """
    found = proportion(np.array([True] * 9 + [False]))
    assert (found.low, found.high) == pytest.approx((0.59585, 0.98213), abs=2e-5)


def test_a_share_of_nothing_is_no_number() -> None:
    found = proportion(np.zeros(0, dtype=bool))
    assert np.isnan(found.value)
    assert found.low is None


def test_bootstrap_of_a_mean_is_as_wide_as_the_formula() -> None:
    """The central limit theorem: 2 * 1.96 * deviation / sqrt(n), here within a tenth."""
    values = np.random.default_rng(0).normal(size=400)
    found = bootstrap(lambda at: float(values[at].mean()), records([None] * 400))
    assert found.value == pytest.approx(values.mean())
    assert found.low is not None
    assert found.high is not None
    expected = 2 * 1.96 * values.std() / 20
    assert found.high - found.low == pytest.approx(expected, rel=0.1)


def test_bootstrap_draws_whole_groups() -> None:
    """40 groups of 10 equal values hold what 40 pictures say: sqrt(10) times the width."""
    values = np.repeat(np.random.default_rng(1).normal(size=40), 10)
    alone = bootstrap(lambda at: float(values[at].mean()), records([None] * 400))
    together = bootstrap(
        lambda at: float(values[at].mean()), records([str(at // 10) for at in range(400)])
    )
    assert alone.low is not None
    assert alone.high is not None
    assert together.low is not None
    assert together.high is not None
    ratio = (together.high - together.low) / (alone.high - alone.low)
    assert ratio == pytest.approx(np.sqrt(10), rel=0.15)


def test_bootstrap_never_draws_part_of_a_group() -> None:
    seen: list[np.ndarray] = []

    def statistic(at: np.ndarray) -> float:
        seen.append(at)
        return 0.0

    bootstrap(statistic, records(["a", "b", "a", "b", "a", None]))
    assert len(seen) > 100
    for at in seen:
        counts = np.bincount(at, minlength=6)
        assert counts[0] == counts[2] == counts[4]
        assert counts[1] == counts[3]


def test_bootstrap_repeats_and_says_its_direction() -> None:
    values = np.arange(20.0)
    first, second = (
        bootstrap(lambda at: float(values[at].mean()), records([None] * 20), "lower")
        for _ in range(2)
    )
    assert first == second
    assert first.better == "lower"


@pytest.mark.parametrize("groups", [[None], ["a", "a", "a"]])
def test_one_group_has_no_interval(groups: list[str | None]) -> None:
    found = bootstrap(lambda at: 0.5, records(groups))
    assert (found.value, found.low, found.high) == (0.5, None, None)


def test_groups_are_noticed() -> None:
    assert has_groups(records(["a", "a", None]))
    assert not has_groups(records(["a", "b", None, None]))
