"""Classification: metrics against scikit-learn, calibration against planted numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn import metrics as sklearn_metrics
from sklearn.linear_model import LogisticRegression

from headstart.errors import DataError
from headstart.tasks.classification.learn import LEARNER
from headstart.tasks.classification.score import SCORER, confusion, macro_f1
from headstart.tasks.classification.spec import SPEC, ClassSchema
from headstart.tasks.learning import HeadOptions, Objective
from headstart.types import Annotation, Record, Stage

SCHEMA = ClassSchema(("ant", "bee", "wasp"))
CALIBRATION = {"temperature": 1.0, "unknown_threshold": 0.0}


def records(targets: npt.NDArray[np.intp] | list[int], groups: list[str] | None = None):
    return [
        Record(
            Path(f"{at}.png"),
            f"{at}.png",
            f"{at:032x}",
            f"{at:032x}",
            int(target),
            "test",
            groups[at] if groups else None,
        )
        for at, target in enumerate(targets)
    ]


def annotations(labels: list[str]) -> list[Annotation]:
    return [Annotation(Path(f"{n}.png"), f"{n}.png", {"label": t}) for n, t in enumerate(labels)]


def softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (shifted / shifted.sum(axis=1, keepdims=True)).astype(np.float32)


def outputs(probabilities: npt.NDArray[np.floating]) -> dict[str, npt.NDArray[np.float32]]:
    found = np.asarray(probabilities, dtype=np.float32)
    return {"probabilities": found, "unknown_score": np.ones(len(found), dtype=np.float32)}


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_scikit_learns(seed: int) -> None:
    """scikit-learn computed every expected number."""
    random = np.random.default_rng(seed)
    probabilities = softmax(random.normal(size=(60, 3)) * 2)
    truth, guess = random.integers(0, 3, 60), probabilities.argmax(axis=1)
    found = SCORER.score(outputs(probabilities), records(truth), SCHEMA, CALIBRATION)
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(truth, guess),
        "f1_macro": sklearn_metrics.f1_score(truth, guess, average="macro"),
        "log_loss": sklearn_metrics.log_loss(truth, probabilities),
        "accuracy_majority": np.bincount(truth).max() / 60,
    }
    precision = sklearn_metrics.precision_score(truth, guess, average=None)
    recall = sklearn_metrics.recall_score(truth, guess, average=None)
    for at, name in enumerate(SCHEMA.classes):
        expected[f"precision/{name}"], expected[f"recall/{name}"] = precision[at], recall[at]
    assert {n: m.value for n, m in found.items()} == pytest.approx(expected, abs=1e-5)
    assert {n for n, m in found.items() if m.better == "lower"} == {"log_loss"}


def test_macro_f1_leaves_out_classes_that_do_not_occur() -> None:
    truth, guess = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    expected = sklearn_metrics.f1_score(truth, guess, average="macro")
    assert macro_f1(confusion(truth, guess, 5)) == pytest.approx(expected)


def test_the_confusion_matrix_by_hand() -> None:
    found = confusion(np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 0, 0]), 3)
    assert found.tolist() == [[1, 1, 0], [0, 1, 0], [2, 0, 0]]


def test_groups_widen_the_interval_of_the_accuracy() -> None:
    """Ten pictures of one insect are right or wrong together."""
    truth = np.zeros(200, dtype=np.intp)
    guess = np.repeat(np.arange(20) % 2, 10)
    found = outputs(np.eye(3)[guess])
    alone = SCORER.score(found, records(truth), SCHEMA, CALIBRATION)["accuracy"]
    groups = [str(at // 10) for at in range(200)]
    together = SCORER.score(found, records(truth, groups), SCHEMA, CALIBRATION)["accuracy"]
    assert alone.value == together.value == 0.5
    assert alone.low is not None
    assert together.low is not None
    assert 0.5 - together.low > 2 * (0.5 - alone.low)


@pytest.mark.parametrize("planted", [0.5, 1.0, 3.0])
def test_a_planted_temperature_is_found(planted: float) -> None:
    """Labels are drawn from softmax(z); the graph says softmax(planted * z)."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(20_000, 3)) * 2
    fair = softmax(logits).astype(np.float64)
    targets = (fair.cumsum(axis=1) < random.random((len(fair), 1))).sum(axis=1).clip(max=2)
    found = SCORER.calibrate(outputs(softmax(planted * logits)), targets.tolist(), SCHEMA, "f1")
    assert found["temperature"] == pytest.approx(planted, rel=0.03)


