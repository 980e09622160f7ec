"""What heads make of feature maps, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from headstart.models.heads import STATS_SPREAD, PooledHead, PoolStats
from headstart.tasks.learning import HeadKind, HeadOptions
from headstart.types import Stage

STAGES = [Stage(3, stride, 0.0) for stride in (2, 4)] + [
    Stage(channels, stride, 0.0) for channels, stride in ((4, 8), (5, 16), (7, 32))
]


def test_statistics_are_means_and_deviations_of_each_map_on_one_scale() -> None:
    generator = np.random.default_rng(0)
    maps = [generator.normal(3, 2, (2, 4, 6, 5)), generator.normal(-50, 40, (2, 7, 3, 2))]
    found = PoolStats()(tuple(torch.from_numpy(m).float() for m in maps)).numpy()
    wanted = []
    for each in maps:
        for values in (each.mean(axis=(2, 3)), each.std(axis=(2, 3))):
            centred = values - values.mean(axis=1, keepdims=True)
            wanted.append(STATS_SPREAD * centred / values.std(axis=1, keepdims=True))
    np.testing.assert_allclose(found, np.concatenate(wanted, axis=1), atol=1e-3)


def test_statistics_of_maps_without_any_change_have_a_slope() -> None:
    """A root's slope is infinite at zero: constant maps must not make weights infinite."""
    flat = torch.ones(2, 5, 3, 3, requires_grad=True)
    PoolStats()((flat,)).square().sum().backward()
    assert flat.grad is not None
    assert torch.isfinite(flat.grad).all()


@pytest.mark.parametrize(
    ("kind", "taps", "features", "convex", "solved"),
    [
        ("linear", (4,), 7, True, False),
        ("stats", (2, 3, 4), 2 * (4 + 5 + 7), True, True),
        ("mlp", (4,), 128, False, False),
    ],
)
def test_kinds_of_pooled_heads(
    kind: HeadKind, taps: tuple[int, ...], features: int, convex: bool, solved: bool
) -> None:
    head = PooledHead(STAGES, 3, HeadOptions(kind))
    assert (head.taps, head.linear.in_features) == (taps, features)
    assert (head.convex, head.solved) == (convex, solved)


def test_statistics_of_a_backbone_with_fewer_stages() -> None:
    assert PooledHead(STAGES[3:], 3, HeadOptions("stats")).taps == (0, 1)
