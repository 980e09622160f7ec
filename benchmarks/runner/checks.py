"""What was promised, held against what was measured in the same run."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from runner.peers import HELD
from runner.results import Run, by_variant, final_accuracy, median_time_to

SPEEDUP = 20.0
POINTS, TIMES = 3.0, 4.0
SOLAR, SOLAR_SECONDS = 0.8842, 600.0

Check = dict[str, Any]
Figures = Mapping[str, Mapping[str, Any]]


def check(
    what: str, found: float, limit: float, *, most: bool, form: str, bound: str = ""
) -> Check:
    """One promise.

    Args:
        what: in words.
        found: the figure.
        limit: what it is held against.
        most: whether the limit is the largest allowed value instead of the smallest.
        form: of both numbers.
        bound: ``>`` when the figure is a lower bound.
    """
    kept = found <= limit if most else found >= limit
    promised = f"{'at most' if most else 'at least'} {limit:{form}}"
    return {"what": what, "promised": promised, "found": f"{bound}{found:{form}}", "kept": kept}


def accuracy_checks(runs: Sequence[Run], target: float) -> list[Check]:
    """Headstart beside fastai (time to the target) and beside the small rival (points, time)."""
    groups = by_variant(runs)
    ours = groups.get(("headstart", "default"), [])
    if not ours:
        return []
    found = []
    theirs, censored = _shortest(groups, "fastai", target)
    seconds, never = _shortest(groups, "headstart", target)
    if theirs and not never:
        what = f"time to {target:.0%}: fastai's best / headstart's"
        bound = ">" if censored else ""
        found.append(check(what, theirs / seconds, SPEEDUP, most=False, form=".1f", bound=bound))
    elif theirs:
        found.append(check(f"headstart reaches {target:.0%}", 0.0, 1.0, most=False, form=".0f"))
    found += _rival_checks(ours, groups)
    for variant in HELD:
        held = groups.get(("headstart", variant), [])
        found += _rival_checks(held, groups, f"{variant}: ") if held else []
    return found


def _shortest(
    groups: Mapping[tuple[str, str], Sequence[Run]], peer: str, target: float
) -> tuple[float, bool]:
    """Seconds that a peer's fastest variant needs, and whether that is only a lower bound.

    Where no variant reaches the target, the shortest of what they are longer than; 0 without runs.
    """
    times = [median_time_to(runs, target) for (name, _), runs in groups.items() if name == peer]
    if not times:
        return 0.0, True
    censored = all(never for _, never in times)
    return min(seconds for seconds, never in times if never == censored), censored


def _rival_checks(
    ours: Sequence[Run], groups: Mapping[tuple[str, str], Sequence[Run]], whose: str = ""
) -> list[Check]:
    found = []
    for (peer, variant), runs in groups.items():
        if peer != "logistic":
            continue
        points = 100 * (_accuracy(ours) - _accuracy(runs))
        times = _seconds(ours) / _seconds(runs)
        name = f"logistic, {variant}"
        found.append(check(f"{whose}points above {name}", points, POINTS, most=False, form=".1f"))
        found.append(check(f"{whose}time / that of {name}", times, TIMES, most=True, form=".1f"))
    return found


def solar_checks(runs: Sequence[Run]) -> list[Check]:
    """The published accuracy on the solar cells, in ten minutes."""
    ours = by_variant(runs).get(("headstart", "default"), [])
    if not ours:
        return []
    accuracy = 100 * statistics.mean(final_accuracy(run) for run in ours)
    longest = max(run["seconds"] for run in ours)
    return [
        check("mean accuracy, %", accuracy, 100 * SOLAR, most=False, form=".2f"),
        check("longest run, s", longest, SOLAR_SECONDS, most=True, form=".0f"),
    ]


def _accuracy(runs: Sequence[Run]) -> float:
    return statistics.median(final_accuracy(run) for run in runs)


def _seconds(runs: Sequence[Run]) -> float:
    return float(statistics.median(run["seconds"] for run in runs))


def figure_checks(figures: Figures) -> list[Check]:
    """Promises about figures of the other comparisons, for those that were measured."""
    promises = (
        ("plain views / OpenVINO's own benchmark", 0.85, False, ".2f"),
        ("augmented views / serial bound", 0.90, False, ".2f"),
        ("predict / fastai's get_preds", 4.0, False, ".1f"),
        ("predict / serial bound", 0.80, False, ".2f"),
        ("memory at the largest / smallest number", 1.3, True, ".2f"),
        ("head refit", 1.0, True, ".2f"),
        ("second run: training starts after", 3.0, True, ".1f"),
        ("cold predict", 1.0, True, ".2f"),
        ("anonymous memory of cold predict", 200.0, True, ".0f"),
    )
    return [
        check(name, statistics.median(figures[name]["values"]), limit, most=most, form=form)
        for name, limit, most, form in promises
        if name in figures
    ]
