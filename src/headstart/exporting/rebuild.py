"""Builds the network of a model folder again in torch, from its weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load

from headstart import tasks
from headstart.errors import ModelError
from headstart.exporting.graph import Deployed
from headstart.models.backbones import Backbone
from headstart.models.heads import Head
from headstart.models.network import Network
from headstart.models.several import load_backbones
from headstart.runtime.model_folder import WEIGHTS, ModelDescription, checked_bytes
from headstart.tasks.learning import HeadOptions


def rebuild(folder: Path, description: ModelDescription) -> Deployed:
    """The network that a model folder holds: float32, evaluation mode, calibrated.

    Raises:
        ModelError: the weights were altered, or fit no network that this version builds.
    """
    state = load(checked_bytes(folder, description, WEIGHTS))
    names = description.backbone.split(",")
    backbone = load_backbones(names, pretrained=False, head=description.head)
    return with_state(backbone, state, description, f"{folder / WEIGHTS}")


def with_state(
    backbone: Backbone, state: Mapping[str, torch.Tensor], description: ModelDescription, name: str
) -> Deployed:
    """A backbone with the head whose tensors these are.

    Args:
        backbone: untrained.
        state: tensors of the network.
        description: of the model.
        name: of the file with the tensors, for the error.

    Raises:
        ModelError: no head of the task has these tensors.
    """
    learner = tasks.learner(description.task)
    kinds = learner.defaults(description.schema).heads
    # Of models that do not say which head they have, the tensors do.
    for kind in [found for found in kinds if description.head in (None, found)]:
        head = learner.head(backbone.outputs, description.schema, [], HeadOptions(kind))
        if not isinstance(head, Head):
            raise TypeError(f"the head of a task must be a Head, got {type(head).__name__}")
        network = Network(backbone, head)
        shapes = {key: tensor.shape for key, tensor in network.state_dict().items()}
        if shapes == {key: tensor.shape for key, tensor in state.items()}:
            network.load_state_dict(dict(state))
            deployed = Deployed(network, learner.finish(head), description.tta).eval()
            for key, buffer in deployed.finish.named_buffers():
                if key in description.calibration:
                    buffer.fill_(description.calibration[key])
            return deployed
    raise ModelError(
        f"{name} does not fit the network of {description.backbone} for {description.task}: "
        "it was trained with another version of headstart; train it again"
    )
