"""The tasks: one folder each, found by listing this package; nothing outside names one.

A task's folder holds ``spec`` (the half that runs without torch: targets, decoding), ``score``
(metrics and calibration: numpy, scikit-learn, scipy) and ``learn`` (the torch half). The halves are
imported when they are needed, so that ``predict`` loads neither scikit-learn nor torch.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, cast

from headstart.errors import ConfigError, DataError, needing_extra
from headstart.types import Annotation

if TYPE_CHECKING:
    from headstart.tasks.protocol import TaskLearner, TaskScorer, TaskSpec


@functools.cache
def task_names() -> tuple[str, ...]:
    """Names of all tasks, in alphabetical order."""
    return tuple(sorted(entry.name for entry in pkgutil.iter_modules(__path__) if entry.ispkg))


def spec(name: str) -> TaskSpec:
    """The torch-free half of a task.

    Raises:
        ConfigError: there is no such task.
    """
    if name not in task_names():
        raise ConfigError([f"task must be one of {', '.join(task_names())}, got {name!r}"])
    return cast("TaskSpec", importlib.import_module(f"{__name__}.{name}.spec").SPEC)


def scorer(name: str) -> TaskScorer:
    """Metrics and calibration of a task.

    Raises:
        MissingExtraError: the extra ``train`` is not installed.
    """
    return cast("TaskScorer", _half(name, "score", "Scoring").SCORER)


def learner(name: str) -> TaskLearner:
    """The torch half of a task.

    Raises:
        MissingExtraError: the extra ``train`` is not installed.
    """
    return cast("TaskLearner", _half(name, "learn", "Training").LEARNER)


def infer(annotations: Sequence[Annotation]) -> str:
    """The task whose targets the annotations hold.

    Raises:
        DataError: no task knows these fields.
    """
    fields = [annotation.fields for annotation in annotations]
    claims = {name: spec(name).claims(fields) for name in task_names()}
    best = max(claims, key=lambda name: claims[name])
    if claims[best] <= 0:
        found = sorted({key for entry in fields for key in entry})
        raise DataError(
            f"cannot tell the task from the fields {', '.join(found) or '(none)'}: "
            f"say --task with one of {', '.join(task_names())}"
        )
    return best


def _half(name: str, half: str, purpose: str) -> ModuleType:
    spec(name)
    with needing_extra(purpose, "train"):
        return importlib.import_module(f"{__name__}.{name}.{half}")