def test_validation_without_an_error_does_not_drive_the_temperature_to_zero() -> None:
    probabilities = np.full((10, 3), 0.05) + 0.85 * np.eye(3)[np.arange(10) % 3]
    found = SCORER.calibrate(outputs(probabilities), [at % 3 for at in range(10)], SCHEMA, "f1")
    # By hand: without the prior the likelihood has no optimum above the lower bound of 0.25.
    assert 0.6 < found["temperature"] < 0.8


def test_the_threshold_of_unknown_lets_95_percent_of_validation_pass() -> None:
    """By hand: of the scores 0 to 199, the lowest 10 are below the 5 % quantile 9.95."""
    graph = outputs(np.full((200, 3), 1 / 3))
    graph["unknown_score"] = np.random.default_rng(0).permutation(200).astype(np.float32)
    calibration = SCORER.calibrate(graph, [0] * 200, SCHEMA, "f1")
    assert calibration["unknown_threshold"] == pytest.approx(9.95)
    answers = SPEC.decode(graph, SCHEMA, calibration, geometries=())
    unknown = sorted(answer.unknown_score for answer in answers if answer.unknown)
    assert unknown == list(range(10))


def test_decode_sorts_names_and_marks() -> None:
    graph = {
        "probabilities": np.array([[0.2, 0.7, 0.1], [0.5, 0.0, 0.5]], dtype=np.float32),
        "unknown_score": np.array([3.0, 1.0], dtype=np.float32),
    }
    first, second = SPEC.decode(graph, SCHEMA, {"unknown_threshold": 2.0}, geometries=(), top_k=2)
    assert first.to_json() == {
        "label": "bee",
        "score": pytest.approx(0.7),
        "scores": {"bee": pytest.approx(0.7), "ant": pytest.approx(0.2)},
        "unknown": False,
        "unknown_score": 3.0,
    }
    assert list(first.scores) == ["bee", "ant"]
    assert first.headline == "bee 70.0%"
    # Of equal classes the first one wins.
    assert list(second.scores) == ["ant", "wasp"]
    assert second.headline == "ant 50.0% (unknown?)"


def test_classes_are_sorted_or_as_asked() -> None:
    labels = annotations(["wasp", "ant", "bee", "ant"])
    parsed = SPEC.parse(labels)
    assert parsed.schema.classes == ("ant", "bee", "wasp")
    assert parsed.targets == (2, 0, 1, 0)
    asked = SPEC.parse(labels, classes=("wasp", "bee"))
    assert asked.schema.classes == ("wasp", "bee")
    assert asked.targets == (0, None, 1, None)
    assert [o.reason for o in asked.omissions] == ["its class 'ant' is not one of the classes"] * 2


