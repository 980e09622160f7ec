"""Storing views beside its parts: OpenVINO's own benchmark, the engine, making views.

Plain views are held against ``benchmark_app`` (part of OpenVINO) on the same graph, batch and
precision, with a stream for each core; augmented views against 1 / (1 / engine + 1 / augment),
because one thread makes views while the engine works on all cores.

Usage: python benchmarks/prefix.py DATA [--pictures N] [--rounds N] [--seconds S] [--json]
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from runner.figures import Figures

from headstart.data.augment import Augmentation
from headstart.data.image_cache import ImageCache
from headstart.data.manifest import build_manifest
from headstart.models.backbones import load_backbone
from headstart.models.network import Prefix
from headstart.models.onnx_graph import export_onnx
from headstart.progress import QuietProgress
from headstart.runtime.preprocess import Preprocess
from headstart.storage import cpu_count
from headstart.training import engines
from headstart.training.features import StoredViews
from headstart.training.views import PLAIN, View, ViewMaker
from headstart.types import Record

SIZE = (224, 224)
STAGE = 6
UNIT = "pictures/s"
ENGINE_SECONDS = 5.0
AUGMENTED = 1


@dataclasses.dataclass(frozen=True)
class Bench:
    """What all parts share.

    Attributes:
        records: the pictures.
        images: decoded.
        maker: of views.
        prefix: the frozen part.
        engine_name: that runs it.
        engine: open.
        work: folder for stored views.
        seconds: of OpenVINO's own benchmark.
    """

    records: Sequence[Record]
    images: ImageCache
    maker: ViewMaker
    prefix: Prefix
    engine_name: str
    engine: engines.Engine
    work: Path
    seconds: int

    def views(self, number: int) -> list[View]:
        """One view of every picture."""
        return [(record, number) for record in self.records]


def main() -> None:
    """Prints rates and shares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--pictures", type=int, default=750)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        bench = prepare(arguments, Path(folder))
        measure(bench, arguments.rounds, figures)
    figures.show(as_json=arguments.json)


def prepare(arguments: argparse.Namespace, work: Path) -> Bench:
    """Decodes the pictures and opens the engine that a long run would take."""
    torch.set_num_threads(cpu_count())
    images = ImageCache(work, SIZE)
    manifest = build_manifest(
        arguments.data, limit=arguments.pictures, cache=images, progress=QuietProgress()
    )
    backbone = load_backbone("efficientnet_lite0").to(memory_format=torch.channels_last)
    prefix = Prefix(backbone, STAGE, (len(backbone.stages) - 1,), None).eval()
    maker = ViewMaker(Preprocess(SIZE, "crop", manifest.white_level), 0, Augmentation())
    name = engines.default_engine(max(engines.OPENVINO_FROM.values()))
    return Bench(
        records=manifest.records,
        images=images,
        maker=maker,
        prefix=prefix,
        engine_name=name,
        engine=engines.open_engine(name, prefix, SIZE),
        work=work,
        seconds=arguments.seconds,
    )


def measure(bench: Bench, rounds: int, figures: Figures) -> None:
    """Adds the rates of every round; each other round goes the other way round."""
    fresh = itertools.count()
    parts: list[tuple[str, Callable[[], float]]] = [
        ("engine", lambda: engine_alone(bench)),
        ("augment", lambda: augment_alone(bench)),
        ("plain views", lambda: stored(bench, PLAIN, next(fresh))),
        ("augmented views", lambda: stored(bench, AUGMENTED, next(fresh))),
    ]
    if bench.engine_name.startswith("openvino"):
        parts.insert(0, ("OpenVINO's own benchmark", lambda: own_benchmark(bench)))
    stored(bench, PLAIN, next(fresh))
    for number in range(rounds):
        rates = {name: work() for name, work in (parts if number % 2 == 0 else parts[::-1])}
        for name, _ in parts:
            figures.add(name, rates[name], UNIT, ".0f")
        if parts[0][0] in rates and len(parts) == 5:
            share = rates["plain views"] / rates[parts[0][0]]
            figures.add("plain views / OpenVINO's own benchmark", share, "", ".2f")
        bound = 1 / (1 / rates["engine"] + 1 / rates["augment"])
        share = rates["augmented views"] / bound
        figures.add("augmented views / serial bound", share, "", ".2f")


def engine_alone(bench: Bench) -> float:
    """Pictures through the open engine a second, always the same batch."""
    pixels, _ = bench.maker.make(bench.views(PLAIN)[0], bench.images)
    batch = np.ascontiguousarray(np.broadcast_to(pixels, (engines.BATCH, *pixels.shape)))
    for _ in bench.engine.stream([batch]):
        pass
    start = time.perf_counter()
    until = start + ENGINE_SECONDS
    batches = itertools.takewhile(lambda _: time.perf_counter() < until, itertools.repeat(batch))
    count = sum(engines.BATCH for _ in bench.engine.stream(batches))
    return count / (time.perf_counter() - start)


def augment_alone(bench: Bench) -> float:
    """Augmented views made a second, in one thread as when they are stored."""
    start = time.perf_counter()
    for view in bench.views(AUGMENTED):
        bench.maker.make(view, bench.images)
    return len(bench.records) / (time.perf_counter() - start)


def stored(bench: Bench, number: int, fresh: int) -> float:
    """Views made, run through the prefix and stored a second, in an empty store."""
    folder = bench.work / f"store-{fresh}"
    views = StoredViews(folder, bench.prefix, bench.maker, bench.engine_name)
    wanted = bench.views(number)
    start = time.perf_counter()
    views.compute(wanted, bench.images, QuietProgress(), bench.engine)
    return len(wanted) / (time.perf_counter() - start)


def own_benchmark(bench: Bench) -> float:
    """Pictures a second in OpenVINO's benchmark_app, a process of its own."""
    path = bench.work / "prefix.onnx"
    if not path.is_file():
        example = torch.zeros((engines.BATCH, *SIZE, 3), dtype=torch.uint8)
        graph = export_onnx(bench.prefix, example, outputs=None, free_batch=False)
        path.write_bytes(graph.SerializeToString())
    precision = "bf16" if bench.engine_name.endswith("bfloat16") else "f32"
    program = Path(sys.executable).with_name("benchmark_app")
    command = [str(program), "-m", str(path), "-hint", "throughput", "-api", "async"]
    # With a hint it takes no number of threads; it uses every core, as the engine is told to.
    command += ["-infer_precision", precision, "-t", str(bench.seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    count = re.search(r"Count:\s+(\d+) iterations", done.stdout)
    duration = re.search(r"Duration:\s+([\d.]+) ms", done.stdout)
    if count is None or duration is None:
        raise ValueError(f"benchmark_app printed no count:\n{done.stdout[-1000:]}")
    return int(count[1]) * engines.BATCH / (float(duration[1]) / 1000)


if __name__ == "__main__":
    main()
