"""The rules of decision 0024, case by case."""

from __future__ import annotations

import pytest

from headstart.exporting.formats import export_format
from headstart.exporting.trial import Drop, Trial
from headstart.exporting.verdict import judge, least_pictures
from headstart.types import Metric, Split

ONNX = export_format("onnx")


def drop(points: float, low: float, high: float, n: int) -> Drop:
    return Drop("accuracy", 0.9 - points / 100, 0.9, Metric(points, low, high, "lower"), n)


def trial(
    agreement: float = 1.0, difference: float = 1e-5, shift: float = 1e-5, **sides: Drop
) -> Trial:
    drops: dict[Split, Drop] = dict(sides)  # type: ignore[misc]
    return Trial(1000, agreement, difference, shift, drops=drops)


ALONE = Drop("accuracy", 0.9, 0.9, Metric(0.0), 500)
FINE = drop(0.0, 0.0, 0.0, 500)


@pytest.mark.parametrize(
    ("precision", "seen", "judgement", "reason"),
    [
        ("fp32", trial(val=FINE), "ok", ""),
        ("fp32", trial(), "ok", ""),
        ("fp32", trial(0.998, val=FINE), "refused", "agree with the reference by 99.8% on 1000"),
        (
            "fp32",
            trial(difference=2e-3, val=FINE),
            "refused",
            "the reference by 0.002 (",
        ),
        ("fp32", trial(difference=float("nan"), val=FINE), "refused", "differs"),
        ("fp32", trial(float("nan"), val=FINE), "refused", "agree"),
        ("fp32", trial(shift=2e-3, val=FINE), "refused", "off by 0.20% of its size on average"),
        ("fp16", trial(1.0, 0.3, 0.01, val=FINE), "ok", ""),
        ("fp16", trial(1.0, 0.1, 0.03, val=FINE), "refused", "off by 3.00% of its size"),
        ("fp16", trial(1.0, 0.1, float("nan"), val=FINE), "refused", "off by nan"),
        ("fp16", trial(0.97, val=FINE), "refused", "at least 98.0% is needed"),
        ("int8", trial(0.95, 9.0, 9.0, val=drop(1.0, 0.4, 1.6, 500)), "ok", ""),
        (
            "int8",
            trial(0.95, 9.0, 9.0, val=drop(1.0, 0.6, 1.6, 500)),
            "refused",
            "accuracy drops by 1.00 points on 500 validation pictures (95 % interval 0.60 to 1.60",
        ),
        # Answers that differ are refused also where the metric does not see it.
        ("int8", trial(0.80, 9.0, 9.0, val=FINE), "refused", "agree with the reference by 80.0%"),
        # The test split only reports.
        ("int8", trial(0.95, 9.0, 9.0, val=FINE, test=drop(9.0, 8.0, 10.0, 500)), "ok", ""),
        ("int8", trial(0.95, 9.0, 9.0, test=FINE), "weak evidence", "n = 0 labelled validation"),
        ("int8", trial(0.95, 9.0, 9.0, val=drop(0, 0, 0, 66)), "weak evidence", "n = 66 labelled"),
        ("int8", trial(0.95, 9.0, 9.0, val=drop(0, 0, 0, 67)), "ok", ""),
        (
            "int8",
            trial(0.95, 9.0, 9.0, val=drop(2.5, 0, 6, 80)),
            "weak evidence",
            "n = 80: accuracy",
        ),
        # All of one group, or no metric at all.
        ("int8", trial(0.95, 9.0, 9.0, val=ALONE), "weak evidence", "that do not belong together"),
        ("int8", Trial(), "refused", "run on no picture"),
        ("int8", Trial(problem="its output is missing"), "refused", "its output is missing"),
        ("int8", Trial(unchecked="module 'x' is missing"), "not checked", "module 'x'"),
    ],
)
def test_verdict(precision: str, seen: Trial, judgement: str, reason: str) -> None:
    found = judge(ONNX, precision, seen, 0.5)
    assert (found.judgement, reason in found.reason) == (judgement, True), found
    assert bool(found.reason) == (judgement != "ok")
    assert found.handed_over == (judgement != "refused")


def test_what_to_try_instead() -> None:
    bad = trial(0.5, val=FINE)
    assert "more typical pictures for its ranges" in judge(ONNX, "int8", bad, 0.5).reason
    assert judge(ONNX, "fp16", bad, 0.5).reason.endswith("the next best is --precision fp32")
    assert "defect of the conversion to ONNX" in judge(ONNX, "fp32", bad, 0.5).reason


def test_one_picture_is_worth_no_more_than_three_tolerances() -> None:
    # 100 / 67 = 1.49 points <= 1.5, 100 / 66 = 1.52.
    assert least_pictures(0.5) == 67
    assert least_pictures(2.0) == 17
