"""Typed configuration: flags, YAML files and ``dataset.yaml``; all errors are reported at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from headstart.errors import ConfigError, DataError
from headstart.types import Size

MIN_SIDE = 32
"""Smallest side of the training size in pixels: the last feature map has one cell there."""

DeviceName = Literal["cpu", "cuda", "mps"]
LoggerName = Literal["tensorboard", "wandb", "none"]
Schedule = Literal["one-cycle", "cosine", "plateau", "constant"]
Mirroring = Literal["none", "horizontal", "both"]
Strategy = Literal["features", "finetune", "full"]
DATASET_FILE = "dataset.yaml"
UNITS = {"kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
CACHE_SIZE = 50_000_000_000


def parse_size(value: Any) -> Any:
    """Reads ``224``, ``"224"``, ``"240x320"`` or ``[240, 320]`` as (height, width)."""
    if value is None:
        return None
    parts = value.lower().split("x") if isinstance(value, str) else value
    parts = list(parts) if isinstance(parts, list | tuple) else [parts]
    sides = [str(part).strip() for part in parts]
    if len(sides) not in (1, 2) or not all(side.isdecimal() for side in sides):
        raise ValueError("must be N or HxW, for example 224 or 240x320")
    size = (int(sides[0]), int(sides[-1]))
    if min(size) < MIN_SIDE:
        raise ValueError(f"must be at least {MIN_SIDE} on both sides")
    return size


def sides_text(size: Sequence[int]) -> str:
    """A (height, width) as ``parse_size`` reads it, such as ``240x320``."""
    return "x".join(map(str, size))


def parse_pair(value: Any) -> Any:
    """Reads ``"36,45"`` or ``[36, 45]`` as two whole numbers that differ."""
    parts = value.split(",") if isinstance(value, str) else value
    texts = [str(part).strip() for part in parts] if isinstance(parts, list | tuple) else []
    if value is None:
        return None
    if len(texts) != 2 or not all(text.isdecimal() for text in texts) or texts[0] == texts[1]:
        raise ValueError("must be two different whole numbers, for example 36,45")
    return int(texts[0]), int(texts[1])


def parse_pattern(value: Any) -> Any:
    """Checks a regular expression that takes a label out of a name."""
    if not isinstance(value, str):
        return value
    try:
        found = re.compile(value)
    except re.error as error:
        raise ValueError(f"must be a regular expression ({error})") from error
    if not found.groups:
        raise ValueError(r"must have the label in brackets, for example '(.+)_\d+\.jpg$'")
    if found.groupindex and not {"label"} <= set(found.groupindex) <= {"label", "group", "split"}:
        raise ValueError("must name its groups label, group or split, and label among them")
    return value


LabelPattern = Annotated[str, BeforeValidator(parse_pattern)]
"""A regular expression with a group for the label."""


def parse_duration(value: Any) -> Any:
    """Reads ``90s``, ``5m``, ``1.5h``, or a number of seconds."""
    if not isinstance(value, str):
        return value
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh]?)", value.strip().lower())
    if found is None:
        raise ValueError("must be a time, for example 90s, 5m or 1h")
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]


def parse_bytes(value: Any) -> Any:
    """Reads ``"20GB"``, ``"1.5 MB"`` or ``20000000000`` as a number of bytes."""
    text = str(value).strip().lower()
    unit = next((unit for unit in UNITS if text.endswith(unit)), "")
    number = text.removesuffix(unit).strip()
    if not number.replace(".", "", 1).isdecimal():
        raise ValueError("must be a number of bytes, or one with kB, MB, GB or TB such as 20GB")
    return round(float(number) * UNITS.get(unit, 1))


def without_spaces(value: str) -> str:
    """Names separated by commas, with nothing around them."""
    return ",".join(name.strip() for name in value.split(","))


def path_as_text(value: Any) -> Any:
    """Takes a path where text is expected too."""
    return str(value) if isinstance(value, Path) else value


def parse_group(value: Any) -> Any:
    """Checks a rule of ``headstart.data.grouping``: a column's name, or ``kind:argument``."""
    if not isinstance(value, str):
        return value
    kind, _, argument = value.partition(":")
    possible = True
    try:
        if kind == "name":
            re.compile(argument)
        elif kind == "folder":
            possible = int(argument) != 0
        elif kind == "burst":
            possible = float(argument) > 0
    except (ValueError, re.error):
        possible = False
    if not possible:
        raise ValueError(
            "must be folder:N (not 0), name:REGEX, burst:SECONDS or the name of a column"
        )
    return value


