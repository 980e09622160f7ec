"""What the report of multilabel says beside its metrics."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.tasks.multilabel.parsing import LabelSchema
from headstart.tasks.multilabel.precision import has_both, prevalence
from headstart.tasks.multilabel.spec import DEFAULT_THRESHOLD
from headstart.tasks.multilabel.table import Flags, Table
from headstart.tasks.protocol import Calibration
from headstart.types import Finding, Record

SHOWN = 12


def beside_trivial(table: Table) -> Finding:
    """The headline figures beside those of answers that look at no picture."""
    found, _ = table.figures(np.ones(len(table.truth)))
    text = f"mAP {_number(found['map'])} (chance: {_number(table.map_chance)})"
    if table.occurring.any():
        all_positive = _number(table.f1_macro_all_positive)
        text += f", macro-F1 {_number(found['f1_macro'])} (all-positive: {all_positive})"
    return Finding("Beside trivial answers", f"{text}.", spoken=True)


def classes(table: Table, schema: LabelSchema, calibration: Calibration) -> Finding:
    """A row a class, and its average precision as a bar."""
    rows, bars = [], []
    share, both = prevalence(table.truth), has_both(table.truth)
    _, found = table.figures(np.ones(len(table.truth)))
    average = np.where(both, found["ap"], np.nan)
    for index, name in enumerate(schema.classes):
        figures = [found[kind][index] for kind in ("precision", "recall", "f1")]
        rows.append(
            (
                name,
                int((table.truth[:, index] == 1).sum()),
                f"{share[index]:.1%}",
                _number(average[index]),
                _number(_threshold(calibration, name)),
                *(_number(figure) for figure in figures),
            )
        )
        if both[index]:
            text = f"AP {average[index]:.2f}, chance {share[index]:.2f}"
            bars.append((name, float(average[index]), text))
    header = ("class", "pictures", "prevalence", "AP", "threshold", "precision", "recall", "F1")
    explained = "AP is average precision; a random ranking is expected to reach the prevalence."
    return Finding("Classes", explained, header, rows, bars=bars)


def thresholds(schema: LabelSchema, calibration: Calibration) -> Finding:
    """Where the thresholds come from."""
    kept = [n for n in schema.classes if _threshold(calibration, n) == DEFAULT_THRESHOLD]
    text = (
        "A label is given from its threshold on. The thresholds were fitted on the validation "
        "pictures"
    )
    if kept:
        text += (
            f", except those that stay at {DEFAULT_THRESHOLD} because fewer than five of these "
            f"pictures have the label, or all do: {', '.join(kept)}"
        )
    return Finding("Thresholds", f"{text}.")


def most_wrong(table: Table, records: Sequence[Record], schema: LabelSchema) -> Finding:
    """The pictures with the most wrong labels; of equally many, the surest errors first."""
    missed, invented = table.missed, table.invented
    wrong = (missed | invented).sum(axis=1)
    sure = np.where(table.truth == 1, table.probabilities, 1.0 - table.probabilities)
    losses = np.where(table.truth >= 0, -np.log(np.clip(sure, 1e-12, 1.0)), 0.0).sum(axis=1)
    order = np.lexsort((-losses, -wrong))[:SHOWN]
    images = [
        (records[at].image, _caption(missed[at], invented[at], schema)) for at in order if wrong[at]
    ]
    text = "Worst first: a wrong label in the data is often among them."
    return Finding("Most wrong pictures", text if images else "There are none.", images=images)


def _caption(missed: Flags, invented: Flags, schema: LabelSchema) -> str:
    parts = []
    for word, chosen in (("missed", missed), ("wrong", invented)):
        if chosen.any():
            parts.append(f"{word}: {', '.join(schema.classes[i] for i in np.flatnonzero(chosen))}")
    return "; ".join(parts)


def _threshold(calibration: Calibration, name: str) -> float:
    return calibration.get(f"threshold/{name}", DEFAULT_THRESHOLD)


def _number(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.3f}"
