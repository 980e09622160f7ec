"""What a task is: three small halves, each a protocol that its module's one object fulfils."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from headstart.types import Annotation, Finding, Metric, Omission, Outputs, Record

if TYPE_CHECKING:
    import torch

Calibration = Mapping[str, float]
"""Numbers fitted on validation: constants of the graph and thresholds of the decoder."""


@dataclasses.dataclass(frozen=True)
class ParsedTargets:
    """What a task made of annotations.

    Attributes:
        schema: the task's description of its targets.
        targets: for each annotation its target, or None where it was left out.
        omissions: one entry for each annotation that was left out.
        notes: sentences that the person should read.
    """

    schema: Any
    targets: tuple[Any, ...]
    omissions: tuple[Omission, ...] = ()
    notes: tuple[str, ...] = ()


class Prediction(Protocol):
    """The answer for one picture."""

    @property
    def headline(self) -> str:
        """The answer in a few words, for a terminal."""

    def to_json(self) -> dict[str, Any]:
        """The answer as plain values: what ``predict --json`` prints beside image and task."""


class TaskSpec(Protocol):
    """The torch-free half: what targets are, and how outputs become answers."""

    name: str
    outputs: tuple[str, ...]
    """Names of the graph's outputs."""
    options: tuple[str, ...]
    """Names of the ``dataset.yaml`` entries that the task uses."""

    def claims(self, fields: Sequence[Mapping[str, str]]) -> float:
        """How sure it is that annotations with these fields are its own: 0 (not) to 1."""

    def parse(
        self, annotations: Sequence[Annotation], *, schema: Any = None, classes: Sequence[str] = ()
    ) -> ParsedTargets:
        """Turns fields into targets.

        Args:
            annotations: of one data set, as a reader found them.
            schema: the schema of a trained model, whose targets these must be; None makes one.
            classes: the order of classes that the person asked for; empty for the default.

        Raises:
            DataError: nothing can be learned from these annotations.
        """

    def stratum(self, schema: Any, target: Any) -> str:
        """What the split keeps in equal proportions on all sides."""

    def summarise(self, schema: Any, targets: Sequence[Any]) -> list[tuple[str, str]]:
        """Rows (name, text) that describe targets to a person: classes with counts, a range."""

    def schema_to_json(self, schema: Any) -> dict[str, Any]:
        """The schema as plain values for ``model.json``."""

    def schema_from_json(self, value: Mapping[str, Any]) -> Any:
        """Reads what ``schema_to_json`` wrote."""

    def decode(
        self, outputs: Outputs, schema: Any, calibration: Calibration, *, top_k: int | None = None
    ) -> list[Prediction]:
        """Turns the outputs of a batch into answers; the only decoder of the task.

        Args:
            outputs: arrays (n, ...), float32.
            schema: of the model.
            calibration: of the model.
            top_k: the most probable entries to keep; None keeps all.
        """


class TaskScorer(Protocol):
    """Metrics and calibration, from outputs of the runtime."""

    monitor: str
    """Name of the metric by which models are compared."""

    def calibrate(self, outputs: Outputs, targets: Sequence[Any], schema: Any) -> Calibration:
        """Fits the calibration on validation outputs of a graph whose calibration is neutral."""

    def score(
        self, outputs: Outputs, records: Sequence[Record], schema: Any, calibration: Calibration
    ) -> dict[str, Metric]:
        """All metrics with 95 % intervals; the first one is the headline."""

    def analyse(
        self, outputs: Outputs, records: Sequence[Record], schema: Any, calibration: Calibration
    ) -> list[Finding]:
        """What a person should look at: confusions, worst pictures, calibration."""

    def out_of_fold(
        self, features: npt.NDArray[np.float32], records: Sequence[Record], schema: Any, seed: int
    ) -> tuple[str, Metric] | None:
        """Score of a simple head in 5-fold cross-validation on pooled features (n, channels).

        Returns:
            The metric's name and value, or None where there are too few pictures for five folds.
        """


class TaskLearner(Protocol):
    """The torch half: head, loss, target encoding.

    A head is a ``headstart.models.heads.Head``.
    """

    higher_is_better: bool
    """Direction of the metric that ``epoch_metric`` returns."""

    def head(
        self, channels: int, schema: Any, targets: Sequence[Any], dropout: float
    ) -> torch.nn.Module:
        """The module from the backbone's feature maps to raw outputs.

        Args:
            channels: of the backbone's last feature map.
            schema: of the training data.
            targets: of the training pictures, for statistics and initial biases.
            dropout: probability of dropping a feature.
        """

    def initialise(
        self,
        head: torch.nn.Module,
        features: npt.NDArray[np.float32],
        targets: Sequence[Any],
        schema: Any,
    ) -> None:
        """Puts the solution of a convex problem into the head, where its last layer has one.

        Args:
            head: made by ``head``; changed in place.
            features: what ``head.reduce`` gives, (views, n, channels); the plain views first.
            targets: of the n training pictures.
            schema: of the training data.
        """

    def encode(self, targets: Sequence[Any], schema: Any) -> torch.Tensor:
        """Targets of n pictures as one tensor (n, ...)."""

    def loss(
        self,
        head: torch.nn.Module,
        raw: torch.Tensor,
        encoded: torch.Tensor,
        label_smoothing: float,
    ) -> torch.Tensor:
        """Mean loss of a batch, from the head's raw outputs."""

    def epoch_metric(
        self, head: torch.nn.Module, raw: torch.Tensor, encoded: torch.Tensor
    ) -> tuple[float, float]:
        """The monitored metric on stored features of pictures, and its standard error."""

    def finish(self, head: torch.nn.Module) -> torch.nn.Module:
        """From raw outputs to the graph's named outputs, as a tuple.

        Numbers that ``calibrate`` fits and that belong into the graph are buffers of the same name,
        here with their neutral value.
        """