class TrainConfig(BaseModel):
    """Everything that decides what ``train`` does; None leaves the choice to task and plan.

    The resolved configuration is written to ``config.yaml`` in the run and can be given back with
    ``--config``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Path
    # Name of the task; None infers it from the labels.
    task: str | None = None
    # The pretrained network whose first stages stay frozen: efficientnet_lite0, 1 and 2 are
    # installed, every other convolutional or hybrid network of timm is fetched. Several, separated
    # by commas, work side by side.
    backbone: Annotated[str, AfterValidator(without_spaces)] = "efficientnet_lite0"
    # File with weights for the backbone (safetensors or state dict, timm's names), NAME=FILE,...
    # for several; None takes the usual pretrained ones.
    weights: Annotated[str | None, BeforeValidator(path_as_text)] = None
    # Model folder of an earlier run to start from, instead of the pretrained weights.
    start_from: Path | None = None
    # features trains the head alone, finetune the head and the last stages, full everything.
    strategy: Strategy = "finetune"
    # Time that the whole run may take: 90s, 5m or 1h; stage, views, epochs and size follow from it.
    budget: Annotated[Annotated[float, Field(ge=10)] | None, BeforeValidator(parse_duration)] = None
    # Passes over the training pictures in the second phase (head and last stages).
    epochs: Annotated[int | None, Field(ge=1, le=10_000)] = None
    # Passes in the first phase (head alone); the only phase of the strategy 'features'.
    freeze_epochs: Annotated[int | None, Field(ge=0, le=10_000)] = None
    # Peak learning rate of the head in the second phase; the stages get lr * stage_lr_factor.
    lr: Annotated[float | None, Field(gt=0, le=10)] = None
    # How learning rates change: one-cycle rises and falls, cosine falls, plateau halves after 5
    # epochs without progress on validation, constant stays.
    schedule: Schedule = "one-cycle"
    # Peak learning rate of the first phase, which starts from the solution of a convex problem.
    head_lr: Annotated[float, Field(gt=0, le=10)] = 1e-3
    # What training minimises; None takes the task's default.
    loss: str | None = None
    # Mixes pairs of pictures and their targets, with a share drawn from Beta(x, x); 0 for never.
    mixup: Annotated[float, Field(ge=0, le=10)] = 0.0
    # The same by pasting a rectangle of one picture into the other (strategy 'full' only).
    cutmix: Annotated[float, Field(ge=0, le=10)] = 0.0
    # uniform sees every picture once an epoch, balanced sees rare classes as often as common ones.
    sampler: Literal["uniform", "balanced"] = "uniform"
    # Steps of an epoch; None takes as many as there are batches of pictures.
    steps_per_epoch: Annotated[int | None, Field(ge=1)] = None
    # best keeps the state that validation chose, all keeps that of every epoch beside it.
    keep_checkpoints: Literal["best", "all"] = "best"
    # Goes on with the last stages under the rounding of 8 bits, for exported int8 files.
    quantize_aware: bool = False
    # Whether normalisation layers of the stages that train learn new statistics.
    train_norms: bool = False
    # Pictures in one step of the optimizer.
    batch_size: Annotated[int | None, Field(ge=2, le=4096)] = None
    # (height, width) in pixels; multiples of 32 lose nothing at the borders.
    image_size: Annotated[Size | None, BeforeValidator(parse_size)] = None
    # The same of the views that are trained on, at most the image_size that validation and test
    # see; None takes that.
    train_size: Annotated[Size | None, BeforeValidator(parse_size)] = None
    # crop fills the input and cuts what stands over, letterbox shows everything with grey bars,
    # squash changes the aspect ratio.
    resize: Literal["letterbox", "crop", "squash"] | None = None
    # First stage that trains in the second phase; None lets the plan fit it to the work.
    split_stage: Annotated[int | None, Field(ge=0)] = None
    # Augmented views stored for each training picture, beside the plain one.
    views: Annotated[int | None, Field(ge=0, le=100)] = None
    # How far augmented views are from the picture, and which mirror images mean the same.
    augment: Literal["none", "light", "standard", "strong"] | None = None
    flip: Mirroring | None = None
    # The trained model answers with the mean over the picture and its mirror images, which takes 2
    # (horizontal) or 4 (both) times as long.
    tta: Mirroring = "none"
    # Use at most this many pictures, chosen evenly over the classes: for a quick try.
    limit: Annotated[int | None, Field(ge=1)] = None
    # CSV file with the columns image and split, as `headstart split` writes it; wins over the sides
    # that the data gives.
    splits: Path | None = None
    # What stays on one side of the split: a column's name, folder:N, name:REGEX or burst:SECONDS.
    group: Annotated[str | None, BeforeValidator(parse_group)] = None
    # Trains although the given split has copies of a file, or a group, on two sides.
    allow_leak: bool = False
    # Regular expression that takes the label out of each picture's path, in brackets.
    label_from: LabelPattern | None = None
    # Decides views, order and dropout; the split does not depend on it.
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    # Two points, numbered from 0, whose distance errors are divided by.
    normalise_by: Annotated[tuple[int, int] | None, BeforeValidator(parse_pair)] = None
    # What thresholds are fitted for, where a task has them: f1, precision>=P or recall>=R.
    threshold_aim: Annotated[
        str, Field(pattern=r"^(f1|(precision|recall)>=(0?\.\d+|1|1\.0+))$")
    ] = "f1"
    # Learning rate of the stages as a share of lr; less than 1 changes the backbone less.
    stage_lr_factor: Annotated[float, Field(gt=0, le=1)] = 0.3
    # Of AdamW, on weights with more than one dimension.
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.05
    # Share of the target that is spread over all classes.
    label_smoothing: Annotated[float | None, Field(ge=0, lt=1)] = None
    # linear is one layer on the mean of the last map, stats one on mean and standard deviation of
    # the last three, mlp puts a hidden layer of 128 before it, lse pools the logits of all
    # positions by log-sum-exp; None takes the task's.
    head: Literal["linear", "stats", "mlp", "lse"] | None = None
    # Probability that the head does not see a feature in a training step; None takes the task's.
    dropout: Annotated[float | None, Field(ge=0, lt=1)] = None
    # Epochs without progress on validation before the second phase ends early.
    patience: Annotated[int, Field(ge=1)] = 20
    # Where torch trains and the frozen part runs; export and scores stay on the processor.
    device: DeviceName = "cpu"
    # Runs the frozen part, and arithmetic of training; None takes the fastest for the processor.
    engine: str | None = None
    precision: Literal["bf16-mixed", "32-true"] | None = None
    # Bytes that stored views may take before the plan stores fewer.
    max_store_bytes: Annotated[int, Field(ge=1_000_000)] = 20_000_000_000
    # Bytes that the whole cache may take; over it what was used longest ago is removed, but nothing
    # that is in use.
    cache_size: Annotated[int, BeforeValidator(parse_bytes)] = CACHE_SIZE
    # Where the curves of training go; wandb stays offline unless WANDB_MODE says otherwise.
    logger: LoggerName = "tensorboard"

    @property
    def backbones(self) -> tuple[str, ...]:
        """Names of the backbones; usually one."""
        return tuple(self.backbone.split(","))

    def to_yaml(self) -> str:
        """The content of ``config.yaml``."""
        values = self.model_dump(mode="json")
        for name in ("image_size", "train_size"):
            if values[name] is not None:
                values[name] = sides_text(values[name])
        return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


class DatasetOptions(BaseModel):
    """``dataset.yaml`` beside the data: what the files cannot say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str | None = None
    # Class names in order, or the name of a text file with one class a line.
    classes: tuple[str, ...] | str | None = None
    # Column of the CSV whose equal values stay on one side of the split, or folder:N, name:REGEX,
    # burst:SECONDS.
    group: Annotated[str | None, BeforeValidator(parse_group)] = None
    # Separator of the names in a column of labels.
    separator: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    # Value in masks that counts for nothing.
    ignore_index: int | None = None
    # Whether masks lie like the stored pictures (and are turned with them) or like upright ones.
    mask_frame: Literal["stored", "upright"] | None = None
    normalise_by: Annotated[tuple[int, int] | None, BeforeValidator(parse_pair)] = None
    # Smallest and largest value that a number can have.
    range: tuple[float, float] | None = None
    # What the points of a column 'points' are called, which of them a line joins, and which change
    # places in a mirrored picture.
    points: tuple[str, ...] | None = None
    bones: tuple[tuple[int, int], ...] | None = None
    flip_pairs: tuple[tuple[int, int], ...] | None = None
    # Regular expression for the label in a picture's path below the folder: its group in brackets,
    # or those named label, group and split.
    label_from: LabelPattern | None = None


