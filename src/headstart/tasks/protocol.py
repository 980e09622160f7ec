"""What a task is: three small halves, each a protocol that its module's one object fulfils.

The classes of the tasks derive from these: what a method does here is what most tasks need.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from headstart.config import DatasetOptions
from headstart.tasks.fields import Row
from headstart.tasks.inspection import Doubt, Issue, Labelled
from headstart.tasks.learning import HeadOptions, Objective, Placed, TaskDefaults
from headstart.types import (
    Annotation,
    Finding,
    Frame,
    Geometry,
    ImageArray,
    Metric,
    Omission,
    Outputs,
    Record,
    Size,
    Skeleton,
    Stage,
)

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from headstart.tasks.metrics import Headline

Calibration = Mapping[str, float]
"""Numbers fitted on validation: constants of the graph and thresholds of the decoder."""

NO_OPTIONS = DatasetOptions()

FULL_FRAME = "_full_frame"
"""Ends the names of what was observed, and scored, on whole pictures where records have boxes."""


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
    class_files: tuple[str, ...] = ()
    """Names of files with one class a line that are read where ``dataset.yaml`` names none."""

    def claims(self, fields: Sequence[Mapping[str, str]]) -> float:
        """How sure it is that annotations with these fields are its own: 0 (not) to 1."""

    def parse(
        self,
        annotations: Sequence[Annotation],
        *,
        schema: Any = None,
        classes: Sequence[str] = (),
        options: DatasetOptions = NO_OPTIONS,
        skeleton: Skeleton | None = None,
    ) -> ParsedTargets:
        """Turns fields into targets.

        Args:
            annotations: of one data set, as a reader found them.
            schema: the schema of a trained model, whose targets these must be; None makes one.
            classes: the order of classes that the person asked for; empty for the default.
            options: of ``dataset.yaml``.
            skeleton: of the points in the fields, where the layout names them.

        Raises:
            DataError: nothing can be learned from these annotations.
        """

    def fit(self, target: Any, frame: Frame, options: DatasetOptions) -> Any:
        """The target, once it is known how its picture lies in the file; most do not depend on it.

        Raises:
            DataError: the target cannot belong to this picture; without the picture's name.
        """
        return target

    def strata(self, schema: Any, target: Any) -> tuple[str, ...]:
        """What the split keeps in equal proportions on all sides; at least one name."""
        return (self.name,)

    def parts(self, schema: Any) -> tuple[str, ...]:
        """Names of what the head gives, in order: classes, numbers or points."""

    def summarise(self, schema: Any, targets: Sequence[Any]) -> list[tuple[str, str]]:
        """Rows (name, text) that describe targets to a person: classes with counts, a range."""

    def schema_to_json(self, schema: Any) -> dict[str, Any]:
        """The schema as plain values for ``model.json``."""

    def schema_from_json(self, value: Mapping[str, Any]) -> Any:
        """Reads what ``schema_to_json`` wrote."""

    def facts(self, schema: Any) -> dict[str, str]:
        """Entries of ``metrics.json`` without which the scores cannot be understood."""
        return {}

    def target_to_json(self, schema: Any, target: Any) -> Any:
        """The target as plain values; equal ones mean the same."""

    def to_row(self, schema: Any, target: Any) -> Row:
        """The target as fields that ``parse`` reads."""

    def row_options(self, schema: Any) -> Mapping[str, Any]:
        """Entries of ``dataset.yaml`` beside such fields, so that ``parse`` makes this schema."""

    def decode(
        self,
        outputs: Outputs,
        schema: Any,
        calibration: Calibration,
        *,
        geometries: Sequence[Geometry],
        top_k: int | None = None,
    ) -> list[Any]:
        """Turns the outputs of a batch into answers; the only decoder of the task.

        Args:
            outputs: arrays (n, ...), float32.
            schema: of the model.
            calibration: of the model.
            geometries: how each of the n pictures lies in the graph's input.
            top_k: the most probable entries to keep; None keeps all.

        Returns:
            A ``Prediction`` for each picture.
        """

    def inspect(self, labelled: Sequence[Labelled], schema: Any) -> list[Issue]:
        """What is odd about targets that can be parsed; most tasks have nothing to add."""
        return []

    def contradicts(self, schema: Any, first: Any, second: Any) -> bool:
        """Whether two targets cannot both be right for copies, cropped or mirrored or not."""
        return bool(self.target_to_json(schema, first) != self.target_to_json(schema, second))

    def truth(self, schema: Any, target: Any) -> Any:
        """The prediction of a perfect model, so that a target can be drawn like one."""

    def agreement(self, first: Any, second: Any) -> float:
        """How far two predictions for one picture say the same: 0 to 1."""

    def draw(self, pixels: ImageArray, prediction: Any, schema: Any) -> Mapping[str, Image.Image]:
        """Pictures that show a prediction, by what their files' names get behind the picture's.

        Args:
            pixels: the upright picture (h, w, 3), uint8, RGB, at its original size.
            prediction: made by ``decode`` or ``truth``.
            schema: of the model.

        Returns:
            Under ``""`` the picture with the answer drawn in; further entries are the task's own.
        """


class TaskScorer(Protocol):
    """Metrics and calibration, from outputs of the runtime."""

    def observe(
        self,
        outputs: Outputs,
        answers: Sequence[Any],
        records: Sequence[Record],
        schema: Any,
    ) -> Outputs:
        """What calibration and scores need of a batch: arrays (n, ...); small outputs as they are.

        What this gives for a whole data set must fit into memory. ``answers`` are what the task's
        decoder made of the outputs.
        """
        return outputs

    def calibrate(
        self, observed: Outputs, targets: Sequence[Any], schema: Any, aim: str
    ) -> Calibration:
        """Fits the calibration on what was observed of a graph whose calibration is neutral.

        Args:
            observed: from the validation pictures.
            targets: of the same pictures.
            schema: of the training data.
            aim: what thresholds are to reach: ``f1``, ``precision>=p`` or ``recall>=r``.
        """
        return {}

    def score(
        self, observed: Outputs, records: Sequence[Record], schema: Any, calibration: Calibration
    ) -> dict[str, Metric]:
        """All metrics with 95 % intervals; the first one is that by which models are compared.

        Where records have boxes, ``observed`` has every entry a second time, under a name that ends
        in ``FULL_FRAME``: what was observed on the whole pictures.
        """

    def headline(
        self, observed: Outputs, records: Sequence[Record], schema: Any, calibration: Calibration
    ) -> Headline:
        """The first metric of ``score`` as a function of pictures, for paired comparisons."""

    def analyse(
        self,
        observed: Outputs,
        records: Sequence[Record],
        schema: Any,
        calibration: Calibration,
        scores: Mapping[str, Metric],
    ) -> list[Finding]:
        """What a person should look at: confusions, worst pictures, calibration.

        ``scores`` is what ``score`` gave for the same.
        """

    def out_of_fold(
        self, features: npt.NDArray[np.float32], records: Sequence[Record], schema: Any, seed: int
    ) -> tuple[str, Metric] | None:
        """Score of a simple head in 5-fold cross-validation on pooled features (n, channels).

        Returns:
            The metric's name and value, or None where there are too few pictures for five folds or
            the head does not take pooled features.
        """
        return None

    def doubts(
        self,
        features: npt.NDArray[np.float32],
        targets: Sequence[Any],
        groups: Sequence[str],
        schema: Any,
        seed: int,
    ) -> list[Doubt]:
        """Labels that a simple head contradicts that was fitted to the other pictures.

        Args:
            features: pooled, (n, channels).
            targets: of the same n pictures.
            groups: pictures of one group are never on both sides of a fold.
            schema: of the data.
            seed: of the folds.

        Returns:
            Most suspicious first; none where the task has no such test.

        Raises:
            DataError: there are too few pictures to tell.
        """
        return []


class TaskLearner(Protocol):
    """The torch half: head, loss, target encoding."""

    losses: tuple[str, ...]
    """Names of the losses to choose from; the first one is the default."""
    higher_is_better: bool
    """Direction of the metric that ``epoch_metric`` returns."""

    def defaults(self, schema: Any) -> TaskDefaults:
        """Settings for what the person leaves open."""

    def moves(self, schema: Any) -> bool:
        """Whether a target lies in the picture and moves with it from view to view."""
        return False

    def head(
        self, stages: Sequence[Stage], schema: Any, targets: Sequence[Any], options: HeadOptions
    ) -> torch.nn.Module:
        """The ``headstart.models.heads.Head`` from the backbone's feature maps to raw outputs.

        Args:
            stages: what comes out of each stage of the backbone.
            schema: of the training data.
            targets: of the training pictures, for a start; none where weights are loaded later.
            options: what the person chose.
        """

    def initialise(
        self,
        head: torch.nn.Module,
        features: npt.NDArray[np.float32],
        targets: Sequence[Any],
        schema: Any,
    ) -> None:
        """Puts the solution of a convex problem into a head that reduces its maps.

        Args:
            head: made by ``head``; changed in place.
            features: of ``head.reduce``, (views, n, channels), plain views first; may be changed.
            targets: of the n training pictures.
            schema: of the training data.
        """
        raise TypeError(f"{type(self).__name__} has a head that takes whole maps")

    def place(self, target: Any, schema: Any, geometry: Geometry) -> torch.Tensor:
        """Where ``moves`` is set: the target as a ``torchvision.tv_tensors`` tensor.

        Args:
            target: of one picture.
            schema: of the training data.
            geometry: how the original lies in the array that the views are made of. Points are
                placed in continuous coordinates, as torchvision's transforms resize them.
        """
        raise TypeError(f"targets of {type(self).__name__} have no place")

    def identity(self, target: Any, schema: Any) -> Any:
        """Where ``moves`` is set: plain values that differ when the encoded target differs.

        What a class is called, or where a file lies, must not be among them: views whose target
        stays the same are not computed again.
        """
        raise TypeError(f"targets of {type(self).__name__} have no place")

    def encode(self, target: Any, placed: Placed | None, schema: Any) -> torch.Tensor:
        """The target of one picture in one view, as the loss takes it.

        Args:
            target: of the picture.
            placed: where ``moves`` is set, what ``place`` gave after the view's transform.
            schema: of the training data.
        """

    def moved(self, target: Any, placed: Placed, schema: Any) -> Any:
        """Where ``moves`` is set: the target after a transform, for ``truth`` and ``to_row``."""
        raise TypeError(f"targets of {type(self).__name__} have no place")

    def in_view(self, encoded: torch.Tensor, schema: Any, size: Size) -> Any:
        """Where ``moves`` is set: an encoded target as a prediction that ``TaskSpec.draw`` takes.

        ``size`` is (height, width) of the view in pixels.
        """
        raise TypeError(f"targets of {type(self).__name__} have no place")

    def loss(
        self, head: torch.nn.Module, raw: torch.Tensor, encoded: torch.Tensor, objective: Objective
    ) -> torch.Tensor:
        """Mean loss of a batch, from the head's raw outputs."""

    def comparable(
        self, head: torch.nn.Module, raw: torch.Tensor, encoded: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs and targets of a batch in the same units: what a loss from outside is given."""
        return raw, encoded

    def statistics(
        self, head: torch.nn.Module, raw: torch.Tensor, encoded: torch.Tensor
    ) -> torch.Tensor:
        """What ``epoch_metric`` needs of each picture of a batch: (n, ...)."""

    def epoch_metric(self, statistics: torch.Tensor) -> tuple[float, float]:
        """The monitored metric of all pictures on stored features, and its standard error."""

    def finish(self, head: torch.nn.Module) -> torch.nn.Module:
        """From raw outputs to the graph's named outputs, as a tuple.

        Numbers that ``calibrate`` fits and that belong into the graph are buffers of the same name,
        here with their neutral value.
        """
