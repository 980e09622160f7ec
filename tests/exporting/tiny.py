"""A network of three small stages: exported and written as a model folder within seconds."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from headstart import tasks
from headstart.exporting.bundle import write_model_folder
from headstart.exporting.card import model_card
from headstart.exporting.graph import Deployed, export_graph, set_constant
from headstart.models.backbones import Backbone, BackboneInfo
from headstart.models.heads import Head
from headstart.models.network import Network
from headstart.runtime.backends.onnx import OnnxBackend
from headstart.runtime.model_folder import ModelDescription
from headstart.runtime.preprocess import Preprocess
from headstart.tasks.learning import HeadOptions
from headstart.types import ImageArray, Size, Stage

TINY_SIZE: Size = (32, 32)
CHANNELS = 12


INFO = BackboneInfo(
    name="tiny",
    timm_name="none",
    mean=(0.4, 0.5, 0.6),
    std=(0.2, 0.25, 0.3),
    package=None,
    license="none",
    source="random numbers",
)


def tiny_backbone(seed: int = 0, depth: int = 3) -> Backbone:
    """Convolutions with BatchNorm whose statistics differ from those of a new layer.

    Each of the stages halves the picture; from five on there is one more that does not, as in the
    real backbones.
    """
    torch.manual_seed(seed)
    channels = [3, *(6 + 2 * number for number in range(depth - 1)), CHANNELS]
    stages: list[nn.Module] = []
    outputs = []
    for number, (before, after) in enumerate(itertools.pairwise(channels)):
        norm = nn.BatchNorm2d(after)
        norm.running_mean = 0.1 * torch.randn(after)
        norm.running_var = torch.rand(after) + 0.5
        layer = nn.Conv2d(before, after, 3, 2 if number < 5 else 1, 1)
        nn.init.kaiming_normal_(layer.weight)
        stages.append(nn.Sequential(layer, norm, nn.ReLU6()))
        outputs.append(Stage(after, 2 ** min(number + 1, 5)))
    return Backbone(INFO, stages, outputs, "random").eval()


def tiny_network(task: str, schema: Any, targets: Sequence[Any], seed: int = 0) -> Network:
    """A network whose head has random weights, so that its answers differ by picture."""
    backbone = tiny_backbone(seed, depth=6)
    head = tasks.learner(task).head(backbone.outputs, schema, targets, HeadOptions())
    assert isinstance(head, Head)
    for parameter in head.parameters():
        nn.init.normal_(parameter)
    return Network(backbone, head).eval()


def deployed(task: str, network: Network) -> Deployed:
    return Deployed(network, tasks.learner(task).finish(network.head))


def random_inputs(count: int, size: Size = TINY_SIZE, seed: int = 0) -> ImageArray:
    """Pictures (count, *size, 3), uint8."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (count, size[0] // 8, size[1] // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def write_tiny_model(
    folder: Path,
    task: str,
    schema: Any,
    targets: Sequence[Any],
    *,
    calibration: Mapping[str, float] | None = None,
    seen: Mapping[str, tuple[str, ...]] | None = None,
) -> ModelDescription:
    """Exports a tiny network and writes its model folder."""
    spec = tasks.spec(task)
    network = tiny_network(task, schema, targets)
    whole = deployed(task, network)
    graph = export_graph(whole, spec.outputs, TINY_SIZE)
    for name, _ in whole.finish.named_buffers():
        if name in (calibration or {}):
            set_constant(graph, name, (calibration or {})[name])
    return write_folder_of(folder, graph, network, task, schema, calibration or {}, seen or {})


def write_folder_of(
    folder: Path,
    graph: onnx.ModelProto,
    network: Network,
    task: str,
    schema: Any,
    calibration: Mapping[str, float],
    seen: Mapping[str, tuple[str, ...]],
) -> ModelDescription:
    """Writes the model folder of a graph of the size ``TINY_SIZE``."""
    info = network.backbone.info
    description = ModelDescription(
        task=task,
        schema=schema,
        preprocess=Preprocess(TINY_SIZE),
        calibration=calibration,
        backbone=info.name,
        head=None,
        outputs=tasks.spec(task).outputs,
        seen=seen,
        files={},
        details={
            "headstart_version": "0.0.0",
            "weights": {"license": info.license, "source": info.source},
            "agreement": {
                "checked_by": "nobody",
                "n_images": 0,
                "max_difference": 0.0,
                "answers": 1.0,
            },
            "test": {"n_images": 0, "metrics": {}},
        },
    )
    card = model_card(description, folder.name, {"train": 1, "val": 1, "test": 1})
    golden = (OnnxBackend(graph.SerializeToString()), list(random_inputs(3)))
    return write_model_folder(folder, description, graph, network.state_dict(), card, golden)
