"""The order in which labels are doubted."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from headstart.errors import DataError
from headstart.tasks.classification.doubts import label_doubts as of_one_label
from headstart.tasks.multilabel.doubts import label_doubts as of_labels
from headstart.tasks.multilabel.parsing import ABSENT, PRESENT, UNKNOWN

COUNT = 60
WRONG = {7: 3.0, 33: 1.0, 50: 2.0}
"""How far from the border wrongly labelled pictures lie, on the other side."""


@pytest.fixture
def features() -> npt.NDArray[np.float32]:
    """Two kinds, left and right of 0 in the first direction; the first half is the left one."""
    random = np.random.default_rng(0)
    found = random.normal(0.0, 0.3, (COUNT, 4)).astype(np.float32)
    found[:, 0] += np.where(np.arange(COUNT) < COUNT // 2, -2.0, 2.0)
    for at, far in WRONG.items():
        found[at, 0] = far if at < COUNT // 2 else -far
    return found


LABELS = np.where(np.arange(COUNT) < COUNT // 2, 0, 1)
GROUPS = [f"{at}" for at in range(COUNT)]
WORST_FIRST = sorted(WRONG, key=lambda at: -WRONG[at])


def test_the_least_likely_label_comes_first(features: npt.NDArray[np.float32]) -> None:
    doubts = of_one_label(features, LABELS, GROUPS, ("left", "right"), seed=0)
    assert [doubt.at for doubt in doubts] == WORST_FIRST
    assert doubts[0].text.startswith("labelled left, looks like right (")
    assert doubts[0].sure


def test_with_several_labels_too(features: npt.NDArray[np.float32]) -> None:
    targets = np.stack([np.where(LABELS == 1, PRESENT, ABSENT), np.full(COUNT, PRESENT)], axis=1)
    doubts = of_labels(features, targets, GROUPS, ("right", "always"), seed=0)
    assert [doubt.at for doubt in doubts] == WORST_FIRST
    assert doubts[0].text.startswith("labelled without right, looks like a picture with it (")
    # What is not known is not doubted.
    targets[WORST_FIRST[0], 0] = UNKNOWN
    doubts = of_labels(features, targets, GROUPS, ("right", "always"), seed=0)
    assert {doubt.at for doubt in doubts} == set(WORST_FIRST[1:])


def test_too_few_groups_are_an_error(features: npt.NDArray[np.float32]) -> None:
    groups = ["a"] * COUNT
    with pytest.raises(DataError, match="5 groups"):
        of_one_label(features, LABELS, groups, ("left", "right"), seed=0)
    with pytest.raises(DataError, match="5 groups"):
        of_labels(features, LABELS[:, None], groups, ("right",), seed=0)
