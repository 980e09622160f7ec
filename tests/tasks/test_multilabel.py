"""Multilabel: parsing by hand, metrics against scikit-learn, losses against torch."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from sklearn import metrics as sklearn_metrics
from torch.nn import functional

from headstart.config import DatasetOptions
from headstart.errors import DataError
from headstart.models.heads import LseHead, PooledHead, Stage
from headstart.tasks.learning import HeadOptions, Objective
from headstart.tasks.multilabel import score as score_module
from headstart.tasks.multilabel.learn import LEARNER, asymmetric
from headstart.tasks.multilabel.parsing import LabelSchema, detect_separator
from headstart.tasks.multilabel.precision import Ranking, ranked_classes, weights_of
from headstart.tasks.multilabel.score import SCORER
from headstart.tasks.multilabel.spec import SPEC, LabelsPrediction, label_given
from headstart.tasks.multilabel.thresholds import parse_aim
from headstart.tasks.protocol import ParsedTargets
from headstart.types import Annotation, Geometry, Record

SCHEMA = LabelSchema(("ant", "bee", "wasp"))
GEOMETRY = Geometry((10, 10), (1.0, 1.0), (0.0, 0.0), (10, 10))
CHANNELS = 6
STAGES = [Stage(4, 2), Stage(CHANNELS, 4)]
# Beside this repository where it is developed; its pictures may not be stored in it.
CAMVID = Path(__file__).parents[3] / "shared" / "data" / "camvid" / "objects.csv"


def annotations(fields: Sequence[Mapping[str, str]]) -> list[Annotation]:
    return [Annotation(Path(f"{at}.png"), f"{at}.png", f) for at, f in enumerate(fields)]


def parse(texts: Sequence[str], **given: object) -> ParsedTargets:
    return SPEC.parse(annotations([{"labels": text} for text in texts]), **given)  # type: ignore[arg-type]


def reasons(parsed: ParsedTargets) -> dict[str, str]:
    return {omission.image: omission.reason for omission in parsed.omissions}


def records(targets: Sequence[Sequence[int]], groups: Sequence[str] | None = None) -> list[Record]:
    return [
        Record(
            Path(f"{at}.png"),
            f"{at}.png",
            f"{at:032x}",
            f"{at:032x}",
            tuple(int(value) for value in target),
            "test",
            groups[at] if groups else None,
        )
        for at, target in enumerate(targets)
    ]


def outputs(probabilities: npt.ArrayLike) -> dict[str, npt.NDArray[np.float32]]:
    return {"probabilities": np.asarray(probabilities, dtype=np.float32)}


def example(
    seed: int, count: int = 80, classes: int = 3, unknown: bool = False
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Truth (count, classes) and probabilities with some ties that follow it loosely."""
    random = np.random.default_rng(seed)
    truth = random.integers(-1 if unknown else 0, 2, (count, classes)).astype(np.int8)
    scores = np.round(np.clip(0.3 * truth + 0.7 * random.random(truth.shape), 0, 1), 1)
    return truth, scores.astype(np.float32)


# Parsing: names in one text


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["ant|bee", "wasp"], "|"),
        (["a; b,c d", "a|b"], "|"),
        (["ant; bee", "red ant, wasp"], ";"),
        (["ant, red bee"], ","),
        (["ant bee", ""], " "),
        (["ant", " bee ", ""], None),
    ],
)
def test_the_first_separator_that_occurs_anywhere_is_taken(
    texts: list[str], expected: str | None
) -> None:
    assert detect_separator(texts) == expected


@pytest.mark.parametrize("mark", ["|", ";", ",", " ", "; ", " , "])
def test_names_are_split_stripped_and_sorted(mark: str) -> None:
    parsed = parse([f"wasp{mark}ant", "bee", "", f"ant{mark}{mark}bee"])
    assert parsed.schema == SCHEMA
    assert parsed.targets == ((1, 0, 1), (0, 1, 0), (0, 0, 0), (1, 1, 0))
    assert parsed.omissions == ()


def test_spaces_and_commas_are_told_other_separators_are_not() -> None:
    said = "labels are separated by {} (`separator` in dataset.yaml says otherwise)"
    assert parse(["ant bee", "bee"]).notes == (said.format("spaces"),)
    assert parse(["ant,bee", "bee"]).notes == (said.format("commas"),)
    assert parse(["ant|bee", "bee"]).notes == ()
    assert parse(["ant bee", "bee"], options=DatasetOptions(separator=" ")).notes == ()


def test_the_separator_of_the_options_wins() -> None:
    parsed = parse(["red ant/bee|x", "bee|x"], options=DatasetOptions(separator="/"))
    assert parsed.schema.classes == ("bee|x", "red ant")
    assert parsed.targets == ((1, 1), (1, 0))


