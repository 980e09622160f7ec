"""Whether a file is handed over: the rules, and the sentence that explains the outcome.

The rules are decision 0024: the precision is chosen on validation, the test split only reports.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

from headstart.exporting.formats.protocol import CALIBRATED, REFERENCE_PRECISION, Format
from headstart.exporting.trial import Trial

Judgement = Literal["ok", "refused", "weak evidence", "not checked"]

DEFAULT_TOLERANCE = 0.5
"""Percentage points of the metric that a file may lose on validation."""

LIMIT_FACTOR = 3.0
"""A loss of this many tolerances must be visible: with fewer pictures the evidence is weak."""

NUMERIC_TOLERANCE = 1e-3
"""Largest difference of any output in float32, relative to its size where that is above 1."""

SHIFTS = {"fp32": 1e-3, "fp16": 0.02, "bf16": 0.1}
"""Largest sum of differences, as a share of the sum of an output, by precision.

Answers alone would not show a wrong temperature: the best class stays the best.
"""

AGREEMENT_FLOORS = {"fp32": 0.999, "fp16": 0.98, "bf16": 0.95, "dynamic": 0.9}
"""Least mean agreement of the answers with the reference, by precision."""

LOWEST_FLOOR = 0.85
"""Of every other precision."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The outcome for one file.

    Attributes:
        judgement: in one word or two.
        reason: why, and what to do; empty where it is plainly ok.
    """

    judgement: Judgement
    reason: str = ""

    @property
    def handed_over(self) -> bool:
        """Whether the file is put where the person asked for it."""
        return self.judgement != "refused"


def judge(file_format: Format, precision: str, trial: Trial, tolerance: float) -> Verdict:
    """Applies the rules to what was seen of a file.

    Args:
        file_format: of the file.
        precision: of the file.
        trial: what was seen.
        tolerance: percentage points of the metric that it may lose.
    """
    if trial.unchecked is not None:
        return Verdict("not checked", trial.unchecked)
    fault = _fault(precision, trial, tolerance)
    if fault is not None:
        return Verdict("refused", f"{fault}; {_advice(file_format, precision)}")
    doubt = _doubt(precision, trial, tolerance)
    return Verdict("weak evidence", doubt) if doubt is not None else Verdict("ok")


def floor_of(precision: str) -> float:
    """Least mean agreement of the answers at a precision."""
    return AGREEMENT_FLOORS.get(precision, LOWEST_FLOOR)


def least_pictures(tolerance: float) -> int:
    """Validation pictures with which one picture is worth no more than the limit."""
    return math.ceil(100.0 / (LIMIT_FACTOR * tolerance)) if tolerance > 0 else 1


def _fault(precision: str, trial: Trial, tolerance: float) -> str | None:
    if trial.problem is not None:
        return trial.problem
    if not trial.n:
        return "it was run on no picture"
    if not trial.agreement >= floor_of(precision):
        return (
            f"its answers agree with the reference by {trial.agreement:.1%} on {trial.n} pictures "
            f"(at least {floor_of(precision):.1%} is needed)"
        )
    if precision == REFERENCE_PRECISION and not trial.difference <= NUMERIC_TOLERANCE:
        return (
            f"an output differs from the reference by {trial.difference:.2g} "
            f"(more than {NUMERIC_TOLERANCE:g})"
        )
    limit = SHIFTS.get(precision, math.inf)
    if not trial.shift <= limit:
        return (
            f"an output is off by {trial.shift:.2%} of its size on average (more than {limit:.2%})"
        )
    drop = trial.drops.get("val")
    if drop is None or drop.points.low is None or drop.points.low <= tolerance:
        return None
    return (
        f"{drop.metric} drops by {drop.points.value:.2f} points on {drop.n} validation pictures "
        f"(95 % interval {drop.points.low:.2f} to {drop.points.high:.2f}, tolerance {tolerance:g})"
    )


def _doubt(precision: str, trial: Trial, tolerance: float) -> str | None:
    if precision == REFERENCE_PRECISION:
        # Equal outputs are the evidence, and every picture has thousands of them.
        return None
    drop = trial.drops.get("val")
    n, least = (drop.n if drop is not None else 0), least_pictures(tolerance)
    limit = LIMIT_FACTOR * tolerance
    if drop is None or drop.points.low is None or n < least:
        return (
            f"n = {n} labelled validation pictures: at least {least} that do not belong together "
            f"are needed to see a drop of {limit:g} points; --data takes more"
        )
    if drop.points.value > limit:
        return (
            f"n = {n}: {drop.metric} drops by {drop.points.value:.2f} points on validation, and "
            f"{n} pictures cannot tell whether that is chance; --data takes more"
        )
    return None


def _advice(file_format: Format, precision: str) -> str:
    """What to try instead."""
    order = list(file_format.modules)
    at = order.index(precision) if precision in order else 0
    better = [other for other in order[:at] if other != "bf16"]
    if not better:
        return f"this is a defect of the conversion to {file_format.title}: please report it"
    advice = f"the next best is --precision {better[-1]}"
    if precision == CALIBRATED:
        advice += (
            ", or give more and more typical pictures for its ranges with --data, "
            "or train with --quantize-aware"
        )
    return advice
