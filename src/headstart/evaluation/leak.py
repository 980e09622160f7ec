"""What test pictures that leaked into training are worth: the score with and without them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from headstart.evaluation.scoring import Evaluation, Scored, evaluate_records, metric_text
from headstart.progress import Progress
from headstart.tasks.protocol import Calibration
from headstart.types import Finding, Metric, Record

SHOWN = 12


@dataclasses.dataclass(frozen=True)
class Leak:
    """Test pictures that a training or validation picture gives away.

    Attributes:
        images: their names.
        n_images: test pictures, these included.
        without: scores of the other test pictures; None where there are no others.
    """

    images: tuple[str, ...]
    n_images: int
    without: Mapping[str, Metric] | None

    def to_json(self) -> dict[str, Any]:
        """The entry ``leak`` of ``metrics.json``."""
        scores = self.without
        return {
            "n_leaked": len(self.images),
            "n_images": self.n_images - len(self.images),
            "metrics": scores and {name: metric.to_json() for name, metric in scores.items()},
        }

    def finding(self, evaluation: Evaluation) -> Finding:
        """The passage of the report.

        Args:
            evaluation: of all test pictures.
        """
        text = (
            f"{len(self.images)} of {self.n_images} test pictures have a copy, or a picture of "
            "their group, in training or validation"
        )
        rows = []
        if self.without is None:
            text += ": no picture is left to say what the score would be without them."
        else:
            name, metric = evaluation.headline
            rows = [
                (name, f"{metric.value:.4g}", f"{self.without[name].value:.4g}")
                for name, metric in evaluation.metrics.items()
                if "/" not in name and name in self.without
            ]
            text += (
                f". {metric_text(name, metric)} with them, {metric_text(name, self.without[name])} "
                "without: believe the second."
            )
        return Finding(
            "The split leaks",
            text,
            columns=("metric", "with", "without") if rows else (),
            rows=rows,
            images=[(image, "leaked") for image in self.images[:SHOWN]],
            spoken=True,
        )


def measure_leak(
    model: Scored,
    test: Sequence[Record],
    leaked: Sequence[Record],
    calibration: Calibration,
    progress: Progress,
) -> Leak | None:
    """Scores the test pictures that did not leak; None where all of them did not.

    Args:
        model: that is scored.
        test: every test picture.
        leaked: those that leaked.
        calibration: of the model.
        progress: shows a bar.
    """
    if not leaked:
        return None
    names = {record.image for record in leaked}
    clean = [record for record in test if record.image not in names]
    without = evaluate_records(model, clean, calibration, progress).metrics if clean else None
    return Leak(tuple(record.image for record in leaked), len(test), without)