def test_names_of_classes_may_hold_a_separator_that_is_not_used() -> None:
    parsed = parse(["traffic light", "car", ""], classes=("car", "traffic light"))
    assert parsed.targets == ((0, 1), (1, 0), (0, 0))
    assert parsed.notes == ()


def test_a_question_mark_makes_a_label_unknown() -> None:
    parsed = parse(["ant|?bee", "bee", "?ant|? bee", "wasp"])
    assert parsed.targets == ((1, -1, 0), (0, 1, 0), (-1, -1, 0), (0, 0, 1))
    assert parsed.omissions == ()


def test_contradictions_and_bare_marks_are_left_out_with_their_text() -> None:
    parsed = parse(["ant|?ant", "ant|?", "ant|bee", "bee"])
    assert reasons(parsed) == {
        "0.png": "'ant' is both present and unknown in 'ant|?ant'",
        "1.png": "a '?' stands without a name in 'ant|?'",
    }
    assert parsed.targets == (None, None, (1, 1), (0, 1))


def test_the_only_field_is_taken_whatever_its_name() -> None:
    fields = [{"objects": "ant|bee"}, {"objects": "bee"}]
    assert SPEC.parse(annotations(fields)).targets == ((1, 1), (0, 1))


def test_a_picture_without_the_field_is_left_out() -> None:
    parsed = SPEC.parse(annotations([{"labels": "ant|bee"}, {}, {"labels": ""}]))
    assert reasons(parsed) == {"1.png": "it has no field 'labels'"}
    assert parsed.targets == ((1, 1), None, (0, 0))


# Parsing: one column a class


def test_columns_of_zeros_and_ones_by_hand() -> None:
    parsed = SPEC.parse(
        annotations(
            [
                {"traffic light": "1", "car": "0"},
                {"traffic light": "yes", "car": "TRUE"},
                {"traffic light": "No", "car": "False"},
                {"traffic light": "", "car": "1.0"},
                {"traffic light": "0", "car": "?"},
                {"traffic light": "-1", "car": " -1.0 "},
                {"traffic light": "nan", "car": "0.0"},
            ]
        )
    )
    assert parsed.schema.classes == ("car", "traffic light")
    assert parsed.targets == ((0, 1), (1, 1), (0, 0), (1, -1), (-1, 0), None, (0, -1))
    assert reasons(parsed) == {"5.png": "none of its labels is known"}


def test_columns_that_hold_other_things_are_refused_by_name_and_value() -> None:
    fields = [{"ant": "1", "bee": "0", "age": "34"}, {"ant": "0", "bee": "1", "age": "1"}]
    with pytest.raises(DataError, match=r"at least two columns.*found age \('34'\)"):
        SPEC.parse(annotations(fields))
    parsed = SPEC.parse(annotations(fields), classes=("bee", "ant"))
    assert parsed.targets == ((0, 1), (1, 0))
    assert parsed.notes == ("columns that are no classes are ignored: age",)


def test_columns_with_a_models_schema() -> None:
    """A missing column says nothing about its class; a foreign class matters where it is 1."""
    fields = [{"ant": "1", "gnat": "0"}, {"ant": "0", "gnat": "1"}, {"ant": "0", "gnat": ""}]
    parsed = SPEC.parse(annotations(fields), schema=SCHEMA)
    assert parsed.schema == SCHEMA
    assert parsed.targets == ((1, -1, -1), None, (0, -1, -1))
    assert reasons(parsed) == {
        "1.png": "its label 'gnat' is not among the classes (of 'ant=0, gnat=1')"
    }
    alone = SPEC.parse(annotations([{"ant": "1"}]), schema=SCHEMA)
    assert alone.targets == ((1, -1, -1),)


def test_columns_that_no_class_names_are_refused_with_a_models_schema() -> None:
    with pytest.raises(DataError, match=r"named like the classes; found fly, gnat"):
        SPEC.parse(annotations([{"fly": "1", "gnat": "0"}]), schema=SCHEMA)


# Parsing, classes that are kept


def test_classes_keep_their_order_and_those_that_never_occur_are_dropped() -> None:
    parsed = parse(["ant|bee", "bee|?fly"], classes=("wasp", "bee", "ant", "fly"))
    assert parsed.schema.classes == ("bee", "ant")
    assert parsed.targets == ((1, 1), (1, 0))
    assert parsed.notes == ("left out because no picture has them: the classes 'wasp', 'fly'",)


def test_columns_without_a_one_are_dropped() -> None:
    parsed = SPEC.parse(annotations([{"a": "1", "b": "0"}, {"a": "0", "b": ""}]))
    assert parsed.schema.classes == ("a",)
    assert parsed.notes == ("left out because no picture has them: the classes 'b'",)