def train_config(values: Mapping[str, Any], file: Path | None = None) -> TrainConfig:
    """Builds the configuration from a YAML file and from values that win over it.

    Args:
        values: settings that were given; those that are None were not.
        file: YAML file with further settings.

    Raises:
        ConfigError: lists every invalid setting.
    """
    merged: dict[str, Any] = _read_yaml(file) if file else {}
    merged.update({name: value for name, value in values.items() if value is not None})
    try:
        return TrainConfig.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(_sentences(error, "--{}", TrainConfig)) from error


def dataset_options(root: Path) -> DatasetOptions:
    """Reads ``dataset.yaml`` in a folder; without one, everything is unset.

    Raises:
        ConfigError: lists every invalid setting.
    """
    path = root / DATASET_FILE
    if not path.is_file():
        return DatasetOptions()
    try:
        return DatasetOptions.model_validate(_read_yaml(path))
    except ValidationError as error:
        raise ConfigError(_sentences(error, f"{path}: {{}}", DatasetOptions)) from error


def class_names(options: DatasetOptions, root: Path, usual: Sequence[str] = ()) -> tuple[str, ...]:
    """The classes in the order that ``dataset.yaml`` or a file asks for; empty when none does.

    Args:
        options: of ``dataset.yaml``.
        root: of the data set.
        usual: names of files that are read where ``dataset.yaml`` says nothing.

    Raises:
        DataError: the named file cannot be read.
    """
    named = options.classes
    if named is None:
        named = next((name for name in usual if (root / name).is_file()), None)
    if isinstance(named, str):
        path = root / named
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path} cannot be read as UTF-8 text: {error}") from error
        return tuple(line.strip() for line in lines if line.strip())
    return named or ()


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError([f"{path} cannot be read: {error.strerror or error}"]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        problem = " ".join(str(error).split())
        raise ConfigError([f"{path} is not valid YAML: {problem}"]) from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ConfigError([f"{path} must hold 'name: value' lines, got {type(value).__name__}"])
    return value


def _sentences(error: ValidationError, pattern: str, model: type[BaseModel]) -> list[str]:
    sentences = []
    for problem in error.errors():
        name = str(problem["loc"][0]) if problem["loc"] else "configuration"
        shown = pattern.format(name.replace("_", "-") if pattern.startswith("--") else name)
        if problem["type"] == "extra_forbidden":
            known = ", ".join(model.model_fields)
            sentences.append(f"{shown} is no known setting; known are {known}")
            continue
        if problem["type"] == "missing" and len(problem["loc"]) == 1:
            sentences.append(f"{shown} is required")
            continue
        if problem["type"] == "missing":
            sentences.append(f"{shown} must have more values, got {problem['input']!r}")
            continue
        # pydantic writes "Input should be ..." and "Tuple should have ...".
        text = problem["msg"].removeprefix("Value error, ").partition(" should ")[2]
        text = f"must {text}" if text else problem["msg"].removeprefix("Value error, ")
        sentences.append(f"{shown} {text}, got {problem['input']!r}")
    return sentences
