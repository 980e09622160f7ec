"""Cuts any timm network into stages, each from one feature map to the next.

The network's ``forward_features`` is traced with torch.fx, as timm does it to extract features. A
stage ends where the rest of the network needs one map and nothing else, and where timm's own groups
of parameters (``group_matcher``) change. Stages share their parameters with the network.
"""

from __future__ import annotations

import dataclasses
import itertools
import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from timm.layers._fx import get_notrace_functions, get_notrace_modules
from timm.models import group_parameters
from torch import fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from headstart.errors import ConfigError
from headstart.types import Stage

SIDES = (256, 512)
"""Of two square inputs: between both, padding does not change by how much a map grows."""

MAX_STAGES = 16
"""Where timm has more groups of parameters, a group is a layer and no stage."""

NORMALISATIONS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)

LEAVES = (*NORMALISATIONS, nn.Conv2d, nn.Linear)
"""Layers that stay modules in a trace, with all that timm derives from them."""

OUT_OF_PLACE = {operator.iadd: operator.add, operator.imul: operator.mul}

FAILURES = (AssertionError, AttributeError, KeyError, RuntimeError, TypeError, ValueError)
"""What networks that cannot be traced, or not run at this size, are known to raise."""

Shapes = Mapping[fx.Node, tuple[int, ...]]


@dataclasses.dataclass(frozen=True)
class Trace:
    """A network as a list of operations.

    Attributes:
        network: that was traced.
        nodes: its operations in order, from the input to the one that gives the last map.
        shapes: of what they give, for each measured side of the input.
        work: multiply-adds of each operation, for each pixel of the input.
        channels_last: whether its maps are (n, h, w, c).
    """

    network: nn.Module
    nodes: Sequence[fx.Node]
    shapes: Mapping[int, Shapes]
    work: Mapping[fx.Node, float]
    channels_last: bool

    def stage(self, start: fx.Node, end: fx.Node) -> Stage:
        """What comes out of the stage from behind one operation to another."""
        sides = sorted(self.shapes)
        shapes = [self.shapes[side][end] for side in sides]
        axis = 1 if self.channels_last else 2
        if len(sides) == 1:
            stride = sides[0] / shapes[0][axis]
        else:
            stride = (sides[1] - sides[0]) / (shapes[1][axis] - shapes[0][axis])
        channels = shapes[0][-1 if self.channels_last else 1]
        inside = self.nodes[self.nodes.index(start) + 1 : self.nodes.index(end) + 1]
        return Stage(channels, round(stride), sum(self.work.get(node, 0.0) for node in inside))


def cut(
    network: nn.Module, name: str, side: int | None = None
) -> tuple[list[nn.Module], list[Stage]]:
    """Stages of a network, and what comes out of each.

    The first stage takes normalised pictures (n, 3, h, w), every other one the map before it. A
    stage never changes its input.

    Args:
        network: of timm; it is put into evaluation mode, the mode in which its stages always run.
        name: of the backbone, for messages.
        side: of the square input in pixels, where the network takes no other; None for any.

    Raises:
        ConfigError: the network gives no feature maps, or cannot be cut.
    """
    trace = _trace(network.eval(), name, SIDES if side is None else (side,))
    ends = _merged(trace, [*_ends(trace), trace.nodes[-1]])
    borders = list(itertools.pairwise([trace.nodes[0], *ends]))
    stages: list[nn.Module] = [_part(trace, *border) for border in borders]
    return stages, [trace.stage(*border) for border in borders]


class _Tracer(fx.Tracer):
    """Goes into every module but those that timm does not trace, and layers of ``LEAVES``."""

    traced_func_name = "forward_features"

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        untraced = isinstance(m, LEAVES) or type(m) in get_notrace_modules()  # type: ignore[no-untyped-call]
        return untraced or super().is_leaf_module(m, module_qualified_name)