def test_labels_outside_the_classes_leave_the_picture_out() -> None:
    parsed = parse(["ant|gnat", "gnat", "bee", "fly|gnat", "ant|?gnat"], classes=("ant", "bee"))
    assert parsed.targets == (None, None, (0, 1), None, (1, 0))
    assert reasons(parsed) == {
        "0.png": "its label 'gnat' is not among the classes (of 'ant|gnat')",
        "1.png": "its label 'gnat' is not among the classes",
        "3.png": "its labels 'fly', 'gnat' are not among the classes (of 'fly|gnat')",
    }


def test_a_models_schema_is_kept_and_foreign_labels_are_named() -> None:
    parsed = parse(["bee", "nothing known", ""], schema=SCHEMA)
    assert parsed.schema == SCHEMA
    assert parsed.targets == ((0, 1, 0), None, (0, 0, 0))
    assert "'nothing known'" in reasons(parsed)["1.png"]
    assert parse([""], schema=SCHEMA).targets == ((0, 0, 0),)
    with pytest.raises(DataError, match=r"among the classes ant, bee, wasp; found 'gnat'"):
        parse(["gnat"], schema=SCHEMA)


def test_one_class_is_enough_when_some_pictures_lack_it() -> None:
    assert parse(["car", "", "car"]).targets == ((1,), (0,), (1,))


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ([], r"needed.*found none"),
        (["", " "], r"no picture has a label; found only empty texts"),
        (["?ant"], r"no picture has a label; found '\?ant'"),
        (["ant|bee"] * 3, r"no class has both.*nothing to learn; found 'ant\|bee'$"),
        (["Ant", "ant"], r"'Ant' and 'ant' differ only in letter case"),
        (["ant|?"], r"no picture has only labels among the classes \(none\); found 'ant\|\?'"),
    ],
)
def test_what_cannot_be_learned_is_refused(texts: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        parse(texts)


def test_a_class_listed_twice_is_refused() -> None:
    with pytest.raises(DataError, match=r"the class 'ant' is listed twice"):
        parse(["ant", ""], classes=("ant", "bee", "ant"))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([{"labels": "ant"}], 0.95),
        ([{"labels": "", "age": "3"}], 0.95),
        ([{"a b": "1", "c": ""}, {"a b": "no", "c": "?"}], 0.9),
        ([{"a": "1", "b": "x"}], 0.0),
        ([{"a": "1"}, {"a": "0"}], 0.0),
        ([{"tags": "ant|bee"}, {"tags": "ant;bee"}, {"tags": "ant"}, {"tags": ""}], 0.6),
        ([{"tags": "ant|bee"}, {"tags": "ant"}], 0.0),
        ([{"tags": "ant bee"}], 0.0),
        ([], 0.0),
        ([{}], 0.0),
        ([{"": ""}], 0.0),
        ([{"a": ""}, {"b": ""}], 0.0),
    ],
)
def test_claims(fields: list[dict[str, str]], expected: float) -> None:
    assert SPEC.claims(fields) == expected


@pytest.mark.skipif(not CAMVID.is_file(), reason=f"needs {CAMVID}")
def test_camvid_has_eight_classes() -> None:
    """The counts are those of ``collections.Counter`` over the words of the file."""
    with CAMVID.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    fields = [{"labels": row["labels"]} for row in rows]
    assert SPEC.claims(fields) == 0.95
    parsed = SPEC.parse(annotations(fields))
    assert parsed.omissions == ()
    assert len(parsed.targets) == 701
    assert SPEC.summarise(parsed.schema, parsed.targets) == [
        ("Bicyclist", "191"),
        ("Car", "556"),
        ("Fence", "303"),
        ("Pedestrian", "374"),
        ("Pole", "556"),
        ("SignSymbol", "497"),
        ("Sky", "699"),
        ("Tree", "640"),
        ("(no label)", "1"),
    ]


# Descriptions and answers


def test_descriptions_of_targets() -> None:
    targets = [(1, 0, -1), (0, 0, 0), (1, 1, 0)]
    assert SPEC.strata(SCHEMA, targets[2]) == ("ant", "bee")
    assert SPEC.strata(SCHEMA, targets[1]) == ("(none)",)
    assert SPEC.summarise(SCHEMA, targets) == [
        ("ant", "2"),
        ("bee", "1"),
        ("wasp", "0, 1 unknown"),
        ("(no label)", "1"),
    ]
    assert SPEC.summarise(SCHEMA, []) == [("ant", "0"), ("bee", "0"), ("wasp", "0")]
    assert SPEC.target_to_json(SCHEMA, targets[0]) == {"labels": ["ant"], "unknown": ["wasp"]}
    assert SPEC.target_to_json(SCHEMA, targets[1]) == {"labels": []}
    value = json.loads(json.dumps(SPEC.schema_to_json(SCHEMA)))
    assert SPEC.schema_from_json(value) == SCHEMA


