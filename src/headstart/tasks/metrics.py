"""Intervals that the tasks' scores share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from headstart.storage import seed_from
from headstart.types import Metric, Record

BOOTSTRAP_REPEATS = 1000

Statistic = Callable[[npt.NDArray[np.intp]], float]
"""A score of the pictures with the given indices (m,), which may repeat; may be NaN."""


@dataclasses.dataclass(frozen=True)
class Headline:
    """The metric by which models are compared, ready for resampling.

    Attributes:
        name: as in ``TaskScorer.score``.
        of: gives it for chosen pictures.
        better: whether a higher or a lower value is better.
        unit: what a difference is divided by to be a share: 1 for metrics that are shares.
    """

    name: str
    of: Statistic
    better: Literal["higher", "lower"] = "higher"
    unit: float = 1.0


def proportion(correct: npt.NDArray[np.bool_]) -> Metric:
    """A share of right answers with its Wilson score interval at 95 %.

    Args:
        correct: (n,), one entry for each independent picture.

    The interval is scipy's ``binomtest(...).proportion_ci(method="wilson")`` (E. B. Wilson, JASA
    22 (1927) 209-212).
    """
    count, total = int(correct.sum()), int(correct.size)
    if total == 0:
        return Metric(float("nan"))
    interval = binomtest(count, total).proportion_ci(confidence_level=0.95, method="wilson")
    return Metric(count / total, float(interval.low), float(interval.high))


def has_groups(records: Sequence[Record]) -> bool:
    """Whether several pictures share a group, so that they are not independent."""
    return len({record.group_key for record in records}) < len(records)


def bootstrap(
    statistic: Statistic,
    records: Sequence[Record],
    better: str = "higher",
) -> Metric:
    """A statistic with its percentile bootstrap interval at 95 %, resampling whole groups.

    Args:
        statistic: gets indices (m,) into the records, with repeats; may return NaN.
        records: the scored pictures; those of one group are drawn together.
        better: which way the statistic is better.
    """
    everything = np.arange(len(records))
    value = statistic(everything)
    groups: dict[str, list[int]] = {}
    for index, record in enumerate(records):
        groups.setdefault(record.group_key, []).append(index)
    if len(groups) < 2 or np.isnan(value):
        return Metric(value, better="higher" if better == "higher" else "lower")
    members = [np.array(indices) for indices in groups.values()]
    random = np.random.default_rng(seed_from("bootstrap", len(records)))
    draws = [
        statistic(
            np.concatenate([members[i] for i in random.integers(0, len(members), len(members))])
        )
        for _ in range(BOOTSTRAP_REPEATS)
    ]
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return Metric(value, float(low), float(high), "higher" if better == "higher" else "lower")


def bootstrap_all(
    statistics: Callable[[npt.NDArray[np.intp]], npt.NDArray[np.float64]],
    records: Sequence[Record],
) -> list[Metric]:
    """Several statistics of which higher is better, all from the same resamples of ``bootstrap``.

    Args:
        statistics: gets indices (m,) into the records, with repeats; gives (k,), NaN where a
            statistic is not defined.
        records: the scored pictures; those of one group are drawn together.

    Returns:
        k metrics; without an interval where the value is NaN or there are fewer than two groups.
    """
    values = statistics(np.arange(len(records)))
    groups: dict[str, list[int]] = {}
    for index, record in enumerate(records):
        groups.setdefault(record.group_key, []).append(index)
    if len(groups) < 2:
        return [Metric(float(value)) for value in values]
    members = [np.array(indices) for indices in groups.values()]
    random = np.random.default_rng(seed_from("bootstrap", len(records)))
    draws = np.array(
        [
            statistics(
                np.concatenate([members[i] for i in random.integers(0, len(members), len(members))])
            )
            for _ in range(BOOTSTRAP_REPEATS)
        ]
    )
    found = []
    for value, column in zip(values, draws.T, strict=True):
        defined = column[~np.isnan(column)]
        if np.isnan(value) or not defined.size:
            found.append(Metric(float(value)))
            continue
        low, high = np.percentile(defined, [2.5, 97.5])
        # Few pictures can push both percentiles of a biased statistic to one side of its value.
        found.append(Metric(float(value), float(min(low, value)), float(max(high, value))))
    return found
