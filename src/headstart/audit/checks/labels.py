"""Checks of what is said about the pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from headstart import tasks
from headstart.audit.material import Check, Material
from headstart.errors import needing_extra
from headstart.tasks.inspection import Issue, Severity

ORDER = 3

RARE = 0.1
"""Share of the pictures of the most common class below which a class is rare."""

SEED = 0

NEIGHBOURS = 10

OUTLIER_SPREADS = 6.0
"""Robust standard deviations from the median beyond which a picture is like no other."""


class BrokenTarget:
    """What the task says about its targets: masks, points."""

    name = "target"
    title = "Targets"

    def run(self, material: Material) -> Iterator[Issue]:
        """Issues under names of the task's own."""
        if material.task is not None:
            yield from tasks.spec(material.task).inspect(material.labelled, material.schema)


class Imbalance:
    """Classes with far fewer pictures than others, or none on one side of the split."""

    name = "class-imbalance"
    title = "Class imbalance"

    def run(self, material: Material) -> Iterator[Issue]:
        """One issue for each rare class."""
        if material.task is None or not material.labelled:
            return
        spec = tasks.spec(material.task)
        counts: Counter[str] = Counter()
        sides: dict[str, set[str]] = {}
        for item in material.labelled:
            for name in spec.strata(material.schema, item.target):
                counts[name] += 1
                if item.split is not None:
                    sides.setdefault(name, set()).add(item.split)
        largest, most = counts.most_common(1)[0] if counts else ("", 0)
        for name, count in sorted(counts.items(), key=lambda entry: entry[1]):
            if count < RARE * most:
                text = f"{name} has {count} pictures, {largest} has {most}"
                yield Issue(self.name, "warning", (), text)
        for name, found in sorted(sides.items()):
            if "train" not in found:
                text = f"{name} occurs in {' and '.join(sorted(found))} but not in train"
                yield Issue(self.name, "error", (), text)


class SuspiciousLabel:
    """Labels that pictures with other labels contradict."""

    name = "suspicious-label"
    title = "Suspicious labels, most suspicious first"

    def run(self, material: Material) -> Iterator[Issue]:
        """One issue a picture, the most suspicious first."""
        if material.task is None or not material.labelled:
            return
        with needing_extra("Looking for wrong labels", "train"):
            import cleanlab  # noqa: F401 - the task's own module would name no extra
        scorer = tasks.scorer(material.task)
        position = {p.fingerprint: at for at, p in enumerate(material.distinct)}
        prints = {p.image: p.fingerprint for p in material.readable}
        chosen = [items[0] for items in material.by_image.values() if len(items) == 1]
        doubts = scorer.doubts(
            material.features[[position[prints[item.image]] for item in chosen]],
            [item.target for item in chosen],
            [item.group or prints[item.image] for item in chosen],
            material.schema,
            SEED,
        )
        for doubt in doubts:
            severity: Severity = "warning" if doubt.sure else "info"
            yield Issue(self.name, severity, (chosen[doubt.at].image,), doubt.text)


class Outlier:
    """Pictures that resemble no other one: a placeholder, a screenshot, another subject."""

    name = "outlier"
    title = "Pictures unlike all others"

    def run(self, material: Material) -> Iterator[Issue]:
        """One issue a picture, the oddest first."""
        pictures = material.distinct
        if len(pictures) <= NEIGHBOURS:
            return
        far = neighbour_distance(material.features)
        middle = float(np.median(far))
        spread = 1.4826 * float(np.median(np.abs(far - middle)))
        for at in np.argsort(-far):
            if far[at] > middle + OUTLIER_SPREADS * spread:
                text = f"its nearest pictures are {far[at] / middle:.1f} times as far as is usual"
                yield Issue(self.name, "info", (pictures[at].image,), text)


def neighbour_distance(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Mean cosine distance of each row of (n, channels) to the nearest others: (n,)."""
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=NEIGHBOURS, metric="cosine").fit(features)
    distances: npt.NDArray[np.float64] = nearest.kneighbors()[0].mean(axis=1)
    return distances


CHECKS: tuple[Check, ...] = (BrokenTarget(), Imbalance(), SuspiciousLabel(), Outlier())