def test_decoding_by_hand() -> None:
    rows = outputs([[0.9, 0.3, 0.98], [0.1, 0.2, 0.0]])
    calibration = {"threshold/bee": 0.25}
    first, second = SPEC.decode(rows, SCHEMA, calibration, geometries=[GEOMETRY] * 2)
    assert first.labels == ("wasp", "ant", "bee")
    assert first.headline == "wasp 98%, ant 90%, bee 30%"
    assert list(first.scores) == ["wasp", "ant", "bee"]
    assert first.scores["ant"] == pytest.approx(0.9)
    assert second.labels == ()
    assert second.headline == "(no label)"
    value = second.to_json()
    assert {key: value[key] for key in ("label", "labels", "unknown")} == {
        "label": "bee",
        "labels": [],
        "unknown": None,
    }
    assert value["score"] == pytest.approx(0.2)
    (short,) = SPEC.decode(
        outputs([[0.9, 0.3, 0.98]]), SCHEMA, calibration, geometries=[GEOMETRY], top_k=1
    )
    assert list(short.scores) == ["wasp"]
    assert short.headline == "wasp 98%, ant, bee"


@pytest.mark.parametrize("steps", [0, 1])
def test_a_threshold_between_neighbouring_float32_separates_them(steps: int) -> None:
    """Rounded to float32, one of the two thresholds would fall onto the lower probability."""
    low = np.float32(0.7)
    for _ in range(steps):
        low = np.nextafter(low, np.float32(1))
    high = np.nextafter(low, np.float32(1))
    schema = LabelSchema(("ant",))
    calibration = {"threshold/ant": (float(low) + float(high)) / 2}
    given = label_given(np.array([[low], [high]]), schema, calibration)
    assert given.tolist() == [[False], [True]]


def test_the_truth_and_agreement() -> None:
    truth = SPEC.truth(SCHEMA, (0, 1, -1))
    assert truth.labels == ("bee",)
    assert truth.scores == {"bee": 1.0, "wasp": 0.5, "ant": 0.0}
    same = LabelsPrediction(("bee",), {"bee": 0.6})
    other = LabelsPrediction(("bee", "ant"), {"bee": 0.6})
    assert SPEC.agreement(truth, same) == 1.0
    # One of the two labels that either gives.
    assert SPEC.agreement(truth, other) == 0.5
    none = LabelsPrediction((), {})
    assert (SPEC.agreement(none, none), SPEC.agreement(none, same)) == (1.0, 0.0)
    swapped = LabelsPrediction(("ant", "bee"), {"ant": 0.9})
    assert SPEC.agreement(other, swapped) == 1.0


def test_drawing_adds_a_caption() -> None:
    pixels = np.zeros((200, 300, 3), dtype=np.uint8)
    drawn = SPEC.draw(pixels, SPEC.truth(SCHEMA, (0, 0, 0)), SCHEMA)
    assert list(drawn) == [""]
    assert isinstance(drawn[""], Image.Image)
    assert drawn[""].height > 200


# Average precision


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("unknown", [False, True])
def test_average_precision_is_scikit_learns_also_with_ties(seed: int, unknown: bool) -> None:
    truth, scores = example(seed, unknown=unknown)
    assert len(np.unique(scores)) < len(scores), "there are ties"
    found = Ranking(scores, truth).average_precision(np.ones(len(truth)))
    for at in range(3):
        known = truth[:, at] >= 0
        expected = sklearn_metrics.average_precision_score(truth[known, at], scores[known, at])
        assert found[at] == pytest.approx(expected, abs=1e-12)


def test_average_precision_of_a_resample_is_that_of_the_repeated_pictures() -> None:
    truth, scores = example(7)
    chosen = np.random.default_rng(0).integers(0, len(truth), len(truth))
    found = Ranking(scores, truth).average_precision(weights_of(chosen, len(truth)))
    for at in range(3):
        expected = sklearn_metrics.average_precision_score(truth[chosen, at], scores[chosen, at])
        assert found[at] == pytest.approx(expected, abs=1e-12)


def test_average_precision_is_not_defined_without_a_present_label() -> None:
    ranking = Ranking(np.array([[0.3], [0.2]]), np.array([[0], [-1]], dtype=np.int8))
    assert np.isnan(ranking.average_precision(np.ones(2))).all()


