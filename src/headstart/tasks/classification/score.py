"""Metrics, calibration and error analysis of classification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from headstart.tasks import metrics
from headstart.tasks.classification.spec import ClassSchema
from headstart.tasks.inspection import Doubt
from headstart.tasks.logistic import FOLDS, out_of_fold_probabilities
from headstart.tasks.protocol import Calibration, TaskScorer
from headstart.types import Finding, Metric, Outputs, Record

VALIDATION_COVERAGE = 0.95
"""Share of the validation pictures that the threshold of ``unknown`` lets pass."""
LOG_TEMPERATURE_SPREAD = 0.5
"""Standard deviation of a normal prior on the temperature's logarithm. It weighs as much as a few
pictures: a handful of validation pictures without an error would drive the temperature to zero."""
MAX_MATRIX_CLASSES = 30
SHOWN = 12

Indices = npt.NDArray[np.intp]


class ClassificationScorer(TaskScorer):
    """See ``TaskScorer``."""

    def calibrate(
        self, observed: Outputs, targets: Sequence[int], schema: ClassSchema, aim: str
    ) -> Calibration:
        """Temperature (C. Guo et al., ICML 2017) and the threshold of ``unknown``.

        The logarithm of probabilities at temperature 1 differs from the logits by one number a
        picture, which softmax ignores: the graph's own outputs are enough.
        """
        logits = np.log(np.clip(observed["probabilities"].astype(np.float64), 1e-12, 1.0))
        truth = np.asarray(targets)

        def negative_log_posterior(log_temperature: float) -> float:
            scaled = logits / np.exp(log_temperature)
            likelihood = np.sum(_log_sum_exp(scaled) - scaled[np.arange(len(truth)), truth])
            return float(likelihood + 0.5 * (log_temperature / LOG_TEMPERATURE_SPREAD) ** 2)

        best = minimize_scalar(
            negative_log_posterior, bounds=(np.log(0.25), np.log(10.0)), method="bounded"
        )
        threshold = np.quantile(observed["unknown_score"], 1.0 - VALIDATION_COVERAGE)
        return {
            "temperature": float(np.exp(best.x)),
            "unknown_threshold": float(threshold),
        }

    def score(
        self,
        observed: Outputs,
        records: Sequence[Record],
        schema: ClassSchema,
        calibration: Calibration,
    ) -> dict[str, Metric]:
        """Accuracy, macro-F1, log loss, the majority class's accuracy, per-class figures."""
        probabilities = observed["probabilities"]
        truth = np.array([record.target for record in records])
        guess = probabilities.argmax(axis=1)
        correct = guess == truth
        losses = -np.log(np.clip(probabilities[np.arange(len(truth)), truth], 1e-12, 1.0))
        if metrics.has_groups(records):
            accuracy = metrics.bootstrap(lambda chosen: float(correct[chosen].mean()), records)
        else:
            accuracy = metrics.proportion(correct)
        found = {
            "accuracy": accuracy,
            "f1_macro": metrics.bootstrap(
                lambda chosen: macro_f1(
                    confusion(truth[chosen], guess[chosen], len(schema.classes))
                ),
                records,
            ),
            "log_loss": metrics.bootstrap(
                lambda chosen: float(losses[chosen].mean()), records, "lower"
            ),
            "accuracy_majority": Metric(float(np.bincount(truth).max() / len(truth))),
        }
        for index, name in enumerate(schema.classes):
            found[f"precision/{name}"] = metrics.proportion(correct[guess == index])
            found[f"recall/{name}"] = metrics.proportion(correct[truth == index])
        return {name: metric for name, metric in found.items() if not np.isnan(metric.value)}

    def headline(
        self,
        observed: Outputs,
        records: Sequence[Record],
        schema: ClassSchema,
        calibration: Calibration,
    ) -> metrics.Headline:
        """Accuracy."""
        truth = np.array([record.target for record in records])
        correct = observed["probabilities"].argmax(axis=1) == truth
        return metrics.Headline("accuracy", lambda at: float(correct[at].mean()))

    def analyse(
        self,
        observed: Outputs,
        records: Sequence[Record],
        schema: ClassSchema,
        calibration: Calibration,
        scores: Mapping[str, Metric],
    ) -> list[Finding]:
        """Confusions, classes, surest errors, calibration."""
        probabilities = observed["probabilities"]
        truth = np.array([record.target for record in records])
        guess = probabilities.argmax(axis=1)
        matrix = confusion(truth, guess, len(schema.classes))
        findings = [
            _worst_confusions(matrix, schema),
            _class_table(matrix, schema),
            _surest_errors(probabilities, truth, records, schema),
            _calibration(observed, truth, calibration),
        ]
        if len(schema.classes) <= MAX_MATRIX_CLASSES:
            findings.insert(2, _matrix_table(matrix, schema))
        return findings

    def out_of_fold(
        self,
        features: npt.NDArray[np.float32],
        records: Sequence[Record],
        schema: ClassSchema,
        seed: int,
    ) -> tuple[str, Metric] | None:
        """Accuracy of logistic regression, each picture predicted by a model that never saw it."""
        truth = np.array([record.target for record in records])
        groups = np.unique([record.group_key for record in records], return_inverse=True)[1]
        counts = np.bincount(truth, minlength=len(schema.classes))
        if counts[counts > 0].min() < FOLDS or groups.max() + 1 < FOLDS:
            return None
        _, labels = np.unique(truth, return_inverse=True)
        chances = out_of_fold_probabilities(features, labels, groups, seed)
        correct = chances.argmax(axis=1) == labels
        if metrics.has_groups(records):
            return "accuracy", metrics.bootstrap(lambda at: float(correct[at].mean()), records)
        return "accuracy", metrics.proportion(correct)

    def doubts(
        self,
        features: npt.NDArray[np.float32],
        targets: Sequence[int],
        groups: Sequence[str],
        schema: ClassSchema,
        seed: int,
    ) -> list[Doubt]:
        """Labels that another class beats out of fold."""
        from headstart.tasks.classification.doubts import label_doubts

        return label_doubts(features, np.array(targets), groups, schema.classes, seed)


