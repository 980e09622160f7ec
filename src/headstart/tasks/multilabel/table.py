"""Truth beside answers, and every figure that follows from them for any weights of the pictures."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from headstart.tasks.multilabel.parsing import LabelSchema
from headstart.tasks.multilabel.precision import (
    Floats,
    Ranking,
    Truth,
    mean_over,
    prevalence,
    ranked_classes,
)
from headstart.tasks.multilabel.spec import Target, label_given
from headstart.tasks.protocol import Calibration
from headstart.types import Outputs, Record

Flags = npt.NDArray[np.bool_]


@dataclasses.dataclass(frozen=True)
class Table:
    """Truth and answers of n pictures.

    Attributes:
        probabilities: (n, classes), 0 to 1.
        truth: (n, classes), 1 present, 0 absent, -1 unknown.
        given: (n, classes), whether the label is given.
        ranking: of the same pictures.
    """

    probabilities: Floats
    truth: Truth
    given: Flags
    ranking: Ranking

    @functools.cached_property
    def occurring(self) -> Flags:
        """(classes,): whether a picture is known to have the class."""
        return np.asarray((self.truth == 1).any(axis=0))

    @property
    def missed(self) -> Flags:
        """(n, classes): labels that are present and not given."""
        return np.asarray((self.truth == 1) & ~self.given)

    @property
    def invented(self) -> Flags:
        """(n, classes): labels that are given and absent."""
        return np.asarray((self.truth == 0) & self.given)

    @functools.cached_property
    def exact(self) -> Flags:
        """(n,): whether all known labels of a picture are right."""
        return np.asarray(~(self.missed | self.invented).any(axis=1))

    @functools.cached_property
    def ranked(self) -> npt.NDArray[np.intp]:
        """Indices of the classes that ``map`` is the mean over."""
        return ranked_classes(self.truth)

    @property
    def map_chance(self) -> float:
        """Mean prevalence of the classes of ``map``: what a random ranking is expected to reach."""
        return mean_over(prevalence(self.truth), self.ranked)

    @property
    def f1_macro_all_positive(self) -> float:
        """Macro-F1 of giving every label, over the classes that occur; NaN when none does."""
        present, known = (self.truth == 1).sum(axis=0), (self.truth >= 0).sum(axis=0)
        return self._macro(_divide(2.0 * present, present + known))

    @property
    def f1_micro_all_positive(self) -> float:
        """Micro-F1 of giving every label; NaN when no class occurs."""
        present, known = int((self.truth == 1).sum()), int((self.truth >= 0).sum())
        return 2.0 * present / (present + known) if present else float("nan")

    def figures(self, weights: Floats) -> tuple[dict[str, float], dict[str, Floats]]:
        """Averages, and figures of each class (classes,); NaN where one is not defined.

        Args:
            weights: (n,): how often each picture counts, whole numbers.
        """
        hits, claimed, present = (weights @ flags for flags in self._counted)
        f1 = _divide(2.0 * hits, claimed + present)
        average_precision = self.ranking.average_precision(weights)
        both = float((claimed + present).sum())
        averages = {
            "map": mean_over(average_precision, self.ranked),
            "f1_macro": self._macro(f1),
            "f1_micro": 2.0 * float(hits.sum()) / both if both else float("nan"),
            "exact_match": float(weights @ self.exact) / float(weights.sum()),
        }
        by_class = {
            "ap": average_precision,
            "precision": _divide(hits, claimed),
            "recall": _divide(hits, present),
            "f1": f1,
        }
        return averages, by_class

    @functools.cached_property
    def _counted(self) -> tuple[Floats, Floats, Floats]:
        """(n, classes), 1 or 0: right labels, given ones that are known, present ones."""
        present, claimed = self.truth == 1, self.given & (self.truth >= 0)
        # Floating point, because numpy multiplies matrices of other types slowly.
        return (
            (present & claimed).astype(np.float64),
            claimed.astype(np.float64),
            present.astype(np.float64),
        )

    def _macro(self, figures: Floats) -> float:
        classes = np.flatnonzero(self.occurring)
        return mean_over(figures, classes) if classes.size else float("nan")


def as_truth(targets: Sequence[Target], schema: LabelSchema) -> Truth:
    """(n, classes), int8: 1 present, 0 absent, -1 unknown."""
    return np.array(targets, dtype=np.int8).reshape(len(targets), len(schema.classes))


def table_of(
    observed: Outputs, records: Sequence[Record], schema: LabelSchema, calibration: Calibration
) -> Table:
    """Targets of the records beside the answers that the decoder gives."""
    probabilities = observed["probabilities"].astype(np.float64)
    truth = as_truth([record.target for record in records], schema)
    given = label_given(probabilities, schema, calibration)
    return Table(probabilities, truth, given, Ranking(probabilities, truth))


def _divide(part: Floats, whole: Floats) -> Floats:
    return np.where(whole > 0, part / np.maximum(whole, 1.0), np.nan)