def test_which_classes_map_is_over() -> None:
    truth = np.zeros((100, 4), dtype=np.int8)
    truth[:4, 0] = 1  # 4 %
    truth[:5, 1] = 1  # 5 %
    truth[:96, 2] = 1  # 96 %
    truth[:, 3] = -1
    truth[:2, 3] = (1, 0)  # 50 % of what is known
    assert ranked_classes(truth).tolist() == [1, 3]
    assert ranked_classes(truth[:, [0, 2]]).tolist() == [0, 1]
    assert ranked_classes(truth[:4, :3]).tolist() == [0, 1, 2], "all of them have only present"
    assert ranked_classes(np.zeros((3, 2), dtype=np.int8)).tolist() == []


# Thresholds


def test_calibration_of_classes_with_few_or_only_equal_labels_stays_at_a_half() -> None:
    truth = np.zeros((20, 3), dtype=int)
    truth[:4, 0] = 1  # four positives
    truth[:, 1] = 1  # no negative
    truth[:10, 2] = 1
    truth[10:15, 2] = -1
    probabilities = np.linspace(0.9, 0.1, 20)[:, None].repeat(3, axis=1)
    found = SCORER.calibrate(outputs(probabilities), truth.tolist(), SCHEMA, "f1")
    assert found["threshold/ant"] == found["threshold/bee"] == 0.5
    # All that separate the known ones: resamples may lack the outermost.
    assert probabilities[16, 2] < found["threshold/wasp"] < probabilities[8, 2]


@pytest.mark.parametrize("aim", ["f1", "precision>=0.9", "recall>=0.9"])
@pytest.mark.parametrize("data", ["one picture", "one value", "no number"])
def test_calibration_of_thin_data_is_finite(aim: str, data: str) -> None:
    truth = [(1, 0, -1)] * (1 if data == "one picture" else 30)
    probabilities = np.random.default_rng(0).random((len(truth), 3))
    if data == "no number":
        probabilities[:] = np.nan
    found = SCORER.calibrate(outputs(probabilities), truth, SCHEMA, aim)
    assert list(found) == ["threshold/ant", "threshold/bee", "threshold/wasp"]
    assert np.isfinite(list(found.values())).all()


def test_a_calibration_reaches_its_aim() -> None:
    truth, scores = example(3, 200)
    for aim, metric in (("precision>=0.8", "precision"), ("recall>=0.9", "recall")):
        calibration = SCORER.calibrate(outputs(scores), truth.tolist(), SCHEMA, aim)
        found = SCORER.score(outputs(scores), records(truth), SCHEMA, calibration)
        share = parse_aim(aim)[1]
        assert share is not None
        for name in SCHEMA.classes:
            assert found[f"{metric}/{name}"].value >= share, (aim, name)


# Scores


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_scikit_learns(seed: int) -> None:
    """scikit-learn computed every expected number."""
    truth, scores = example(seed)
    calibration = {"threshold/ant": 0.35, "threshold/bee": 0.55, "threshold/wasp": 0.65}
    guess = scores >= np.array([0.35, 0.55, 0.65])
    found = SCORER.score(outputs(scores), records(truth), SCHEMA, calibration)
    every = np.ones_like(truth)
    average = sklearn_metrics.average_precision_score(truth, scores, average=None)
    expected = {
        "map": average.mean(),
        "map_chance": truth.mean(),
        "f1_macro": sklearn_metrics.f1_score(truth, guess, average="macro"),
        "f1_macro_all_positive": sklearn_metrics.f1_score(truth, every, average="macro"),
        "f1_macro_all_negative": 0.0,
        "f1_micro": sklearn_metrics.f1_score(truth, guess, average="micro"),
        "f1_micro_all_positive": sklearn_metrics.f1_score(truth, every, average="micro"),
        "f1_micro_all_negative": 0.0,
        "exact_match": sklearn_metrics.accuracy_score(truth, guess),
    }
    precision = sklearn_metrics.precision_score(truth, guess, average=None)
    recall = sklearn_metrics.recall_score(truth, guess, average=None)
    for at, name in enumerate(SCHEMA.classes):
        expected[f"ap/{name}"] = average[at]
        expected[f"precision/{name}"], expected[f"recall/{name}"] = precision[at], recall[at]
    assert {n: m.value for n, m in found.items()} == pytest.approx(expected, abs=1e-9)
    assert list(found) == list(expected)
    assert next(iter(found)) == "map"
    for name, metric in found.items():
        if metric.low is not None and metric.high is not None:
            assert metric.low <= metric.value <= metric.high, name
    assert found["map"].low is not None


