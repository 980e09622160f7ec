"""The torch half of multilabel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from headstart.models.heads import Head, LseHead, PooledHead
from headstart.tasks.learning import HeadOptions, Objective, Placed, TaskDefaults
from headstart.tasks.logistic import fit_logistic
from headstart.tasks.multilabel.parsing import LabelSchema
from headstart.tasks.multilabel.precision import (
    Ranking,
    has_both,
    mean_average_precision,
    ranked_classes,
    weights_of,
)
from headstart.tasks.multilabel.spec import Target
from headstart.tasks.protocol import TaskLearner
from headstart.types import Stage

INVERSE_PENALTY = 0.1
"""scikit-learn's C for one view of each picture, as for one class out of a list."""

PRIOR_LIMIT = 0.01
"""A class starts at its prevalence, but never surer than this: an extreme bias learns slowly."""

GAMMA_ABSENT = 4.0
GAMMA_PRESENT = 0.0
MARGIN = 0.05
"""Of the asymmetric loss: what its authors train with (Alibaba-MIIL/ASL, ``train.py``)."""

ERROR_REPEATS = 100


class Finish(nn.Module):
    """Sigmoid of the logits."""

    def forward(self, raw: torch.Tensor) -> tuple[torch.Tensor]:
        """Takes logits (n, classes); gives probabilities (n, classes)."""
        return (torch.sigmoid(raw),)


def asymmetric(
    raw: torch.Tensor,
    present: torch.Tensor,
    gamma_absent: float = GAMMA_ABSENT,
    gamma_present: float = GAMMA_PRESENT,
    margin: float = MARGIN,
) -> torch.Tensor:
    """Asymmetric loss (T. Ridnik et al., ICCV 2021): absent labels that are easy count little.

    Args:
        raw: logits (n, classes).
        present: (n, classes), float32, 1 or 0.
        gamma_absent: exponent that quietens easy absent labels; 0 treats all alike.
        gamma_present: the same for present labels.
        margin: absent labels below this probability count nothing at all.

    Returns:
        (n, classes), float32; binary cross-entropy when exponents and margin are 0.
    """
    probability = torch.sigmoid(raw)
    shifted = (probability - margin).clamp_min(0.0)
    # Without a margin 1 - p would be rounded to 0 for large logits.
    log_absent = torch.log1p(-shifted) if margin else functional.logsigmoid(-raw)
    hit = (1.0 - probability) ** gamma_present * functional.logsigmoid(raw)
    quiet = shifted**gamma_absent * log_absent
    return -(present * hit + (1.0 - present) * quiet)


class MultilabelLearner(TaskLearner):
    """See ``TaskLearner``."""

    losses: tuple[str, ...] = ("bce", "asymmetric")
    higher_is_better = True

    def defaults(self, schema: LabelSchema) -> TaskDefaults:
        """Whole pictures, enlarged a little: what is small or at the border is a label too.

        On street scenes mAP was 0.77 so, and 0.66 from the middle 224 x 224 pixels; views that cut
        away most of a picture would cut away what its labels say. Log-sum-exp over positions,
        dropout and the size: see decision 0029.
        """
        return TaskDefaults(
            image_size=None,
            max_pixels=480 * 480,
            enlarge=1.25,
            resize="letterbox",
            augment="light",
            max_views=6,
            dropout=0.5,
            heads=("lse", "linear", "stats", "mlp"),
        )

    def head(
        self,
        stages: Sequence[Stage],
        schema: LabelSchema,
        targets: Sequence[Target],
        options: HeadOptions,
    ) -> Head:
        """One logit a class; it starts at the class's prevalence."""
        head: LseHead | PooledHead
        if options.kind == "lse":
            head = LseHead(stages, len(schema.classes), options.dropout)
        else:
            head = PooledHead(stages, len(schema.classes), options)
        truth = torch.tensor(list(targets), dtype=torch.float64).reshape(-1, len(schema.classes))
        share = ((truth == 1).sum(dim=0) + 0.5) / ((truth >= 0).sum(dim=0) + 1.0)
        start = torch.logit(share.clamp(PRIOR_LIMIT, 1.0 - PRIOR_LIMIT))
        head.linear.bias = nn.Parameter(start.float())
        return head

    def initialise(
        self,
        head: nn.Module,
        features: npt.NDArray[np.float32],
        targets: Sequence[Target],
        schema: LabelSchema,
    ) -> None:
        """One logistic regression a class, on the pictures of all views where it is known."""
        linear = cast("PooledHead", head).linear
        truth = np.array(targets, dtype=np.int8).reshape(len(targets), len(schema.classes))
        views = len(features)
        for index in np.flatnonzero(has_both(truth)):
            known = truth[:, index] >= 0
            seen = features[:, known].reshape(-1, features.shape[2])
            labels = np.tile(truth[known, index], views)
            weights, biases = fit_logistic(seen, labels, INVERSE_PENALTY / views)
            with torch.no_grad():
                linear.weight[index] = torch.from_numpy(weights[0]).float()
                linear.bias[index] = float(biases[0])

    def encode(self, target: Target, placed: Placed | None, schema: LabelSchema) -> torch.Tensor:
        """1, 0 or -1 (unknown) for each class: (classes,), float32."""
        return torch.tensor(target, dtype=torch.float32)

    def loss(
        self, head: nn.Module, raw: torch.Tensor, encoded: torch.Tensor, objective: Objective
    ) -> torch.Tensor:
        """Mean over the known labels of binary cross-entropy or of the asymmetric loss.

        Label smoothing belongs to the cross-entropy alone: it would give every absent label a share
        of a present one, which the asymmetric loss does not quieten.
        """
        raw = raw.float()
        known = encoded >= 0
        if not known.any():
            return raw.sum() * 0.0
        if objective.loss == "asymmetric":
            losses = asymmetric(raw, encoded.clamp_min(0.0))
        else:
            smoothing = objective.label_smoothing
            wanted = encoded.clamp_min(0.0) * (1.0 - smoothing) + smoothing / 2
            losses = functional.binary_cross_entropy_with_logits(raw, wanted, reduction="none")
        return losses[known].mean()

    def statistics(self, head: nn.Module, raw: torch.Tensor, encoded: torch.Tensor) -> torch.Tensor:
        """Probabilities and targets side by side: (n, 2 * classes)."""
        return torch.cat([torch.sigmoid(raw.float()), encoded], dim=1)

    def epoch_metric(self, statistics: torch.Tensor) -> tuple[float, float]:
        """The scorer's mAP; its error is the spread over resamples of the pictures."""
        probabilities, encoded = statistics.float().cpu().chunk(2, dim=1)
        truth = encoded.numpy().astype(np.int8)
        ranking, classes = Ranking(probabilities.numpy(), truth), ranked_classes(truth)
        count = len(truth)
        random = np.random.default_rng(0)
        draws = [
            mean_average_precision(
                ranking, weights_of(random.integers(0, count, count), count), classes
            )
            for _ in range(ERROR_REPEATS)
        ]
        value = mean_average_precision(ranking, np.ones(count), classes)
        return value, float(np.nanstd(draws))  # a draw may hold no picture of any class

    def finish(self, head: nn.Module) -> nn.Module:
        """Probabilities."""
        return Finish()


LEARNER = MultilabelLearner()
