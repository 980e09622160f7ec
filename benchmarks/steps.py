"""Training steps: the plain network, and what is left of it behind each stage on stored maps.

EfficientNet-Lite0 on batches of 32 squares of 224 pixels, forward, backward and AdamW. The plain
network is timm's in training mode in float32, as a loop without further thought runs it; the others
run as headstart trains them (channels last, normalisation in evaluation mode and inside the
convolutions, bfloat16 where the processor has it).

Usage: python benchmarks/steps.py [--rounds N] [--seconds S] [--json]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable

import timm
import torch
from runner.figures import Figures
from torch import nn

from headstart.models.backbones import load_backbone
from headstart.models.heads import PooledHead
from headstart.models.network import Network, parameter_groups
from headstart.storage import cpu_count
from headstart.tasks.learning import HeadOptions
from headstart.training.devices import has_bfloat16
from headstart.training.probe import example_maps

BACKBONE = "efficientnet_lite0"
PLAIN = "the plain network"
BATCH, SIDE, CLASSES = 32, 224, 10
LR, STAGE_LR_FACTOR, WEIGHT_DECAY = 1e-4, 0.3, 0.05

Step = Callable[[], None]


def main() -> None:
    """Prints pictures a second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="that a step is repeated for")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(cpu_count())
    torch.manual_seed(0)
    steps = list(all_steps().items())
    figures = Figures()
    for number in range(arguments.rounds):
        turn = steps if number % 2 == 0 else steps[::-1]
        rates = {name: rate(step, arguments.seconds) for name, step in turn}
        for name, _ in steps:
            figures.add(name, rates[name], "pictures/s", ".0f")
    figures.show(as_json=arguments.json)


def all_steps() -> dict[str, Step]:
    """Every kind of step by name, from the one that does most to the one that does least."""
    backbone = load_backbone(BACKBONE)
    head = PooledHead(backbone.outputs, CLASSES, HeadOptions())
    network = Network(backbone, head).to(memory_format=torch.channels_last)
    return {PLAIN: plain_step()} | {
        name_of(stage, network.n_stages): rest_step(network, stage)
        for stage in range(network.n_stages + 1)
    }


def name_of(stage: int, n_stages: int) -> str:
    """Of a step that trains from a stage on."""
    if stage == n_stages:
        return "the head, on pooled features"
    return f"stages {stage} and up" if stage else "all stages"


def plain_step() -> Step:
    """On float32 pictures, channels first."""
    # Weights do not change how long a step takes.
    network = timm.create_model(f"tf_{BACKBONE}", num_classes=CLASSES).train()
    pictures = torch.rand(BATCH, 3, SIDE, SIDE)
    return step_of(network, pictures, network.parameters(), bfloat16=False)


def rest_step(network: Network, stage: int) -> Step:
    """On the maps before a stage, as they are stored."""
    prefix, rest = network.split(stage)
    maps = example_maps(prefix, (SIDE, SIDE), BATCH)
    groups = parameter_groups(rest, LR, STAGE_LR_FACTOR, WEIGHT_DECAY)
    return step_of(rest, maps, groups, bfloat16=has_bfloat16())


def step_of(
    module: nn.Module,
    given: torch.Tensor | tuple[torch.Tensor, ...],
    parameters: Iterable[nn.Parameter] | list[dict[str, object]],
    *,
    bfloat16: bool,
) -> Step:
    """Forward, backward and update."""
    optimizer = torch.optim.AdamW(parameters, lr=LR)
    targets = torch.arange(BATCH) % CLASSES

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            raw = module(given)
        nn.functional.cross_entropy(raw.float(), targets).backward()
        optimizer.step()

    return step


def rate(step: Step, seconds: float) -> float:
    """Pictures a second, after a step that warms up."""
    step()
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        step()
        count += 1
    return count * BATCH / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
