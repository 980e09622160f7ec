"""Scores a model on labelled pictures that it has not learned from."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart import tasks
from headstart.errors import DataError, needing_extra
from headstart.progress import Progress, QuietProgress

if TYPE_CHECKING:
    from headstart.evaluation.scoring import Evaluation


@dataclasses.dataclass(frozen=True)
class EvaluateResult:
    """What ``evaluate`` found.

    Attributes:
        task: name of the task.
        n_images: pictures that were scored.
        n_seen: pictures left out because the model was trained or validated on them.
        n_omitted: pictures left out for other reasons.
        evaluation: metrics, findings and answers.
    """

    task: str
    n_images: int
    n_seen: int
    n_omitted: int
    evaluation: Evaluation

    def to_json(self) -> dict[str, Any]:
        """What ``evaluate --json`` prints."""
        return {
            "task": self.task,
            "n_images": self.n_images,
            "n_seen": self.n_seen,
            "n_omitted": self.n_omitted,
            "metrics": {name: m.to_json() for name, m in self.evaluation.metrics.items()},
        }


def evaluate(
    model: str | Path,
    data: str | Path,
    *,
    label_from: str | None = None,
    progress: Progress | None = None,
) -> EvaluateResult:
    """Scores a model on every picture of a data set that it was not trained or validated on.

    Args:
        model: the model folder.
        data: labelled pictures in any known layout.
        label_from: regular expression that takes the label out of each picture's path.
        progress: told what happens; None is silent.

    Raises:
        DataError: no picture is left to score.
        ModelError: the model cannot be loaded.
        MissingExtraError: the extra ``train`` is not installed.
    """
    with needing_extra("Scoring", "train"):
        from headstart.evaluation import scoring
    from headstart.data.manifest import look_into, parse_data
    from headstart.runtime.predictor import Model

    shown = progress or QuietProgress()
    loaded = Model(model)
    known = loaded.description
    tasks.scorer(known.task)
    asked = {"label_from": label_from}
    parsed = parse_data(Path(data), task=known.task, schema=known.schema, overrides=asked)
    manifest = look_into(parsed, None, shown)
    seen = {fingerprint for side in known.seen.values() for fingerprint in side}
    records = [record for record in manifest.records if record.fingerprint not in seen]
    n_seen = len(manifest.records) - len(records)
    if n_seen:
        shown.say(f"{n_seen} pictures left out: the model was trained or validated on them")
    for omission in manifest.omissions:
        shown.say(f"left out: {omission.image}: {omission.reason}")
    if not records:
        raise DataError(
            f"no picture is left to score: all {n_seen} readable pictures of {data} were used "
            "for training or validation"
        )
    scored = scoring.Scored(loaded.backend, known.task, known.schema, known.preprocess)
    evaluation = scoring.evaluate_records(scored, records, known.calibration, shown)
    return EvaluateResult(known.task, len(records), n_seen, len(manifest.omissions), evaluation)
