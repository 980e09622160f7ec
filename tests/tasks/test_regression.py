"""Regression: metrics against scikit-learn, units kept from target to answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn import metrics as sklearn_metrics

from headstart.config import DatasetOptions
from headstart.errors import DataError
from headstart.tasks.learning import HeadOptions, Objective
from headstart.tasks.regression.learn import LEARNER
from headstart.tasks.regression.numbers import NumberSchema
from headstart.tasks.regression.score import SCORER
from headstart.tasks.regression.spec import SPEC
from headstart.types import Annotation, Record, Stage

SCHEMA = NumberSchema(("price",), (1.0, 2.0))


def encode(values: list[float]) -> torch.Tensor:
    return torch.stack([LEARNER.encode((value,), None, SCHEMA) for value in values])


def records(targets: npt.NDArray[np.floating] | list[float], groups: list[str] | None = None):
    return [
        Record(
            Path(f"{at}.png"),
            f"{at}.png",
            f"{at:032x}",
            f"{at:032x}",
            (float(target),),
            "test",
            groups[at] if groups else None,
        )
        for at, target in enumerate(targets)
    ]


def annotations(texts: list[str], column: str = "price") -> list[Annotation]:
    return [Annotation(Path(f"{n}.png"), f"{n}.png", {column: t}) for n, t in enumerate(texts)]


def outputs(values: npt.NDArray[np.floating]) -> dict[str, npt.NDArray[np.float32]]:
    return {"values": np.asarray(values, dtype=np.float32)[:, None]}


def test_scores_are_scikit_learns() -> None:
    """scikit-learn computed every expected number."""
    random = np.random.default_rng(0)
    truth = random.normal(size=50) * 10
    guess = (truth + random.normal(size=50)).astype(np.float32)
    found = SCORER.score(outputs(guess), records(truth), SCHEMA, {})
    expected = {
        "mae": sklearn_metrics.mean_absolute_error(truth, guess),
        "mse": sklearn_metrics.mean_squared_error(truth, guess),
        "r2": sklearn_metrics.r2_score(truth, guess),
        "mae_best_constant": sklearn_metrics.mean_absolute_error(
            truth, np.full(50, np.median(truth))
        ),
    }
    assert {n: m.value for n, m in found.items()} == pytest.approx(expected, abs=1e-6)
    assert {n for n, m in found.items() if m.better == "higher"} == {"r2"}


def test_the_best_constant_by_hand() -> None:
    """Of 0, 0, 0, 1, 9 the median 0 errs by 10 / 5 = 2; the mean 2 would err by 2.8."""
    truth = [0.0, 0.0, 0.0, 1.0, 9.0]
    found = SCORER.score(outputs(np.array(truth)), records(truth), SCHEMA, {})
    assert found["mae_best_constant"].value == pytest.approx(2.0)
    assert found["mae"].value == 0.0


def test_equal_targets_have_no_r2() -> None:
    found = SCORER.score(outputs(np.ones(4)), records([2.0] * 4), SCHEMA, {})
    assert "r2" not in found
    assert found["mae"].value == 1.0


def test_answers_are_in_the_unit_of_the_targets() -> None:
    """By hand: of 10 and 30 the mean is 20 and the deviation 10."""
    head = LEARNER.head([Stage(4, 32)], SCHEMA, [(10.0,), (30.0,)], HeadOptions())
    raw = torch.tensor([[0.0], [1.5]])
    (values,) = LEARNER.finish(head)(raw)
    assert values.tolist() == [[20.0], [35.0]]
    metric, error = LEARNER.epoch_metric(LEARNER.statistics(head, raw, encode([21.0, 32.0])))
    assert (metric, error) == (2.0, pytest.approx(1 / np.sqrt(2)))
    (first, second) = SPEC.decode({"values": values.numpy()}, SCHEMA, {}, geometries=())
    assert first.headline == "price 20"
    assert second.to_json() == {
        "label": "price",
        "value": 35.0,
        "score": None,
        "scores": {"price": 35.0},
        "unknown": None,
    }


def test_the_loss_is_smooth_l1_of_standard_deviations() -> None:
    """By hand, beta 0.5: 0.2 away costs 0.04 / 1 = 0.04, 2 away costs 2 - 0.25 = 1.75."""
    head = LEARNER.head([Stage(4, 32)], SCHEMA, [(10.0,), (30.0,)], HeadOptions())
    encoded = encode([20.0, 20.0])
    found = LEARNER.loss(head, torch.tensor([[0.2], [2.0]]), encoded, Objective("smooth-l1", 0.1))
    assert float(found) == pytest.approx((0.04 + 1.75) / 2)


def test_training_pictures_of_one_value_do_not_divide_by_zero() -> None:
    head = LEARNER.head([Stage(4, 32)], SCHEMA, [(3.0,), (3.0,)], HeadOptions())
    encoded = encode([3.0, 3.0])
    assert float(LEARNER.loss(head, torch.zeros(2, 1), encoded, Objective("smooth-l1", 0.0))) == 0.0


@pytest.mark.parametrize("garbage", ["nan", "inf", "-inf", "", "3,5", "1e999", "two", "0x10"])
def test_what_is_no_finite_number_is_left_out_with_its_text(garbage: str) -> None:
    parsed = SPEC.parse(annotations(["1.5", garbage, "-2e3", " 7 "]))
    assert parsed.targets == ((1.5,), None, (-2000.0,), (7.0,))
    (omission,) = parsed.omissions
    assert omission.image == "1.png"
    assert omission.reason == f"price is no number: {garbage!r}"


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["nan", "x"], r"no picture has a number in the column 'price'"),
        (["2.5", "2.50"], r"every price is 2\.5: there is nothing to learn"),
    ],
)
def test_what_cannot_be_learned_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        SPEC.parse(annotations(texts))


def test_of_several_columns_the_known_name_or_all_numbers_are_taken() -> None:
    def parsed(**fields: str) -> tuple[str, ...]:
        rows = [
            Annotation(Path(f"{n}.png"), f"{n}.png", {k: t.format(n) for k, t in fields.items()})
            for n in range(2)
        ]
        return SPEC.parse(rows).schema.names

    assert parsed(left="{}", right="3{}") == ("left", "right")
    assert parsed(left="{}", value="3{}") == ("value",)
    assert parsed(left="{}", comment="cheap") == ("left",)
    with pytest.raises(DataError, match=r"such as 'value'; found comment, title"):
        parsed(comment="cheap", title="old")


def test_several_numbers_are_scored_each_and_together() -> None:
    """By hand: errors 1 and 3 of a, 10 and 10 of b; the constants err by 1 and by 10."""
    schema = NumberSchema(("a", "b"))
    truth = [(0.0, 0.0), (2.0, 20.0)]
    rows = [Record(Path(f"{n}.png"), f"{n}.png", f"{n:032x}", "", t) for n, t in enumerate(truth)]
    guess = {"values": np.array([[1.0, 10.0], [5.0, 10.0]], dtype=np.float32)}
    found = {n: m.value for n, m in SCORER.score(guess, rows, schema, {}).items()}
    assert (found["mae"], found["mae/a"], found["mae/b"]) == (6.0, 2.0, 10.0)
    assert found["mae_best_constant"] == 5.5
    assert found["mse"] == pytest.approx((5.0 + 100.0) / 2)
    assert found["r2"] == pytest.approx(((1 - 10 / 2) + (1 - 200 / 200)) / 2)
    (answer, _) = SPEC.decode(guess, schema, {}, geometries=())
    assert answer.to_json()["scores"] == {"a": 1.0, "b": 10.0}


def test_a_range_bounds_answers_and_targets() -> None:
    """By hand: a sigmoid of 0 is the middle of the range, and large outputs stay inside it."""
    parsed = SPEC.parse(annotations(["0", "50", "101"]), options=DatasetOptions(range=(0, 100)))
    assert parsed.targets == ((0.0,), (50.0,), None)
    assert "outside the range 0 to 100" in parsed.omissions[0].reason
    head = LEARNER.head([Stage(4, 32)], parsed.schema, [(0.0,), (50.0,)], HeadOptions())
    (values,) = LEARNER.finish(head)(torch.tensor([[0.0], [50.0], [-50.0]]))
    assert values.flatten().tolist() == pytest.approx([50.0, 100.0, 0.0])
    features = np.random.default_rng(0).normal(size=(1, 40, 4)).astype(np.float32)
    targets = [(float(np.clip(50 + 20 * x, 0, 100)),) for x in features[0, :, 1]]
    LEARNER.initialise(head, features, targets, parsed.schema)
    with torch.inference_mode():
        (found,) = LEARNER.finish(head)(head.predict(torch.from_numpy(features[0])))
    assert np.abs(found.numpy() - np.array(targets)).mean() < 3.0


def test_classes_make_no_sense_for_a_number() -> None:
    with pytest.raises(DataError, match=r"a number has no classes"):
        SPEC.parse(annotations(["1", "2"]), classes=("a", "b"))


def test_bands_are_equally_filled() -> None:
    """By hand: fifths of 0 to 99."""
    parsed = SPEC.parse(annotations([str(at) for at in range(100)]))
    assert parsed.schema.edges == pytest.approx((19.8, 39.6, 59.4, 79.2))
    bands = [SPEC.strata(parsed.schema, target) for target in parsed.targets]
    assert [bands.count((str(band),)) for band in range(5)] == [20] * 5


def test_a_column_of_numbers_is_claimed_and_one_of_words_is_not() -> None:
    assert SPEC.claims([{"price": "1"}, {"price": ""}]) > 0.9
    assert SPEC.claims([{"price": "1"}, {"price": "cheap"}]) == 0.0
    # Class names may be digits.
    assert SPEC.claims([{"label": "1"}]) < 0.5


def test_findings_say_the_constants_error_and_list_the_worst_first() -> None:
    truth = [0.0, 1.0, 2.0, 3.0]
    findings = SCORER.analyse(
        outputs(np.array([0.0, 1.5, 2.0, 5.0])), records(truth), SCHEMA, {}, {}
    )
    bands, worst = findings
    # The constant 1.5 errs by 1; the model by (0 + 0.5 + 0 + 2) / 4.
    assert "mean absolute error of 1, this model 0.625" in bands.text
    assert [image for image, _ in worst.images] == ["3.png", "1.png", "0.png", "2.png"]
    # Edges 1 and 2 belong to the band above.
    assert [row[:2] for row in bands.rows] == [("0 to 0", 1), ("1 to 1", 1), ("2 to 3", 2)]
    assert [row[3] for row in bands.rows] == ["+0", "+0.5", "+1"]


def test_out_of_fold_keeps_groups_together() -> None:
    """Every group has a number by chance: who tears groups apart recognises it."""
    random = np.random.default_rng(0)
    features = np.repeat(random.normal(size=(30, 60)), 5, axis=0).astype(np.float32)
    targets, groups = np.repeat(random.normal(size=30), 5), [str(at // 5) for at in range(150)]
    torn = SCORER.out_of_fold(features, records(targets), SCHEMA, 0)
    whole = SCORER.out_of_fold(features, records(targets, groups), SCHEMA, 0)
    assert torn is not None
    assert whole is not None
    assert torn[1].value < 0.2
    assert whole[1].value > 0.5
    assert whole[0] == "mae"
    assert whole[1].better == "lower"
