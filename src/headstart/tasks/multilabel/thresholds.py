"""From which probability on a label is given, fitted to an aim."""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from headstart.errors import ConfigError
from headstart.tasks.multilabel.precision import Floats
from headstart.tasks.multilabel.spec import DEFAULT_THRESHOLD

FEWEST_POSITIVES = 5
"""A threshold fitted on fewer pictures with the label would follow their noise."""

RESAMPLES = 200
"""Over whose best thresholds for F1 the mean is taken; it moves by about 0.01 with more."""

THEORY_SPREAD = 0.03
"""Standard deviation of the best threshold for F1 around that of theory (decision 0029)."""

_AIM = re.compile(r"(precision|recall)>=(0?\.\d+|1|1\.0+)")


def parse_aim(text: str) -> tuple[str, float | None]:
    """Reads ``f1``, ``precision>=P`` or ``recall>=R`` as a name and a share.

    Raises:
        ConfigError: it is none of these.
    """
    if text == "f1":
        return text, None
    found = _AIM.fullmatch(text)
    if found is None:
        problem = (
            "`--threshold-aim` must be f1, precision>=P or recall>=R with a share between 0 and 1 "
            f"(for example precision>=0.9), got {text!r}"
        )
        raise ConfigError([problem])
    return found[1], float(found[2])


def best_threshold(
    scores: Floats, present: npt.NDArray[np.bool_], kind: str, share: float | None
) -> float:
    """The threshold that fits the aim best on some pictures.

    ``f1`` lies between what the pictures and what theory say, nearer to the pictures the surer they
    are (decision 0029). The former is the mean of the thresholds with the highest F1 on bootstrap
    resamples of the pictures (of equally good ones the nearest to 0.5), and their spread says how
    sure it is. The latter is half of the highest F1, which is the best threshold where scores are
    true probabilities (Z. C. Lipton, C. Elkan and B. Narayanaswamy, Optimal thresholding of
    classifiers to maximize F1 measure, ECML 2014).

    ``precision`` takes the highest recall at which the share is reached, or the highest precision
    when none reaches it; ``recall`` the highest threshold that reaches it. The label is given from
    the threshold on.

    Args:
        scores: (n,), 0 to 1.
        present: (n,), whether the picture has the label.
        kind: ``f1``, ``precision`` or ``recall``.
        share: that precision or recall shall reach.

    Returns:
        For ``precision`` and ``recall`` a number midway between two neighbouring scores; 0.5 where
        fewer than five pictures have the label or all of them do.
    """
    total = int(present.sum())
    if total < FEWEST_POSITIVES or total == len(present):
        return DEFAULT_THRESHOLD
    order = np.argsort(-scores, kind="stable")
    ranked, hit = scores[order], present[order]
    # Pictures with equal scores get the label together: only ends of such runs are candidates.
    ends = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    candidates = (ranked[ends] + np.append(ranked[ends[1:]], 0.0)) / 2
    if kind == "f1" or share is None:
        return _best_for_f1(hit, ends, candidates)
    hits = np.cumsum(hit)[ends]
    precision, recall = hits / (ends + 1), hits / total
    if kind == "recall":
        return float(candidates[np.argmax(recall >= share)])
    aim = min(share, precision.max())
    return float(candidates[np.flatnonzero(precision >= aim)[-1]])


def _best_for_f1(
    hit: npt.NDArray[np.bool_], ends: npt.NDArray[np.intp], candidates: Floats
) -> float:
    """The mean over resamples and half of the highest F1, weighted by how sure each is.

    Args:
        hit: (n,), whether a picture has the label, from the highest score to the lowest.
        ends: (k,), positions up to which each candidate gives the label.
        candidates: (k,), falling.
    """
    count = len(hit)
    rng = np.random.default_rng(0)
    shares = np.full(count, 1 / count)
    distance = np.abs(candidates - DEFAULT_THRESHOLD)
    best, highest = [], []
    # One by one: all at once they take ten megabytes for every thousand pictures.
    for _ in range(RESAMPLES):
        times = rng.multinomial(count, shares)
        hits = np.cumsum(times * hit)[ends]
        if not hits[-1]:
            continue
        f1 = 2 * hits / (np.cumsum(times)[ends] + hits[-1])
        highest.append(f1.max())
        best.append(np.where(f1 == highest[-1], distance, np.inf).argmin())
    fitted = candidates[best]
    trust = THEORY_SPREAD**2 / (THEORY_SPREAD**2 + fitted.var())
    return float(trust * fitted.mean() + (1.0 - trust) * np.mean(highest) / 2)
