"""The Python API: one function for each verb, and the only place that strings stages together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.config import train_config
from headstart.errors import needing_extra
from headstart.jobs.cache_job import cache
from headstart.jobs.check_job import check
from headstart.jobs.collect_job import collect
from headstart.jobs.convert_job import convert
from headstart.jobs.evaluate_job import evaluate
from headstart.jobs.predict_job import load_model, predict
from headstart.jobs.split_job import split
from headstart.progress import Progress, QuietProgress

if TYPE_CHECKING:
    from headstart.jobs.augment_job import AugmentResult
    from headstart.jobs.export_job import ExportResult
    from headstart.jobs.lr_find_job import LrFindResult
    from headstart.jobs.show_job import ShowResult
    from headstart.jobs.train_job import TrainResult

__all__ = [
    "augment",
    "cache",
    "check",
    "collect",
    "convert",
    "evaluate",
    "export",
    "load_model",
    "lr_find",
    "predict",
    "show",
    "split",
    "train",
]


def train(
    data: str | Path,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    config: str | Path | None = None,
    progress: Progress | None = None,
    transform: Callable[..., Any] | None = None,
    loss_function: Callable[..., Any] | None = None,
    **settings: Any,
) -> TrainResult:
    """Trains a model on a folder of pictures, tests it, and exports it.

    Args:
        data: folder or CSV file with pictures and labels.
        out: run folder; None takes ``runs/<name of the data>`` with a number when that is taken.
        resume: continue the run in ``out`` (or the newest of this data) where it was stopped.
        config: YAML file with settings, such as the ``config.yaml`` of another run.
        progress: told what happens; None is silent.
        transform: makes the augmented views instead of ``augment`` and ``flip``, see
            docs/how-to/use-your-own-transform.md.
        loss_function: takes outputs and targets of a batch and returns what training minimises.
        settings: any field of ``headstart.config.TrainConfig``; they win over ``config``.

    Returns:
        Where everything lies, and the scores.

    Raises:
        HeadstartError: something in the input is wrong; the message says what and what to do.
    """
    with needing_extra("Training", "train"):
        from headstart.jobs.train_job import run_training
        from headstart.training.custom import Custom
    given: Mapping[str, Any] = {**settings, "data": Path(data)}
    return run_training(
        given,
        out=Path(out) if out is not None else None,
        resume=resume,
        file=Path(config) if config is not None else None,
        progress=progress or QuietProgress(),
        custom=Custom(transform, loss_function),
    )


def show(
    data: str | Path,
    *,
    out: str | Path | None = None,
    count: int | None = None,
    config: str | Path | None = None,
    progress: Progress | None = None,
    transform: Callable[..., Any] | None = None,
    **settings: Any,
) -> ShowResult:
    """Draws a batch as training sees it: views after augmentation, with their targets.

    Args:
        data: folder or CSV file with pictures and labels.
        out: PNG file; None takes ``runs/<name of the data>-batch.png``.
        count: views to draw; None takes a batch.
        config: YAML file with settings, such as the ``config.yaml`` of a run.
        progress: told what happens; None is silent.
        transform: makes the augmented views instead of ``augment`` and ``flip``, see
            docs/how-to/use-your-own-transform.md.
        settings: any field of ``headstart.config.TrainConfig``; they win over ``config``.

    Raises:
        HeadstartError: something in the input is wrong; the message says what and what to do.
    """
    with needing_extra("Showing views", "train"):
        from headstart.jobs.show_job import run_show
        from headstart.training.custom import Custom
    return run_show(
        {**settings, "data": Path(data)},
        out=Path(out) if out is not None else None,
        count=count,
        file=Path(config) if config is not None else None,
        progress=progress or QuietProgress(),
        custom=Custom(transform),
    )


def lr_find(
    data: str | Path,
    *,
    plot: str | Path | None = None,
    config: str | Path | None = None,
    progress: Progress | None = None,
    transform: Callable[..., Any] | None = None,
    loss_function: Callable[..., Any] | None = None,
    **settings: Any,
) -> LrFindResult:
    """Tries rising learning rates on the part that ``train`` would train, and suggests one.

    Makes no run folder; the views that it stores are those that ``train`` uses afterwards.

    Args:
        data: folder or CSV file with pictures and labels.
        plot: SVG file for the curve; None draws nothing.
        config: YAML file with settings.
        progress: told what happens; None is silent.
        transform: makes the augmented views instead of ``augment`` and ``flip``, see
            docs/how-to/use-your-own-transform.md.
        loss_function: takes outputs and targets of a batch and returns what training minimises.
        settings: any field of ``headstart.config.TrainConfig``; they win over ``config``.

    Returns:
        The suggestion and the curve.

    Raises:
        HeadstartError: something in the input is wrong; the message says what and what to do.
    """
    with needing_extra("Finding a learning rate", "train"):
        from headstart.jobs.lr_find_job import find_lr
        from headstart.training.custom import Custom
    return find_lr(
        {**settings, "data": Path(data)},
        plot=Path(plot) if plot is not None else None,
        file=Path(config) if config is not None else None,
        progress=progress or QuietProgress(),
        custom=Custom(transform, loss_function),
    )


def augment(
    data: str | Path,
    *,
    into: str | Path,
    times: int = 10,
    operations: str | Sequence[str] | None = None,
    config: str | Path | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> AugmentResult:
    """Writes a data set with augmented copies of the training pictures, targets moved along.

    Pictures of all sides are copied as they are; only those of the training split get augmented
    copies. Sides are decided as ``train`` would. The data is not changed.

    Args:
        data: folder or CSV file with pictures and labels.
        into: folder to write; must be new or empty, and not lie in the data.
        times: copies of each training picture.
        operations: names, or names separated by commas, of which every copy gets two or three;
            None takes all but ``channel-inversion``.
        config: YAML file with settings.
        progress: told what happens; None is silent.
        settings: fields of ``headstart.config.TrainConfig`` that choose pictures and sides (task,
            group, limit, ...), and the seed; they win over ``config``.

    Raises:
        ConfigError: an operation is unknown, or a setting invalid.
        DataError: the data cannot be used, or ``into`` is taken.
    """
    with needing_extra("Augmentation", "train"):
        from headstart.jobs.augment_job import run_augment
    return run_augment(
        train_config({**settings, "data": Path(data)}, Path(config) if config else None),
        into=Path(into),
        times=times,
        operations=operations,
        progress=progress or QuietProgress(),
    )


def export(
    model: str | Path,
    *,
    to: str | Sequence[str] = "onnx",
    precision: str | Sequence[str] = "fp32,fp16,int8",
    tolerance: float = 0.5,
    data: str | Path | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> ExportResult:
    """Converts a model, runs and scores every file, and hands over those that answer the same.

    Args:
        model: the model folder.
        to: formats: names, or one text with names separated by commas.
        precision: the same of precisions; one that only some formats have is made for those.
        tolerance: percentage points of the metric that a file may lose.
        data: pictures in any known layout to compare on; None takes those of the run that the model
            lies in.
        out: folder for the files; None takes ``exported`` in the run, or beside the model.
        progress: told what happens; None is silent.

    Returns:
        One row a file with its verdict; files that were refused are not written.

    Raises:
        ConfigError: lists every unknown format or precision and every missing extra.
        DataError: there are no pictures to compare on, or none for the ranges of int8.
        ModelError: the model cannot be loaded.
        MissingExtraError: the extra ``train`` is not installed.
    """
    with needing_extra("Exporting", "train"):
        from headstart.jobs.export_job import ExportOptions, run_export
    options = ExportOptions(
        to,
        precision,
        tolerance,
        Path(data) if data is not None else None,
        Path(out) if out is not None else None,
    )
    return run_export(Path(model), options, progress or QuietProgress())