def test_unknown_labels_count_for_nothing() -> None:
    """Whatever the model says about them, the scores are the same."""
    truth, scores = example(5, unknown=True)
    assert (truth == -1).any()
    other = np.where(truth == -1, 1.0 - scores, scores)
    first = SCORER.score(outputs(scores), records(truth), SCHEMA, {})
    second = SCORER.score(outputs(other), records(truth), SCHEMA, {})
    assert list(first) == list(second)
    for name, metric in first.items():
        assert metric.value == pytest.approx(second[name].value), name
        assert metric.low == pytest.approx(second[name].low), name
    known = truth[:, 0] >= 0
    expected = sklearn_metrics.recall_score(truth[known, 0], scores[known, 0] >= 0.5)
    assert first["recall/ant"].value == pytest.approx(expected)


def test_groups_widen_the_intervals() -> None:
    truth, scores = example(11, 40)
    truth, scores = truth.repeat(5, axis=0), scores.repeat(5, axis=0)
    groups = [str(at // 5) for at in range(200)]
    alone = SCORER.score(outputs(scores), records(truth), SCHEMA, {})
    grouped = SCORER.score(outputs(scores), records(truth, groups), SCHEMA, {})
    for name in ("map", "f1_macro", "exact_match", "recall/ant"):
        wide, narrow = (m[name].high - m[name].low for m in (grouped, alone))  # type: ignore[operator]
        assert wide > 1.5 * narrow, name
        assert grouped[name].value == pytest.approx(alone[name].value)


@pytest.mark.parametrize("target", [(1, 0, -1), (0, 0, 0), (1, 1, 1), (0, -1, -1)])
@pytest.mark.parametrize("count", [1, 5])
def test_scores_and_findings_of_thin_data(target: tuple[int, ...], count: int) -> None:
    probabilities = outputs([[0.9, 0.6, 0.2]] * count)
    found = SCORER.score(probabilities, records([target] * count), SCHEMA, {})
    assert "map" in found
    assert all(np.isfinite(metric.value) for metric in found.values())
    findings = SCORER.analyse(probabilities, records([target] * count), SCHEMA, {}, {})
    json.dumps([finding.to_json() for finding in findings], allow_nan=False)


def test_findings_by_hand() -> None:
    truth = [(1, 0, 0), (0, 0, 1), (1, 1, 0), (0, 1, -1)]
    probabilities = outputs([[0.9, 0.1, 0.2], [0.7, 0.1, 0.8], [0.1, 0.2, 0.9], [0.1, 0.9, 0.9]])
    trivial, classes, thresholds, worst = SCORER.analyse(
        probabilities, records(truth), SCHEMA, {"threshold/bee": 0.3}, {}
    )
    # AP: ant (1 + 2/4) / 2 with the two last tied; bee 1; wasp 1/2. Chance (1/2 + 1/2 + 1/3) / 3.
    # F1: ant 1/2, bee 2/3, wasp 2/3. All-positive: 2*2/6, 2*2/6, 2*1/4.
    assert trivial.text == "mAP 0.750 (chance: 0.444), macro-F1 0.611 (all-positive: 0.611)."
    assert trivial.spoken
    assert classes.rows[0] == ("ant", 2, "50.0%", "0.750", "0.500", "0.500", "0.500", "0.500")
    assert classes.rows[1] == ("bee", 2, "50.0%", "1.000", "0.300", "1.000", "0.500", "0.667")
    assert all(len(row) == len(classes.columns) for row in classes.rows)
    assert classes.bars[2] == ("wasp", 0.5, "AP 0.50, chance 0.33")
    assert thresholds.text.endswith("or all do: ant, wasp.")
    assert worst.images == [("2.png", "missed: ant, bee; wrong: wasp"), ("1.png", "wrong: ant")]


# Cross-validation


def test_out_of_fold_finds_planted_classes_and_nothing_in_noise() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, (60, 3))
    noise = random.normal(size=(60, CHANNELS))
    planted = noise.copy()
    planted[:, :3] += 6 * truth
    results = []
    for features in (planted, noise):
        found = SCORER.out_of_fold(features.astype(np.float32), records(truth), SCHEMA, 0)
        assert found is not None
        assert found[0] == "map"
        assert found[1].low is not None
        results.append(found[1].value)
    assert results[0] > 0.95
    assert results[1] < 0.7


def test_out_of_fold_takes_one_class_and_unknown_labels() -> None:
    truth = [(1,), (0,), (-1,)] * 8
    features = np.random.default_rng(0).normal(size=(24, CHANNELS)).astype(np.float32)
    found = SCORER.out_of_fold(features, records(truth), LabelSchema(("ant",)), 0)
    assert found is not None
    assert np.isfinite(found[1].value)


def test_folds_keep_groups_together_and_spread_the_classes() -> None:
    random = np.random.default_rng(0)
    groups = random.integers(0, 30, 100)
    groups[:30] = np.arange(30)
    truth = random.integers(0, 2, (100, 3)).astype(np.int8)
    folds = score_module._folds(truth, groups, 0)
    assert set(folds) == set(range(5))
    assert all(len(set(folds[groups == group])) == 1 for group in range(30))
    rare = np.zeros((100, 1), dtype=np.int8)
    rare[::10] = 1
    alone = score_module._folds(rare, np.arange(100), 0)
    assert [int(rare[alone == fold].sum()) for fold in range(5)] == [2] * 5


def test_out_of_fold_is_left_out_where_it_says_nothing() -> None:
    features = np.zeros((10, CHANNELS), dtype=np.float32)
    varied = [(1, 0, 0), (0, 1, 1)] * 5
    assert SCORER.out_of_fold(features[:4], records(varied[:4]), SCHEMA, 0) is None
    assert SCORER.out_of_fold(features, records(varied, ["a", "b"] * 5), SCHEMA, 0) is None
    assert SCORER.out_of_fold(features, records([(1, 0, -1)] * 10), SCHEMA, 0) is None
    assert SCORER.out_of_fold(features, records(varied), SCHEMA, 0) is not None


# Learning


def head(targets: Sequence[Sequence[int]]) -> PooledHead:
    made = LEARNER.head(STAGES, SCHEMA, [tuple(target) for target in targets], HeadOptions())
    assert isinstance(made, PooledHead)
    return made


def encoded(targets: Sequence[Sequence[int]]) -> torch.Tensor:
    return torch.stack([LEARNER.encode(tuple(target), None, SCHEMA) for target in targets])


def test_the_head_starts_at_the_prevalence() -> None:
    targets = [(1, -1, 0)] * 3 + [(0, -1, 0)] * 96
    bias = head(targets).linear.bias
    # (3 + 1/2) / (99 + 1); nothing known: 1/2; 0.5 / 100 is held at 1 %.
    torch.testing.assert_close(bias, torch.logit(torch.tensor([0.035, 0.5, 0.01])))
    assert torch.isfinite(head([]).linear.bias).all()


def test_by_default_every_position_is_asked_and_starts_at_the_prevalence() -> None:
    kind, *others = LEARNER.defaults(SCHEMA).heads
    assert (kind, others) == ("lse", ["linear", "stats", "mlp"])
    made = LEARNER.head(STAGES, SCHEMA, [(1, 0, 1)] * 3, HeadOptions("lse"))
    assert isinstance(made, LseHead)
    raw = made.eval()(tuple(torch.rand(2, stage.channels, 2, 2) for stage in STAGES))
    start = torch.logit(torch.tensor([0.875, 0.125, 0.875]))
    torch.testing.assert_close(raw, start.expand(2, 3))


def test_encoding_keeps_the_unknown() -> None:
    found = LEARNER.encode((1, 0, -1), None, SCHEMA)
    assert found.dtype == torch.float32
    assert found.tolist() == [1.0, 0.0, -1.0]


@pytest.mark.parametrize("loss", LEARNER.losses)
def test_unknown_labels_have_no_gradient(loss: str) -> None:
    targets = encoded([(1, -1, 0), (-1, 0, 1)])
    raw = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    LEARNER.loss(head([]), raw, targets, Objective(loss)).backward()
    assert raw.grad is not None
    assert torch.equal(raw.grad == 0, targets < 0)


@pytest.mark.parametrize("loss", LEARNER.losses)
def test_a_batch_of_unknown_labels_has_a_loss_of_zero_with_a_graph(loss: str) -> None:
    raw = torch.randn(2, 3).requires_grad_()
    found = LEARNER.loss(head([]), raw, torch.full((2, 3), -1.0), Objective(loss))
    assert found.item() == 0.0
    found.backward()
    assert raw.grad is not None
    assert not raw.grad.any()


def test_the_loss_is_torchs_over_what_is_known() -> None:
    raw = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    targets = encoded([(1, 0, 1), (0, 0, 1), (1, -1, 0), (0, 1, -1)])
    known = targets >= 0
    found = LEARNER.loss(head([]), raw, targets, Objective("bce", 0.2))
    expected = functional.binary_cross_entropy_with_logits(raw[known], targets[known] * 0.8 + 0.1)
    torch.testing.assert_close(found, expected)


def test_the_asymmetric_loss_without_asymmetry_is_cross_entropy() -> None:
    raw = torch.tensor([[-50.0, -2.0, 0.0], [0.5, 3.0, 50.0]])
    for value in (0.0, 1.0):
        present = torch.full_like(raw, value)
        expected = functional.binary_cross_entropy_with_logits(raw, present, reduction="none")
        torch.testing.assert_close(asymmetric(raw, present, 0.0, 0.0, 0.0), expected)


def test_the_asymmetric_loss_by_hand() -> None:
    """At p = 0.5: -log(0.5) for a present label, -0.45 ** 4 * log(0.55) for an absent one."""
    raw = torch.tensor([[0.0, 0.0, -3.0]])
    found = asymmetric(raw, torch.tensor([[1.0, 0.0, 0.0]]))
    expected = [0.693147, 0.45**4 * 0.597837, 0.0]  # sigmoid(-3) = 0.047 lies below the margin
    torch.testing.assert_close(found, torch.tensor([expected]), atol=1e-5, rtol=1e-5)


def test_label_smoothing_leaves_the_asymmetric_loss_alone() -> None:
    raw, targets = torch.randn(4, 3), encoded([(1, 0, 0)] * 4)
    plain, smooth = (
        LEARNER.loss(head([]), raw, targets, Objective("asymmetric", share)) for share in (0.0, 0.1)
    )
    assert torch.equal(plain, smooth)


@pytest.mark.parametrize("loss", LEARNER.losses)
def test_extreme_logits_keep_loss_and_gradient_finite(loss: str) -> None:
    raw = torch.tensor([[-100.0, 100.0, 0.0], [100.0, -100.0, 1.0]]).requires_grad_()
    found = LEARNER.loss(head([]), raw, encoded([(1, 0, 1), (1, 0, 0)]), Objective(loss, 0.1))
    found.backward()
    assert raw.grad is not None
    assert torch.isfinite(found)
    assert torch.isfinite(raw.grad).all()


def test_the_convex_start_separates_what_can_be_separated() -> None:
    """Unknown labels carry a wrong signal that must not be learned; class wasp is never known."""
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, (40, 3))
    truth[:, 2] = -1
    features = random.normal(size=(2, 40, CHANNELS)).astype(np.float32)
    features[:, :, :2] += 8 * truth[:, :2]
    truth[:10, 0] = -1
    features[:, :10, 0] = 100
    start = head(truth.tolist())
    LEARNER.initialise(start, features.copy(), [tuple(row) for row in truth.tolist()], SCHEMA)
    with torch.inference_mode():
        raw = start.predict(torch.from_numpy(features[0]))
    guess = (raw > 0).numpy()
    assert (guess[10:, 0] == (truth[10:, 0] == 1)).mean() > 0.95
    assert (guess[:, 1] == (truth[:, 1] == 1)).mean() > 0.95
    assert not start.linear.weight[2].any()
    assert start.linear.bias[2] == 0


