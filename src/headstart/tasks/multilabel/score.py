"""Metrics, thresholds and cross-validation of multilabel."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from headstart.tasks import metrics
from headstart.tasks.inspection import Doubt
from headstart.tasks.multilabel import findings
from headstart.tasks.multilabel.parsing import LabelSchema
from headstart.tasks.multilabel.precision import (
    Floats,
    Ranking,
    Truth,
    has_both,
    mean_average_precision,
    prevalence,
    ranked_classes,
    weights_of,
)
from headstart.tasks.multilabel.spec import Target
from headstart.tasks.multilabel.table import Table, as_truth, table_of
from headstart.tasks.multilabel.thresholds import best_threshold, parse_aim
from headstart.tasks.protocol import Calibration, TaskScorer
from headstart.types import Finding, Metric, Outputs, Record

FOLDS = 5


class MultilabelScorer(TaskScorer):
    """See ``TaskScorer``."""

    def calibrate(
        self, observed: Outputs, targets: Sequence[Target], schema: LabelSchema, aim: str
    ) -> Calibration:
        """A threshold for each class, fitted to the aim on the known labels."""
        kind, share = parse_aim(aim)
        probabilities = observed["probabilities"].astype(np.float64)
        truth = as_truth(targets, schema)
        found = {}
        for index, name in enumerate(schema.classes):
            usable = (truth[:, index] >= 0) & np.isfinite(probabilities[:, index])
            found[f"threshold/{name}"] = best_threshold(
                probabilities[usable, index], truth[usable, index] == 1, kind, share
            )
        return found

    def score(
        self,
        observed: Outputs,
        records: Sequence[Record],
        schema: LabelSchema,
        calibration: Calibration,
    ) -> dict[str, Metric]:
        """Averages beside what trivial answers reach, and figures of each class.

        ``map`` is over the classes of ``ranked_classes``, ``map_chance`` is the mean prevalence of
        the same classes: what a random ranking is expected to reach. The F1 are over the classes
        that occur; ``_all_positive`` gives every label, ``_all_negative`` none. ``exact_match`` is
        the share of pictures all of whose known labels are right. Higher is better for all.
        """
        table = table_of(observed, records, schema, calibration)
        averages, by_class = _intervals(table, records)
        none = Metric(0.0 if table.occurring.any() else float("nan"))
        found = {
            "map": averages["map"],
            "map_chance": Metric(table.map_chance),
            "f1_macro": averages["f1_macro"],
            "f1_macro_all_positive": Metric(table.f1_macro_all_positive),
            "f1_macro_all_negative": none,
            "f1_micro": averages["f1_micro"],
            "f1_micro_all_positive": Metric(table.f1_micro_all_positive),
            "f1_micro_all_negative": none,
            "exact_match": averages["exact_match"],
        }
        both = has_both(table.truth)
        for index, name in enumerate(schema.classes):
            if both[index]:
                found[f"ap/{name}"] = by_class["ap"][index]
            found[f"precision/{name}"] = by_class["precision"][index]
            found[f"recall/{name}"] = by_class["recall"][index]
        return {name: metric for name, metric in found.items() if not np.isnan(metric.value)}

    def headline(
        self,
        observed: Outputs,
        records: Sequence[Record],
        schema: LabelSchema,
        calibration: Calibration,
    ) -> metrics.Headline:
        """Mean average precision over the classes of ``ranked_classes``."""
        truth = as_truth([record.target for record in records], schema)
        ranking = Ranking(observed["probabilities"].astype(np.float64), truth)
        classes, count = ranked_classes(truth), len(records)
        return metrics.Headline(
            "map", lambda at: mean_average_precision(ranking, weights_of(at, count), classes)
        )

    def analyse(
        self,
        observed: Outputs,
        records: Sequence[Record],
        schema: LabelSchema,
        calibration: Calibration,
        scores: Mapping[str, Metric],
    ) -> list[Finding]:
        """The trivial answers, classes, thresholds, the pictures with most wrong labels."""
        table = table_of(observed, records, schema, calibration)
        return [
            findings.beside_trivial(table),
            findings.classes(table, schema, calibration),
            findings.thresholds(schema, calibration),
            findings.most_wrong(table, records, schema),
        ]

    def out_of_fold(
        self,
        features: npt.NDArray[np.float32],
        records: Sequence[Record],
        schema: LabelSchema,
        seed: int,
    ) -> tuple[str, Metric] | None:
        """Score of logistic regressions, each picture predicted by models that never saw it."""
        truth = as_truth([record.target for record in records], schema)
        groups = np.unique([record.group_key for record in records], return_inverse=True)[1]
        if groups.max(initial=-1) + 1 < FOLDS or not has_both(truth).any():
            return None
        folds = _folds(truth, groups, seed)
        probabilities = np.empty(truth.shape)
        for fold in range(FOLDS):
            held = folds == fold
            if held.any():
                probabilities[held] = _regressions(features, truth, ~held, held)
        ranking, classes = Ranking(probabilities, truth), ranked_classes(truth)
        return "map", metrics.bootstrap(
            lambda at: mean_average_precision(ranking, weights_of(at, len(truth)), classes), records
        )

    def doubts(
        self,
        features: npt.NDArray[np.float32],
        targets: Sequence[Target],
        groups: Sequence[str],
        schema: LabelSchema,
        seed: int,
    ) -> list[Doubt]:
        """Labels that a head for each class contradicts out of fold."""
        from headstart.tasks.multilabel.doubts import label_doubts

        return label_doubts(features, np.array(targets), groups, schema.classes, seed)


def _intervals(
    table: Table, records: Sequence[Record]
) -> tuple[dict[str, Metric], dict[str, list[Metric]]]:
    """The averages, and the figures of each class, by name."""
    count = len(records)

    def statistics(chosen: npt.NDArray[np.intp]) -> Floats:
        weights = weights_of(chosen, count)
        averages, by_class = table.figures(weights)
        return np.concatenate([np.array(list(averages.values())), *by_class.values()])

    averages, by_class = table.figures(np.ones(count))
    found = metrics.bootstrap_all(statistics, records)
    rest, size = found[len(averages) :], table.truth.shape[1]
    rows = {name: rest[at * size :][:size] for at, name in enumerate(by_class)}
    whole = dict(zip(averages, found, strict=False))
    if not metrics.has_groups(records):
        # Of independent pictures Wilson's interval is right also near 0 and 1.
        present, claimed = table.truth == 1, table.given & (table.truth >= 0)
        whole["exact_match"] = metrics.proportion(table.exact)
        for at in range(size):
            rows["precision"][at] = metrics.proportion(present[claimed[:, at], at])
            rows["recall"][at] = metrics.proportion(table.given[present[:, at], at])
    return whole, rows


def _folds(truth: Truth, groups: npt.NDArray[np.intp], seed: int) -> npt.NDArray[np.intp]:
    """(n,): the fold of each picture; groups stay together, classes are spread evenly."""
    count = int(groups.max()) + 1
    # iterstrat asks for two classes at least: the last column is empty.
    present = np.zeros((count, truth.shape[1] + 1), dtype=np.int8)
    np.maximum.at(present, groups, np.pad((truth == 1).astype(np.int8), ((0, 0), (0, 1))))
    folds = np.zeros(count, dtype=np.intp)
    split = MultilabelStratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    for fold, (_, held) in enumerate(split.split(present, present)):
        folds[held] = fold
    return folds[groups]


def _regressions(
    features: npt.NDArray[np.float32],
    truth: Truth,
    train: npt.NDArray[np.bool_],
    held: npt.NDArray[np.bool_],
) -> Floats:
    """(held pictures, classes): probabilities of one logistic regression a class."""
    scaler = StandardScaler().fit(features[train].astype(np.float64))
    seen = scaler.transform(features[train].astype(np.float64))
    new = scaler.transform(features[held].astype(np.float64))
    found = np.zeros((len(new), truth.shape[1]))
    share = prevalence(truth[train])
    for index in range(truth.shape[1]):
        labels = truth[train, index]
        known = labels >= 0
        if not has_both(labels[:, None])[0]:
            found[:, index] = share[index]
            continue
        model = LogisticRegression(C=0.01, max_iter=1000)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            # An estimate that is a little off is still a fair one.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(seen[known], labels[known])
            found[:, index] = model.predict_proba(new)[:, 1]
    return found


SCORER = MultilabelScorer()