def _trace(network: nn.Module, name: str, sides: Sequence[int]) -> Trace:
    untraced = get_notrace_functions()  # type: ignore[no-untyped-call]
    functions = tuple(function for function in untraced if callable(function))
    try:
        graph = _Tracer(autowrap_functions=functions).trace(network)
        measured = {side: _Measure(network, graph).measure(side) for side in sides}
    except FAILURES as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        raise ConfigError([f"--backbone {name} cannot be cut into stages: {reason}"]) from error
    *nodes, output = graph.nodes
    last = output.args[0]
    shapes = {side: found.shapes for side, found in measured.items()}
    if not isinstance(last, fx.Node) or len(shapes[sides[0]].get(last, ())) != 4:
        problem = (
            f"--backbone {name} gives no feature maps (channels, height, width): "
            "choose a convolutional or a hybrid network"
        )
        raise ConfigError([problem])
    work = {node: value / sides[0] ** 2 for node, value in measured[sides[0]].work.items()}
    channels_last = getattr(network, "output_fmt", None) == "NHWC"
    return Trace(network, nodes[: nodes.index(last) + 1], shapes, work, channels_last)


class _Measure(fx.Interpreter):
    """Runs a graph on tensors without content, which takes little time and no memory."""

    def __init__(self, network: nn.Module, graph: fx.Graph) -> None:
        super().__init__(network, graph=graph)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}
        self.work: dict[fx.Node, float] = {}
        self._counter = FlopCounterMode(display=False)

    def measure(self, side: int) -> _Measure:
        """Fills ``shapes`` and ``work`` for a square picture."""
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), self._counter:
            self.run(torch.zeros(1, 3, side, side))
        return self

    def call_module(
        self, target: fx.node.Target, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Leaves out what changes no shape and counts no work.

        Torch takes normalisation apart on tensors without content: four fifths of the time.
        """
        if isinstance(self.fetch_attr(str(target)), NORMALISATIONS):
            return args[0]
        return super().call_module(target, args, kwargs)

    def run_node(self, n: fx.Node) -> Any:
        """Notes what a node gives and what it costs."""
        before = self._counter.get_total_flops()
        result = super().run_node(n)
        # A multiply-add counts as two operations there.
        self.work[n] = (self._counter.get_total_flops() - before) / 2
        if isinstance(result, torch.Tensor):
            self.shapes[n] = tuple(result.shape)
        return result


def _ends(trace: Trace) -> list[fx.Node]:
    """The operations behind which the network is cut; the last one is not among them."""
    alone = _alone(trace)
    groups = _groups(trace)
    features = _feature_ends(trace, alone)
    layers = {name.rpartition(".")[0] for name in groups}
    if len(set(groups.values())) > len(layers) / 2:
        return features
    by_group = _group_ends(trace, groups, alone)
    if not 0 < len(by_group) <= MAX_STAGES:
        return features
    # Nobody would freeze the stem alone: it belongs to the first stage.
    (_, body), *_ = by_group
    chosen = {end for end, _ in by_group[1:]} | set(features)
    return [node for node in trace.nodes[trace.nodes.index(body) :] if node in chosen]


def _alone(trace: Trace) -> set[fx.Node]:
    """Operations whose map is all that the later ones need."""
    place = {node: number for number, node in enumerate(trace.nodes)}
    shapes = next(iter(trace.shapes.values()))
    found, waiting = set(), 0
    ending: dict[int, int] = {}
    for number, node in enumerate(trace.nodes):
        waiting -= ending.pop(number, 0)
        last = max((place.get(user, number) for user in node.users), default=number)
        # Parameters can be read again at any place.
        if node.op != "get_attr" and last > number:
            waiting += 1
            ending[last] = ending.get(last, 0) + 1
            if waiting == 1 and len(shapes.get(node, ())) == 4:
                found.add(node)
    return found


def _groups(trace: Trace) -> dict[str, int]:
    """Timm's coarse group of each parameter that the trace reaches, by the parameter's name."""
    matcher = getattr(trace.network, "group_matcher", None)
    if matcher is None:
        return {}
    reached = {str(node.target) for node in trace.nodes if node.op in ("call_module", "get_attr")}
    groups = group_parameters(trace.network, matcher(coarse=True), reverse=True)
    return {
        name: int(group)
        for name, group in groups.items()
        if any(path in reached for path in itertools.accumulate(name.split("."), _dotted))
    }


def _dotted(path: str, part: str) -> str:
    return f"{path}.{part}"


def _paths(node: fx.Node) -> list[str]:
    """The modules that a node belongs to, the innermost first."""
    stack = [path for path, _ in node.meta.get("nn_module_stack", {}).values()]
    own = [str(node.target)] if node.op in ("call_module", "get_attr") else []
    return own + stack[::-1]


def _group_ends(
    trace: Trace, groups: Mapping[str, int], alone: set[fx.Node]
) -> list[tuple[fx.Node, fx.Node]]:
    """Where all parameters before are of other groups than all parameters behind.

    Gives the operation that ends a group, and the first one of the group that follows.
    """
    inside: dict[str, set[int]] = {}
    for name, group in groups.items():
        for path in itertools.accumulate(name.split("."), _dotted):
            inside.setdefault(path, set()).add(group)

    def group_of(node: fx.Node) -> int | None:
        found = next((inside[path] for path in _paths(node) if path in inside), set())
        return next(iter(found)) if len(found) == 1 else None

    owned = [(number, group_of(node)) for number, node in enumerate(trace.nodes)]
    owned = [(number, group) for number, group in owned if group is not None]
    ends = []
    for position in range(1, len(owned)):
        (first, before), (second, after) = owned[position - 1], owned[position]
        if before == after:
            continue
        earlier = {group for _, group in owned[:position]}
        later = {group for _, group in owned[position:]}
        # What lies between the groups, such as pooling, belongs to the later one.
        between = [node for node in trace.nodes[first:second] if node in alone]
        if between and not earlier & later:
            ends.append((between[0], trace.nodes[second]))
    return ends


def _feature_ends(trace: Trace, alone: set[fx.Node]) -> list[fx.Node]:
    """The last operation of each module that timm's ``feature_info`` names."""
    ends = []
    for info in trace.network.feature_info:  # type: ignore[union-attr]
        inside = [node for node in trace.nodes if info["module"] in _paths(node)]
        if inside and inside[-1] in alone and inside[-1] is not trace.nodes[-1]:
            ends.append(inside[-1])
    return ends


def _merged(trace: Trace, ends: Sequence[fx.Node]) -> list[fx.Node]:
    """Without stages that multiply nothing: pooling, or a normalisation."""
    kept: list[fx.Node] = []
    for end in ends[:-1]:
        start = kept[-1] if kept else trace.nodes[0]
        if trace.stage(start, end).multiply_adds > 0:
            kept.append(end)
    if kept:
        before = trace.stage(trace.nodes[0], kept[-1])
        last = trace.stage(kept[-1], ends[-1])
        if last.multiply_adds == 0 and last.stride == before.stride:
            kept.pop()
    return [*kept, ends[-1]]


def _part(trace: Trace, start: fx.Node, end: fx.Node) -> fx.GraphModule:
    """The operations behind one and up to another, as a module."""
    graph = fx.Graph()
    first = start is trace.nodes[0]
    features = graph.placeholder("features")
    if trace.channels_last and not first:
        features = graph.call_method("permute", (features, 0, 2, 3, 1))
    copies = {start: features}

    def copy_of(node: fx.Node) -> fx.Node:
        if node not in copies and node.op == "get_attr":
            copies[node] = graph.node_copy(node)
        return copies[node]

    begin, stop = trace.nodes.index(start), trace.nodes.index(end)
    for node in trace.nodes[begin + 1 : stop + 1]:
        copies[node] = graph.node_copy(node, copy_of)
    result = copies[end]
    if trace.channels_last:
        result = graph.call_method("permute", (result, 0, 3, 1, 2))
    graph.output(result)
    module = fx.GraphModule(trace.network, graph, class_name="Stage")
    _spare_input(module, features)
    return module


def _spare_input(module: fx.GraphModule, features: fx.Node) -> None:
    """Operations on the input must not overwrite it: it can be a map that a head takes."""
    for user in features.users:
        if user.op == "call_module":
            layer = module.get_submodule(str(user.target))
            if getattr(layer, "inplace", False):
                setattr(layer, "inplace", False)  # noqa: B010 - an attribute that modules lack
        elif user.target in OUT_OF_PLACE:
            user.target = OUT_OF_PLACE[user.target]
    module.recompile()