@pytest.mark.parametrize("count", [1, 4])
def test_the_convex_start_takes_few_or_equal_targets(count: int) -> None:
    targets = [(1, 0, -1)] * count
    features = np.random.default_rng(1).normal(size=(3, count, CHANNELS)).astype(np.float32)
    start = head(targets)
    before = start.linear.bias.detach().clone()
    LEARNER.initialise(start, features.copy(), targets, SCHEMA)
    assert torch.equal(start.linear.bias, before)
    assert torch.isfinite(before).all()
    assert not start.linear.weight.any()


def test_the_epoch_metric_is_the_scorers() -> None:
    truth, scores = example(2, unknown=True)
    scores = np.clip(scores, 0.05, 0.95)
    raw = torch.logit(torch.from_numpy(scores).double()).float()
    statistics = LEARNER.statistics(head([]), raw, encoded(truth.tolist()))
    assert statistics.shape == (80, 6)
    value, error = LEARNER.epoch_metric(statistics)
    stored = outputs(torch.sigmoid(raw).numpy())
    expected = SCORER.score(stored, records(truth), SCHEMA, {})["map"]
    assert value == pytest.approx(expected.value)
    assert expected.low is not None
    assert expected.high is not None
    # 95 % of a normal distribution lie within 1.96 standard errors on each side.
    assert error == pytest.approx((expected.high - expected.low) / (2 * 1.96), rel=0.4)


@pytest.mark.parametrize("target", [(1, 0, -1), (0, 0, 0)])
def test_the_epoch_metric_of_one_picture_is_finite(target: tuple[int, ...]) -> None:
    statistics = LEARNER.statistics(head([]), torch.randn(1, 3), encoded([target]))
    assert np.isfinite(LEARNER.epoch_metric(statistics)).all()


def test_finish_gives_probabilities() -> None:
    finish = LEARNER.finish(head([]))
    raw = torch.randn(2, 3)
    (found,) = finish(raw)
    torch.testing.assert_close(found, torch.sigmoid(raw))
    assert not list(finish.buffers())
