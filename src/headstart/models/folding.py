"""Networks that answer the same in fewer operations: for running, not for training."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import TypeVar

from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import BatchNormAct2d
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Module = TypeVar("Module", bound=nn.Module)

CONVOLUTIONS = (nn.Conv2d, Conv2dSame)
"""Types that use their weights as they are; others standardise or round them first."""

NORMS = (nn.BatchNorm2d, BatchNormAct2d)


def folded(module: Module) -> Module:
    """A copy in evaluation mode that has each batch normalisation in the convolution before it.

    Outputs change by rounding only. Without bfloat16 torch runs EfficientNet-Lite0 1.4 to 1.8
    times as fast then, and converting it to ONNX, which gives the same graph, takes half as long.
    """
    copied = copy.deepcopy(module).eval()
    for parent in list(copied.modules()):
        for convolution, norm in list(_pairs(parent)):
            _fold(parent, convolution, norm)
    return copied


def _pairs(parent: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of modules of which the second takes the first one's output, and nothing else does."""
    if isinstance(parent, fx.GraphModule):
        calls = [node for node in parent.graph.nodes if node.op == "call_module"]
        used = Counter(str(node.target) for node in calls)
        for node in calls:
            for before in node.all_input_nodes:
                names = str(before.target), str(node.target)
                if len(before.users) == 1 and all(used[name] == 1 for name in names):
                    yield names
    elif type(parent).forward is nn.Sequential.forward:
        yield from pairwise(name for name, _ in parent.named_children())


def _fold(parent: nn.Module, convolution: str, norm: str) -> None:
    """Replaces both modules where they are what can be folded."""
    first, second = parent.get_submodule(convolution), parent.get_submodule(norm)
    if not isinstance(first, nn.Conv2d) or type(first) not in CONVOLUTIONS:
        return
    if not isinstance(second, nn.BatchNorm2d) or type(second) not in NORMS:
        return
    if not second.track_running_stats:
        # It normalises by the batch.
        return
    parent.set_submodule(convolution, fuse_conv_bn_eval(first, second))
    after = nn.Sequential(second.drop, second.act) if isinstance(second, BatchNormAct2d) else None
    parent.set_submodule(norm, after or nn.Identity())