def test_labels_that_look_like_no_number_are_classes() -> None:
    assert SPEC.parse(annotations(["nan", "inf", "nan"])).schema.classes == ("inf", "nan")


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        (["ant", "ant"], (), r"at least two classes are needed, got 1 \(ant\)"),
        (["", ""], (), r"at least two classes are needed, got 0 \(none\)"),
        (["Ant", "ant"], (), r"the classes 'Ant' and 'ant' differ only in letter case"),
        (["x", "y"], ("a", "b"), r"no picture has one of the classes a, b; found x, y"),
        (["x", "y"], ("a",), r"at least two classes are needed, got 1 \(a\)"),
    ],
)
def test_what_cannot_be_learned_is_refused(
    labels: list[str], classes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        SPEC.parse(annotations(labels), classes=classes)


def test_the_worst_confusions_by_hand() -> None:
    truth = [0, 0, 0, 1, 2, 2]
    guess = [1, 1, 0, 1, 0, 2]
    graph = outputs(np.eye(3)[guess])
    findings = SCORER.analyse(graph, records(truth), SCHEMA, CALIBRATION, {})
    worst = next(f for f in findings if f.title == "Worst confusions")
    assert worst.rows == [("ant", "bee", 2, 3), ("wasp", "ant", 1, 2)]
    assert worst.text == "2 of 3 ant taken for bee; 1 of 2 wasp taken for ant"
    surest = next(f for f in findings if f.title == "Surest errors")
    assert [image for image, _ in surest.images] == ["0.png", "1.png", "4.png"]


def test_the_calibration_error_by_hand() -> None:
    """Said 0.8 and right for 3 of 5: the expected calibration error is 0.2."""
    graph = outputs(np.tile([0.8, 0.1, 0.1], (5, 1)))
    findings = SCORER.analyse(graph, records([0, 0, 0, 1, 2]), SCHEMA, CALIBRATION, {})
    calibration = next(f for f in findings if f.title == "Calibration")
    assert "Expected calibration error 0.200" in calibration.text
    assert calibration.rows == [("0.8 to 0.9", 5, "0.800", "0.600")]


def test_out_of_fold_keeps_groups_together() -> None:
    """Every group has a label by chance: who tears groups apart is always right."""
    random = np.random.default_rng(0)
    labels = random.permutation(np.arange(30) % 3)
    features = np.repeat(random.normal(size=(30, 90)), 5, axis=0)
    targets, groups = np.repeat(labels, 5), [str(at // 5) for at in range(150)]
    torn = SCORER.out_of_fold(features.astype(np.float32), records(targets), SCHEMA, 0)
    whole = SCORER.out_of_fold(features.astype(np.float32), records(targets, groups), SCHEMA, 0)
    assert torn is not None
    assert whole is not None
    assert torn[1].value > 0.9
    assert whole[1].value < 0.55


def test_out_of_fold_is_none_for_a_class_with_fewer_pictures_than_folds() -> None:
    features = np.zeros((24, 2), dtype=np.float32)
    assert SCORER.out_of_fold(features, records([0] * 20 + [1] * 4), SCHEMA, 0) is None


@pytest.mark.parametrize("classes", [2, 3])
def test_the_convex_start_is_logistic_regression(classes: int) -> None:
    """scikit-learn computed the probabilities; of two classes it has one row of weights."""
    random = np.random.default_rng(0)
    targets = np.arange(60) % classes
    features = random.normal(size=(1, 60, 8)).astype(np.float32) + np.eye(classes, 8)[targets]
    features = features.astype(np.float32)
    schema = ClassSchema(tuple("abc"[:classes]))
    head = LEARNER.head([Stage(8, 32)], schema, targets.tolist(), HeadOptions()).eval()
    LEARNER.initialise(head, features.copy(), targets.tolist(), schema)
    with torch.inference_mode():
        found = torch.softmax(head.predict(torch.from_numpy(features[0])), dim=1).numpy()
    from headstart.tasks.classification.learn import INVERSE_PENALTY

    # Centring changes the way to the solution, so that the last digits are those of this way.
    centred = features[0] - features[0].mean(axis=0)
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=300, tol=1e-3)
    expected = model.fit(centred, targets).predict_proba(centred)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    model = LogisticRegression(C=INVERSE_PENALTY, max_iter=1000, tol=1e-8)
    exact = model.fit(features[0], targets).predict_proba(features[0])
    np.testing.assert_allclose(found, exact, atol=2e-3)


def test_the_convex_start_never_names_a_class_without_pictures() -> None:
    features = np.random.default_rng(0).normal(size=(2, 20, 8)).astype(np.float32)
    targets = [0, 2] * 10
    head = LEARNER.head([Stage(8, 32)], SCHEMA, targets, HeadOptions()).eval()
    LEARNER.initialise(head, features.copy(), targets, SCHEMA)
    with torch.inference_mode():
        found = head.predict(torch.from_numpy(features[0])).argmax(dim=1)
    assert set(found.tolist()) == {0, 2}


def test_the_loss_is_cross_entropy() -> None:
    """scikit-learn's log loss, without smoothing; with it the sure answer costs more."""
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 1.0, 0.5]])
    head = LEARNER.head([Stage(4, 32)], SCHEMA, [0, 2], HeadOptions())
    encoded = torch.stack([LEARNER.encode(target, None, SCHEMA) for target in (0, 2)])
    expected = sklearn_metrics.log_loss([0, 2], torch.softmax(logits, 1).numpy(), labels=[0, 1, 2])
    assert float(
        LEARNER.loss(head, logits, encoded, Objective("cross-entropy", 0.0))
    ) == pytest.approx(expected, abs=1e-6)
    sure = torch.tensor([[20.0, 0.0, 0.0]])
    first = LEARNER.encode(0, None, SCHEMA)[None]
    assert (
        LEARNER.loss(head, sure, first, Objective("cross-entropy", 0.1))
        > LEARNER.loss(head, sure, first, Objective("cross-entropy", 0.0)) + 1
    )


def test_the_graph_divides_by_the_temperature_and_keeps_the_raw_maximum() -> None:
    finish = LEARNER.finish(LEARNER.head([Stage(4, 32)], SCHEMA, [0, 1], HeadOptions()))
    logits = torch.tensor([[2.0, 0.0, -1.0]])
    finish.get_buffer("temperature").fill_(2.0)
    probabilities, unknown = finish(logits)
    assert unknown.tolist() == [2.0]
    expected = softmax(np.array([[1.0, 0.0, -0.5]]))
    np.testing.assert_allclose(probabilities.numpy(), expected, atol=1e-6)
