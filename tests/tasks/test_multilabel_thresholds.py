"""Thresholds of multilabel: aims, hand-made rankings, and what resampling is for."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import f1_score

from headstart.errors import ConfigError
from headstart.tasks.multilabel import thresholds
from headstart.tasks.multilabel.thresholds import best_threshold, parse_aim

Floats = npt.NDArray[np.float64]
Truth = npt.NDArray[np.bool_]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("f1", ("f1", None)),
        ("precision>=0.9", ("precision", 0.9)),
        ("recall>=.5", ("recall", 0.5)),
        ("recall>=1", ("recall", 1.0)),
    ],
)
def test_aims_are_read(text: str, expected: tuple[str, float | None]) -> None:
    assert parse_aim(text) == expected


@pytest.mark.parametrize("text", ["", "F1", "precision", "precision>=1.5", "f1>=0.5", "recall>0.5"])
def test_other_aims_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=rf"must be f1, precision>=P or recall>=R.*got '{text}'"):
        parse_aim(text)


# Falling: present present absent present present absent present absent
SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2])
PRESENT = np.array([1, 1, 0, 1, 1, 0, 1, 0], dtype=bool)


@pytest.mark.parametrize(
    ("kind", "share", "expected"),
    [
        # Precision: 1, 1, 2/3, 3/4, 4/5, 4/6, 5/7, 5/8.
        ("precision", 0.9, 0.75),
        ("precision", 0.8, 0.45),
        ("precision", 0.6, 0.1),
        # Recall: 1/5, 2/5, 2/5, 3/5, 4/5, 4/5, 1, 1.
        ("recall", 0.8, 0.45),
        ("recall", 0.81, 0.25),
        ("recall", 0.1, 0.85),
        ("recall", 1.0, 0.25),
    ],
)
def test_thresholds_by_hand(kind: str, share: float | None, expected: float) -> None:
    order = np.random.default_rng(0).permutation(8)
    found = best_threshold(SCORES[order], PRESENT[order], kind, share)
    assert found == pytest.approx(expected)


def test_an_unreachable_precision_gives_the_highest_one() -> None:
    """With the best picture absent, precision is 0, 1/2, 1/3, 2/4, 3/5, 4/6, 4/7, 5/8."""
    present = np.array([0, 1, 0, 1, 1, 1, 0, 1], dtype=bool)
    assert best_threshold(SCORES, present, "precision", 0.9) == pytest.approx(0.35)


def test_equal_scores_are_never_separated() -> None:
    scores = np.array([0.8, 0.8, 0.8, 0.8, 0.8, 0.4, 0.4])
    present = np.array([1, 1, 1, 1, 0, 1, 0], dtype=bool)
    assert best_threshold(scores, present, "precision", 1.0) == pytest.approx(0.6)
    assert best_threshold(np.full(7, 0.8), present, "f1", None) == pytest.approx(0.4)


def noisy(seed: int, count: int) -> tuple[Floats, Truth]:
    """Scores that overlap a lot, and who has the label."""
    rng = np.random.default_rng(seed)
    present = rng.random(count) < 0.5
    return np.where(present, rng.beta(4, 3, count), rng.beta(3, 4, count)), present


def best_of_all(scores: Floats, present: Truth) -> float:
    """The threshold with the highest F1 on these pictures, by scikit-learn."""
    ordered = np.append(np.unique(scores)[::-1], 0.0)
    candidates = (ordered[:-1] + ordered[1:]) / 2
    found = np.array([f1_score(present, scores >= at) for at in candidates])
    best = candidates[found >= found.max() - 1e-12]
    return float(best[np.abs(best - 0.5).argmin()])


def on_resamples(scores: Floats, present: Truth) -> tuple[Floats, Floats]:
    """The best thresholds of resamples and their F1, with scikit-learn on the drawn pictures."""
    count, rng = len(scores), np.random.default_rng(1)
    drawn = [rng.integers(0, count, count) for _ in range(thresholds.RESAMPLES)]
    best = [best_of_all(scores[at], present[at]) for at in drawn]
    f1 = [f1_score(present[at], scores[at] >= one) for at, one in zip(drawn, best, strict=True)]
    return np.array(best), np.array(f1)


def test_f1_takes_the_mean_over_resamples_where_theory_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scores, present = noisy(4, 60)
    monkeypatch.setattr(thresholds, "THEORY_SPREAD", 1e6)
    found = best_threshold(scores, present, "f1", None)
    best, _ = on_resamples(scores, present)
    # Candidates of drawn pictures lie a little apart from those of all.
    assert found == pytest.approx(best.mean(), abs=0.03)
    assert best_of_all(scores, present) != pytest.approx(found, abs=0.03)


def test_f1_takes_half_of_the_highest_f1_where_resamples_disagree(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With scores far above true probabilities: pictures and theory say different things."""
    scores, present = noisy(4, 60)
    scores = scores**0.3
    best, f1 = on_resamples(scores, present)
    assert best.mean() > f1.mean() / 2 + 0.2
    monkeypatch.setattr(thresholds, "THEORY_SPREAD", 1e-6)
    assert best_threshold(scores, present, "f1", None) == pytest.approx(f1.mean() / 2, abs=0.01)
    # With equal spreads it lies in the middle.
    monkeypatch.setattr(thresholds, "THEORY_SPREAD", best.std())
    middle = (best.mean() + f1.mean() / 2) / 2
    assert best_threshold(scores, present, "f1", None) == pytest.approx(middle, abs=0.03)


def test_many_pictures_outweigh_theory() -> None:
    """Scores far from true probabilities: a label is as good as certain from 0.85 on."""
    rng = np.random.default_rng(0)
    scores = rng.random(4_000)
    present = rng.random(4_000) < 1 / (1 + np.exp(-60 * (scores - 0.85)))
    best = best_of_all(np.round(scores, 2), present)
    assert best == pytest.approx(0.84, abs=0.02)
    assert best_threshold(scores, present, "f1", None) == pytest.approx(best, abs=0.03)
    few = best_threshold(scores[:30], present[:30], "f1", None)
    assert 0.4 < few < best - 0.03


def test_f1_of_other_pictures_is_steadier_than_with_the_best_threshold_of_these() -> None:
    unseen, truth = noisy(1_000, 20_000)
    mean, single = [], []
    for seed in range(40):
        scores, present = noisy(seed, 60)
        mean.append(f1_score(truth, unseen >= best_threshold(scores, present, "f1", None)))
        single.append(f1_score(truth, unseen >= best_of_all(scores, present)))
    assert np.mean(mean) > np.mean(single)
    assert np.std(mean) < np.std(single)


def test_labels_that_scores_separate_get_the_middle() -> None:
    scores = np.array([0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.3, 0.2, 0.1, 0.05])
    assert best_threshold(scores, scores > 0.5, "f1", None) == pytest.approx(0.5)
