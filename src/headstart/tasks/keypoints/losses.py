"""Losses of heatmaps.

Each takes heatmaps (n, points, h, w) between 0 and 1; Gaussian targets of the same shape; and which
points have a label (n, points). At least one point counts.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from headstart.tasks.keypoints.heatmaps import SIGMA, STRIDE

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

PEAK_WEIGHT = 20.0
"""Weight of a cell at the top of a target beside one far away: there are hundreds of times more of
these, and without it an empty heatmap is nearly right."""


def gaussians(encoded: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Targets (n, points, height, width) with 1 at the place of each point.

    Args:
        encoded: (n, points + 1, 3), see ``encode_points``.
        height: cells.
        width: cells.
    """
    size = encoded[:, -1:, :2]
    # Centres of cells lie half a cell from the border.
    centres = encoded[:, :-1, :2] * size / STRIDE - 0.5
    columns = torch.arange(width, dtype=torch.float32, device=centres.device) - centres[..., :1]
    rows = torch.arange(height, dtype=torch.float32, device=centres.device) - centres[..., 1:]
    scale = -0.5 / SIGMA**2
    along_y, along_x = torch.exp(scale * rows**2), torch.exp(scale * columns**2)
    return along_y[..., :, None] * along_x[..., None, :]


def squared(maps: torch.Tensor, targets: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Weighted mean squared error, times the weight of a peak so that it is not tiny."""
    weights = 1.0 + PEAK_WEIGHT * targets
    errors = (weights * (maps - targets) ** 2).mean(dim=(2, 3))
    return PEAK_WEIGHT * errors[known].mean()


def overlap(maps: torch.Tensor, targets: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """1 - IoU of heatmaps: shared mass over the mass of either."""
    shared = (maps * targets).sum(dim=(2, 3))
    either = (maps**2 + targets**2).sum(dim=(2, 3)) - shared
    return (1.0 - (shared + 1e-3) / (either + 1e-3))[known].mean()


def both(maps: torch.Tensor, targets: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """The sum of the two."""
    return squared(maps, targets, known) + overlap(maps, targets, known)


LOSSES: dict[str, Loss] = {"mse+iou": both, "mse": squared, "iou": overlap}
