"""Starting from a model of an earlier run instead of from the pretrained weights."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load

from headstart import tasks
from headstart.config import TrainConfig
from headstart.errors import ConfigError, DataError
from headstart.models.network import Network
from headstart.runtime.model_folder import (
    WEIGHTS,
    ModelDescription,
    checked_bytes,
    read_description,
)
from headstart.types import Manifest, Omission

State = Mapping[str, torch.Tensor]

HEAD = "head."


@dataclasses.dataclass(frozen=True)
class WarmStart:
    """An earlier model.

    Attributes:
        folder: of the model.
        description: its ``model.json``.
        state: tensors of its network by name.
        key: hash of the tensors' file.
    """

    folder: Path
    description: ModelDescription
    state: State
    key: str

    @property
    def seen(self) -> frozenset[str]:
        """Fingerprints of the pictures that it was trained or validated on."""
        return frozenset(found for side in self.description.seen.values() for found in side)


def with_its_backbone(config: TrainConfig) -> TrainConfig:
    """The configuration with the backbone of the model that it starts from, unless it names one."""
    if config.start_from is None or "backbone" in config.model_fields_set:
        return config
    return config.model_copy(update={"backbone": read_description(config.start_from).backbone})


def with_its_head(config: TrainConfig, task: str) -> TrainConfig:
    """The configuration with the head of the model that it starts from, unless it names one.

    Raises:
        ConfigError: the model is for another task than the pictures.
    """
    if config.start_from is None:
        return config
    description = read_description(config.start_from)
    if description.task != task:
        raise ConfigError([f"--from must be a model for {task}, got one for {description.task}"])
    if config.head is not None or description.head is None:
        return config
    return config.model_copy(update={"head": description.head})


def read_start(config: TrainConfig) -> WarmStart | None:
    """The model that the run starts from; None where it starts from the pretrained weights.

    Raises:
        ConfigError: its backbone is another one.
        ModelError: it cannot be read, or was altered.
    """
    folder = config.start_from
    if folder is None:
        return None
    description = read_description(folder)
    if description.backbone != config.backbone:
        problem = (
            f"--backbone must be {description.backbone} as in {folder}, got {config.backbone!r}"
        )
        raise ConfigError([problem])
    content = checked_bytes(folder, description, WEIGHTS)
    return WarmStart(folder, description, load(content), hashlib.sha256(content).hexdigest())


def adopt(network: Network, start: WarmStart, manifest: Manifest) -> bool:
    """Takes over the backbone's weights, and of the head what still fits.

    Rows of the head's last layer are found again by their names, so that classes may be added, left
    out and put in another order.

    Args:
        network: untrained; changed in place.
        start: the earlier model.
        manifest: of this run.

    Returns:
        Whether the head knows everything that the manifest has.
    """
    spec = tasks.spec(manifest.task)
    old, new = spec.parts(start.description.schema), spec.parts(manifest.schema)
    state = network.state_dict()
    complete = set(new) <= set(old)
    for name, tensor in state.items():
        stored = start.state.get(name)
        if stored is None:
            complete = False
        elif name.startswith(HEAD) and old != new and stored.shape[:1] == (len(old),):
            state[name] = _by_name(tensor, stored, old, new)
        elif stored.shape == tensor.shape:
            state[name] = stored
        else:
            complete = False
    network.load_state_dict(state)
    network.backbone.weights_key = start.key
    return complete


def without_leaks(manifest: Manifest, start: WarmStart) -> Manifest:
    """Leaves out validation and test pictures that the earlier model has learned from.

    Raises:
        DataError: no test picture is left.
    """
    leaked = [
        record
        for record in manifest.on("val", "test")
        if record.fingerprint in start.seen
        and not (record.split == "val" and record.fingerprint in start.description.seen["val"])
    ]
    if not leaked:
        return manifest
    reason = f"{start.folder} has learned from it, and it lies on the other side here"
    omitted = tuple(Omission(record.image, reason) for record in leaked)
    names = {record.image for record in leaked}
    kept = tuple(record for record in manifest.records if record.image not in names)
    left = dataclasses.replace(manifest, records=kept, omissions=(*manifest.omissions, *omitted))
    for side in ("val", "test"):
        if not left.on(side):
            raise DataError(
                f"no {side} picture is left: {start.folder} has learned from all of them; "
                "add pictures that it has not seen, or train without --from"
            )
    return left


def _by_name(
    fresh: torch.Tensor, stored: torch.Tensor, old: Sequence[str], new: Sequence[str]
) -> torch.Tensor:
    """Rows of the new tensor, taken from the stored one where it has a row of that name."""
    rows = fresh.clone()
    if fresh.shape[1:] != stored.shape[1:] or len(fresh) != len(new):
        return rows
    for at, name in enumerate(new):
        if name in old:
            rows[at] = stored[old.index(name)]
    return rows
