"""Metrics and error analysis of segmentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from headstart.tasks import metrics
from headstart.tasks.protocol import Calibration, TaskScorer
from headstart.tasks.segmentation.spec import Indices, MaskPrediction, MaskSchema
from headstart.types import IGNORED, Finding, Metric, Outputs, Record

SHOWN = 8

Counts = npt.NDArray[np.float64]
"""(..., classes + 1, classes): pixels by true class, ignored last, and predicted class."""


class SegmentationScorer(TaskScorer):
    """See ``TaskScorer``."""

    def observe(
        self,
        outputs: Outputs,
        answers: Sequence[MaskPrediction],
        records: Sequence[Record],
        schema: MaskSchema,
    ) -> Outputs:
        """Pixels of each picture at its original size by true and predicted class."""
        classes = len(schema.classes)
        matrices = [
            confusion(record.target.read(schema), answer.indices, classes)
            for record, answer in zip(records, answers, strict=True)
        ]
        return {"confusion": np.stack(matrices).astype(np.float32)}

    def score(
        self,
        observed: Outputs,
        records: Sequence[Record],
        schema: MaskSchema,
        calibration: Calibration,
    ) -> dict[str, Metric]:
        """Mean IoU over the classes that occur, pixel accuracy, and IoU by class.

        Pixels of all pictures are counted together, as the published figures do. Ignored pixels
        count for nothing, except in ``pixel_accuracy_with_ignored``, where they are errors.
        """
        counts = observed["confusion"].astype(np.float64)
        known = counts[:, :-1]
        classes = range(len(schema.classes))
        # Summed first: a thousand draws over whole matrices would take minutes.
        hits = known[:, classes, classes]
        true, guessed = known.sum(axis=2), known.sum(axis=1)
        everything = counts.sum(axis=(1, 2))

        def ious(at: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
            return iou(hits[at].sum(axis=0), true[at].sum(axis=0), guessed[at].sum(axis=0))

        found = {
            "miou": metrics.bootstrap(lambda at: _mean(ious(at)), records),
            "pixel_accuracy": metrics.bootstrap(
                lambda at: _ratio(hits[at].sum(), true[at].sum()), records
            ),
            "pixel_accuracy_with_ignored": metrics.bootstrap(
                lambda at: _ratio(hits[at].sum(), everything[at].sum()), records
            ),
            "pixel_accuracy_majority": Metric(_ratio(true.sum(axis=0).max(), true.sum())),
        }
        for index, value in enumerate(ious(np.arange(len(records)))):
            found[f"iou/{schema.classes[index]}"] = Metric(float(value))
        return {name: metric for name, metric in found.items() if not np.isnan(metric.value)}

    def headline(
        self,
        observed: Outputs,
        records: Sequence[Record],
        schema: MaskSchema,
        calibration: Calibration,
    ) -> metrics.Headline:
        """Mean IoU over the classes that occur."""
        known = observed["confusion"].astype(np.float64)[:, :-1]
        hits = np.diagonal(known, axis1=1, axis2=2)
        true, guessed = known.sum(axis=2), known.sum(axis=1)

        def mean_iou(at: npt.NDArray[np.intp]) -> float:
            return _mean(iou(hits[at].sum(axis=0), true[at].sum(axis=0), guessed[at].sum(axis=0)))

        return metrics.Headline("miou", mean_iou)

    def analyse(
        self,
        observed: Outputs,
        records: Sequence[Record],
        schema: MaskSchema,
        calibration: Calibration,
        scores: Mapping[str, Metric],
    ) -> list[Finding]:
        """IoU by class, confusions, and the worst pictures with their masks."""
        counts = observed["confusion"].astype(np.float64)
        total = counts.sum(axis=0)[:-1]
        return [
            _classes(total, schema),
            _confusions(total, schema),
            _worst(counts[:, :-1], records),
        ]


def confusion(truth: Indices, guess: Indices, classes: int) -> npt.NDArray[np.intp]:
    """Pixels (classes + 1, classes): row = true class, ignored last; column = predicted class."""
    rows = np.where(truth == IGNORED, classes, truth).astype(np.intp)
    flat = np.bincount((rows * classes + guess).ravel(), minlength=(classes + 1) * classes)
    return flat.reshape(classes + 1, classes)


def iou(hits: Counts, true: Counts, guessed: Counts) -> Counts:
    """Intersection over union by class; NaN for classes that neither occur nor are predicted.

    Args:
        hits: pixels that are right, by class.
        true: pixels of the class.
        guessed: pixels that are taken for the class.
    """
    union = true + guessed - hits
    return np.asarray(np.divide(hits, union, out=np.full(union.shape, np.nan), where=union > 0))


def _mean(values: Counts) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


def _classes(total: Counts, schema: MaskSchema) -> Finding:
    hits, true, guessed = np.diag(total), total.sum(axis=1), total.sum(axis=0)
    values = iou(hits, true, guessed)
    rows: list[tuple[str, ...]] = []
    bars = []
    for index, name in enumerate(schema.classes):
        share = f"{_ratio(true[index], total.sum()):.1%}"
        if np.isnan(values[index]):
            rows.append((name, share, "-", "-", "-"))
            continue
        precision, recall = _ratio(hits[index], guessed[index]), _ratio(hits[index], true[index])
        cells = ("-" if np.isnan(v) else f"{v:.3f}" for v in (values[index], precision, recall))
        rows.append((name, share, *cells))
        bars.append((name, float(values[index]), f"IoU {values[index]:.3f}"))
    bars.sort(key=lambda bar: bar[1])
    text = ", ".join(f"{name} {value:.3f}" for name, value, _ in bars[:3])
    return Finding(
        "Classes",
        f"The lowest IoU have {text}." if bars else "",
        ("class", "share of pixels", "IoU", "precision", "recall"),
        rows,
        bars=bars,
        spoken=True,
    )


def _confusions(total: Counts, schema: MaskSchema) -> Finding:
    errors = total - np.diag(np.diag(total))
    rows = []
    for flat in np.argsort(-errors, axis=None, kind="stable")[:SHOWN]:
        true, guessed = divmod(int(flat), len(schema.classes))
        if errors[true, guessed]:
            share = f"{errors[true, guessed] / total[true].sum():.1%}"
            rows.append((schema.classes[true], schema.classes[guessed], share))
    text = "; ".join(f"{share} of {true} taken for {guess}" for true, guess, share in rows[:3])
    columns = ("true class", "predicted class", "share of the true class")
    return Finding("Worst confusions", text or "No pixel is wrong.", columns, rows)


def _worst(counts: Counts, records: Sequence[Record]) -> Finding:
    values = []
    for matrix in counts:
        hits = np.diag(matrix)
        values.append(_mean(iou(hits, matrix.sum(axis=1), matrix.sum(axis=0))))
    order = np.argsort(np.nan_to_num(values, nan=2.0), kind="stable")[:SHOWN]
    compared = [
        (records[i].image, f"mean IoU of this picture {values[i]:.3f}")
        for i in order
        if not np.isnan(values[i])
    ]
    return Finding("Worst pictures", "Left the mask, right the prediction.", compared=compared)


SCORER = SegmentationScorer()
