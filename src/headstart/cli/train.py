"""``headstart train``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from headstart import jobs
from headstart.cli.options import (
    AsJson,
    Augment,
    Backbone,
    BatchSize,
    ConfigFile,
    Flip,
    Group,
    ImageSize,
    LabelFrom,
    Limit,
    Resize,
    Seed,
    SplitStage,
    StartFrom,
    Strategy,
    Task,
    TrainSize,
    Views,
    Weights,
)
from headstart.progress import ConsoleProgress

EXAMPLES = r"""Examples:

  headstart train photos/

  headstart train photos/ --out runs/second --epochs 20 --seed 1

  headstart train pets/ --label-from "([^/]+)_\d+\.jpg$"

  headstart train labels.csv --limit 200 --strategy features

  headstart train photos/ --budget 5m

  headstart train photos/ --backbone resnet50 --weights resnet50.safetensors

  headstart train photos/ --backbone efficientnet_lite0,efficientnet_lite2

  headstart train streets/ --image-size 352x480

  headstart train photos/ --image-size 320 --train-size 288

  headstart train points.csv --normalise-by 36,45

  headstart train tags.csv --threshold-aim "precision>=0.9"

  headstart train photos/ --group folder:2

  headstart train photos/ --splits splits.csv

  headstart train more-photos/ --from runs/photos/model

  headstart train photos/ --strategy full --device cuda

  headstart train photos/ --cache-size 20GB

  headstart train photos/ --out runs/second --resume
"""


AFTER_STOP = "repeat the command with --resume, and it goes on where it was"

NO_SETTINGS = frozenset({"data", "out", "config", "resume", "as_json"})
"""Parameters of the verb that are no field of the configuration."""


Budget = Annotated[str | None, typer.Option(metavar="TIME", help="Of the whole run, such as 5m.")]
NormaliseBy = Annotated[
    str | None, typer.Option(metavar="I,J", help="Points whose distance divides errors.")
]
ThresholdAim = Annotated[
    str | None, typer.Option(metavar="AIM", help="f1, precision>=P or recall>=R.")
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps, to train on  [default: cpu]")]
Splits = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Sides of pictures, from headstart split.")
]
AllowLeak = Annotated[
    bool | None, typer.Option("--allow-leak", help="Train although the given split leaks.")
]
QuantizeAware = Annotated[
    bool | None, typer.Option("--quantize-aware", help="Go on in 8 bits, for int8 files.")
]
Schedule = Annotated[str | None, typer.Option(help="one-cycle, cosine, plateau or constant.")]
CacheSize = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Of the whole cache  [default: 50GB]")
]
Logger = Annotated[
    str | None, typer.Option(help="tensorboard, wandb or none  [default: tensorboard]")
]


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("train", epilog=EXAMPLES)(train)


def train(
    data: Annotated[
        Path, typer.Argument(help="Folder with pictures in class folders or with masks, or a CSV.")
    ],
    *,
    out: Annotated[Path | None, typer.Option(help="Run folder  [default: runs/NAME]")] = None,
    task: Task = None,
    label_from: LabelFrom = None,
    backbone: Backbone = None,
    weights: Weights = None,
    start_from: StartFrom = None,
    strategy: Strategy = None,
    budget: Budget = None,
    epochs: Annotated[int | None, typer.Option(help="Of head and last stages.")] = None,
    freeze_epochs: Annotated[int | None, typer.Option(help="Of the head alone, before.")] = None,
    lr: Annotated[float | None, typer.Option(help="Peak learning rate of the head.")] = None,
    loss: Annotated[str | None, typer.Option(help="[default: that of the task]")] = None,
    normalise_by: NormaliseBy = None,
    threshold_aim: ThresholdAim = None,
    schedule: Schedule = None,
    batch_size: BatchSize = None,
    image_size: ImageSize = None,
    train_size: TrainSize = None,
    resize: Resize = None,
    split_stage: SplitStage = None,
    views: Views = None,
    augment: Augment = None,
    mixup: Annotated[float | None, typer.Option(help="Mix pictures, Beta(X, X).")] = None,
    cutmix: Annotated[float | None, typer.Option(help="The same in rectangles.")] = None,
    sampler: Annotated[str | None, typer.Option(help="uniform or balanced.")] = None,
    head: Annotated[str | None, typer.Option(help="linear, stats, mlp or lse.")] = None,
    steps_per_epoch: Annotated[int | None, typer.Option(help="Instead of all pictures.")] = None,
    keep_checkpoints: Annotated[str | None, typer.Option(help="best or all.")] = None,
    quantize_aware: QuantizeAware = None,
    train_norms: Annotated[
        bool | None, typer.Option("--train-norms", help="Adapt normalisation, too.")
    ] = None,
    flip: Flip = None,
    tta: Annotated[
        str | None, typer.Option(help="Mean over mirror images: none, horizontal or both.")
    ] = None,
    limit: Limit = None,
    device: Device = None,
    splits: Splits = None,
    group: Group = None,
    allow_leak: AllowLeak = None,
    cache_size: CacheSize = None,
    logger: Logger = None,
    seed: Seed = None,
    config: ConfigFile = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a stopped run.")] = False,
    as_json: AsJson = False,
) -> None:
    """Train, test and export a model."""
    settings = {name: value for name, value in locals().items() if name not in NO_SETTINGS}
    result = jobs.train(
        data, out=out, resume=resume, config=config, progress=ConsoleProgress(), **settings
    )
    if as_json:
        typer.echo(json.dumps(result.to_json(), ensure_ascii=False))