def confusion(truth: Indices, guess: Indices, classes: int) -> Indices:
    """Counts (classes, classes): row = true class, column = predicted class."""
    return np.bincount(truth * classes + guess, minlength=classes**2).reshape(classes, classes)


def macro_f1(matrix: Indices) -> float:
    """Unweighted mean of F1 over the classes that occur as truth or as prediction."""
    hits = matrix.diagonal()
    total = matrix.sum(axis=0) + matrix.sum(axis=1)
    present = total > 0
    return float(np.mean(2.0 * hits[present] / total[present]))


def _log_sum_exp(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    peak = values.max(axis=1)
    return np.asarray(peak + np.log(np.exp(values - peak[:, None]).sum(axis=1)))


def _worst_confusions(matrix: Indices, schema: ClassSchema) -> Finding:
    errors = matrix - np.diag(matrix.diagonal())
    order = np.argsort(-errors, axis=None, kind="stable")[:SHOWN]
    rows = []
    for flat in order:
        true, guessed = divmod(int(flat), len(schema.classes))
        if errors[true, guessed]:
            names = (schema.classes[true], schema.classes[guessed])
            rows.append((*names, int(errors[true, guessed]), int(matrix[true].sum())))
    text = "; ".join(f"{n} of {of} {true} taken for {guess}" for true, guess, n, of in rows[:3])
    return Finding(
        "Worst confusions",
        text or "No picture was classified wrongly.",
        ("true class", "predicted class", "pictures", "of"),
        rows,
        spoken=True,
    )


def _class_table(matrix: Indices, schema: ClassSchema) -> Finding:
    rows = []
    for index, name in enumerate(schema.classes):
        hits, true, guessed = matrix[index, index], matrix[index].sum(), matrix[:, index].sum()
        rows.append(
            (
                name,
                int(true),
                f"{hits / guessed:.3f}" if guessed else "-",
                f"{hits / true:.3f}" if true else "-",
                f"{2 * hits / (true + guessed):.3f}" if true + guessed else "-",
            )
        )
    return Finding("Classes", "", ("class", "pictures", "precision", "recall", "F1"), rows)


def _matrix_table(matrix: Indices, schema: ClassSchema) -> Finding:
    rows = [
        (name, *(int(count) for count in matrix[index]))
        for index, name in enumerate(schema.classes)
    ]
    return Finding(
        "Confusion matrix",
        "Rows are true classes, columns are predicted classes.",
        ("", *schema.classes),
        rows,
        shaded=True,
    )


def _surest_errors(
    probabilities: npt.NDArray[np.float32],
    truth: Indices,
    records: Sequence[Record],
    schema: ClassSchema,
) -> Finding:
    guess = probabilities.argmax(axis=1)
    sureness = probabilities.max(axis=1)
    wrong = np.flatnonzero(guess != truth)
    order = wrong[np.argsort(-sureness[wrong], kind="stable")][:SHOWN]
    images = [
        (
            records[i].image,
            (
                f"{schema.classes[truth[i]]}, taken for {schema.classes[guess[i]]} "
                f"with {sureness[i]:.0%}"
            ),
        )
        for i in order
    ]
    text = "The errors that the model was surest of: a wrong label is often among them."
    return Finding("Surest errors", text if images else "There are none.", images=images)


def _calibration(observed: Outputs, truth: Indices, calibration: Calibration) -> Finding:
    probabilities = observed["probabilities"]
    sureness, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    edges = np.linspace(0.0, 1.0, 11)
    bins = np.clip(np.digitize(sureness, edges) - 1, 0, 9)
    rows = []
    error = 0.0
    for index in range(10):
        chosen = bins == index
        if chosen.any():
            said, was = float(sureness[chosen].mean()), float(correct[chosen].mean())
            error += abs(said - was) * float(chosen.mean())
            band = f"{edges[index]:.1f} to {edges[index + 1]:.1f}"
            rows.append((band, int(chosen.sum()), f"{said:.3f}", f"{was:.3f}"))
    known = float((observed["unknown_score"] >= calibration["unknown_threshold"]).mean())
    text = (
        f"Expected calibration error {error:.3f} at temperature {calibration['temperature']:.3f}. "
        f"{known:.1%} of these pictures pass the threshold of 'unknown', which lets "
        f"{VALIDATION_COVERAGE:.0%} of the validation pictures pass."
    )
    return Finding("Calibration", text, ("said", "pictures", "mean said", "share right"), rows)


SCORER = ClassificationScorer()
