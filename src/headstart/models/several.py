"""Several backbones side by side, which together are one backbone of a single stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from headstart.errors import ConfigError
from headstart.models.backbones import Backbone, BackboneInfo, backbone_info, load_backbone
from headstart.models.heads import pooling
from headstart.storage import content_key
from headstart.types import Size, Stage


def check_backbones(names: Sequence[str]) -> None:
    """Looks for mistakes in the names of backbones, without building any.

    Raises:
        ConfigError: lists every unknown name and every one that is there twice.
    """
    problems: list[str] = []
    for name in dict.fromkeys(names):
        try:
            backbone_info(name)
        except ConfigError as error:
            problems += error.problems
        if names.count(name) > 1:
            problems.append(f"--backbone names {name} {names.count(name)} times: once is enough")
    if problems:
        raise ConfigError(problems)


def load_backbones(
    names: Sequence[str],
    *,
    pretrained: bool = True,
    weights: str | None = None,
    head: str | None = None,
) -> Backbone:
    """Builds one backbone, or one that is made of several.

    Args:
        names: see ``backbone_info``.
        pretrained: whether to load pretrained weights; else they are random.
        weights: path of a file with the weights of the only backbone, or ``NAME=FILE`` for any of
            several, separated by commas; the others take the usual ones.
        head: kind of the head. Several are pooled as it wants it before it sees them.

    Raises:
        ConfigError: a name is unknown, a network cannot be used, or there are no weights.
        MissingExtraError: the package with the weights is not installed.
    """
    files = _files(names, weights)
    found = [load_backbone(name, pretrained=pretrained, file=files.get(name)) for name in names]
    return found[0] if len(found) == 1 else beside(found, statistics=head == "stats")


def own_size(backbone: Backbone) -> Size | None:
    """Size (height, width) of the pictures that several backbones need, in pixels.

    None for a single one, which takes the size that fits the task.
    """
    side = backbone.info.side
    return (side, side) if backbone.info.members else None


def beside(members: Sequence[Backbone], *, statistics: bool = False) -> Backbone:
    """One backbone of a single stage, in which all members see the same picture.

    Args:
        members: at least two.
        statistics: see ``SideBySide``.
    """
    infos = tuple(member.info for member in members)
    stage = SideBySide(members, statistics=statistics)
    info = BackboneInfo(
        name=",".join(found.name for found in infos),
        timm_name="",
        # Each member has its own: the stage takes pixels from 0 to 255.
        mean=(0.0, 0.0, 0.0),
        std=(1 / 255, 1 / 255, 1 / 255),
        package=None,
        license=", ".join(dict.fromkeys(found.license for found in infos)),
        source="; ".join(f"{found.name}: {found.source}" for found in infos),
        side=stage.side,
        members=infos,
    )
    # Other features have another key.
    pooling = ("stats",) if statistics else ()
    key = content_key(*(member.weights_key for member in members), *pooling)
    return Backbone(info, [stage], [stage.output], key).eval()


class SideBySide(nn.Module):
    """Pooled features of several backbones, one behind the other.

    The backbone with the largest pictures sees the input as it is, every other one a smaller copy,
    in the proportion of the sides that their weights were made for.

    Args:
        members: the backbones.
        statistics: whether ``PoolStats`` pools the last maps of each, or the mean of the last one.

    Attributes:
        side: the largest side, in pixels.
        output: what comes out: channels of all, at a single position.
    """

    def __init__(self, members: Sequence[Backbone], *, statistics: bool = False) -> None:
        super().__init__()
        self._poolings = [pooling(member.outputs, statistics=statistics) for member in members]
        self.members = nn.ModuleList(members)
        self.side = max(member.info.side for member in members)
        self._shares = [member.info.side / self.side for member in members]
        work = [
            sum(stage.multiply_adds for stage in member.outputs) * share**2
            for member, share in zip(members, self._shares, strict=True)
        ]
        channels = sum(each.channels for each in self._poolings)
        self.output = Stage(channels, self.side, sum(work))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """From RGB pictures (n, 3, h, w), float32 from 0 to 255, to (n, channels, 1, 1)."""
        height, width = pixels.shape[2:]
        pooled = []
        for member, share, how in zip(self.members, self._shares, self._poolings, strict=True):
            seen = shrink(pixels, (round(height * share), round(width * share)))
            maps = member.maps(seen)  # type: ignore[operator]  # each is a Backbone
            pooled.append(how.pool(tuple(maps[tap] for tap in how.taps)))
        return torch.cat(pooled, dim=1)[:, :, None, None]


def shrink(pixels: torch.Tensor, size: Size) -> torch.Tensor:
    """Resizes with an antialiased bilinear filter, by one matrix for each direction.

    The same as ``torch.nn.functional.interpolate`` with ``antialias``, but of operations that
    every engine knows: OpenVINO 2026.4 reads ONNX's antialiased resize and gives other pictures.

    Args:
        pixels: (n, c, h, w), float32.
        size: (height, width) of the result, at most that of the pictures.
    """
    height, width = pixels.shape[2:]
    if (height, width) == tuple(size):
        return pixels
    rows, columns = (_weights(*pair).to(pixels) for pair in zip((height, width), size, strict=True))
    return rows @ pixels @ columns.T


def _weights(before: int, after: int) -> torch.Tensor:
    """Share of each of ``before`` positions in each of ``after``: (after, before), rows sum to 1.

    A triangle around the middle of each new position, as wide as that many old ones.
    """
    scale = before / after
    middle = (torch.arange(after, dtype=torch.float32) + 0.5) * scale
    distance = torch.arange(before, dtype=torch.float32) + 0.5 - middle[:, None]
    triangle = (1.0 - distance.abs() / scale).clamp(min=0.0)
    return triangle / triangle.sum(dim=1, keepdim=True)


def _files(names: Sequence[str], weights: str | None) -> Mapping[str, Path]:
    """The file with the weights of each backbone that has one."""
    if weights is None:
        return {}
    if len(names) == 1:
        return {names[0]: Path(weights)}
    entries = [entry.partition("=") for entry in weights.split(",")]
    wrong = [name + sign + file for name, sign, file in entries if name not in names or not file]
    if wrong:
        raise ConfigError(
            [
                "--weights must be NAME=FILE,... with several backbones, "
                f"with NAME one of {', '.join(names)}, got {entry!r}"
                for entry in wrong
            ]
        )
    return {name: Path(file) for name, _, file in entries}
