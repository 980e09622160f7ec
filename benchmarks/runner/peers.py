"""Who is compared, and how one job of a peer is run and recorded."""

from __future__ import annotations

import dataclasses
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.environments import PEERS as PEER_FOLDER
from runner.environments import python_of
from runner.memory import watching

Rows = Sequence[tuple[str, str]]
"""(path, label) of each picture."""

WALL_FACTOR, WALL_EXTRA = 6, 900
"""A peer is stopped when its process lives longer than so many times its limit and seconds more:
scoring the test split is not on the clock, and a hung process must not stop the comparison."""

TOLERANCE = 1e-3
"""Largest difference of what the starting weights make of one picture: frameworks sum in other
orders, nothing else."""


@dataclasses.dataclass(frozen=True)
class Peer:
    """Somebody who takes part.

    Attributes:
        variants: options by name; every one is tried with the first seed.
        quick: the variants that ``--quick`` tries.
        repeat_all: whether further seeds run every variant, and not only the best ones.
    """

    variants: Mapping[str, Mapping[str, Any]]
    quick: tuple[str, ...] = ()
    repeat_all: bool = False


LARGER = "larger input"
STATS = "statistics, head alone"
HELD = (LARGER, STATS)
"""Variants of headstart that are held against the small rival, too."""

PEERS: Mapping[str, Peer] = {
    # The head alone is the short way to a model that is nearly as good, without augmented views the
    # shortest.
    "headstart": Peer(
        {
            "default": {},
            # The same training, and slower to answer; more accurate on some pictures.
            LARGER: {"image_size": 320, "train_size": 288},
            "features": {"strategy": "features"},
            "features, plain views": {"strategy": "features", "views": 0},
            STATS: {"strategy": "features", "head": "stats"},
            "statistics, plain views": {"strategy": "features", "head": "stats", "views": 0},
        },
        ("default", "features"),
        repeat_all=True,
    ),
    "logistic": Peer(
        {
            "torch": {"engine": "torch", "penalty": "default"},
            "openvino": {"engine": "openvino", "penalty": "default"},
            "openvino, cross-validated": {"engine": "openvino", "penalty": "cv"},
        },
        ("torch", "openvino", "openvino, cross-validated"),
        repeat_all=True,
    ),
    # fine_tune's own default rate is 2e-3. With so many epochs its schedule ends near 20 times what
    # headstart takes; with 4 and 8 epochs it was at 70 and 75 % of the dishes. Its way up is slow,
    # and a score takes half as long as an epoch: only the later epochs are scored.
    "fastai": Peer(
        {
            "frozen only, lr 0.005": {"epochs": 17, "lr": 5e-3, "frozen": True, "unscored": 2},
            **{
                f"fine_tune, lr {lr}": {"epochs": 10, "lr": lr, "unscored": 4}
                for lr in (2e-3, 5e-3, 1e-3)
            },
        },
        ("fine_tune, lr 0.002",),
    ),
    "torch_timm": Peer(
        {
            **{
                f"fine-tuning, lr {lr}": {
                    "frozen_epochs": 2,
                    "head_lr": 3e-3,
                    "epochs": 6,
                    "lr": lr,
                }
                for lr in (5e-4, 1e-3, 2e-3)
            },
            "frozen only": {"frozen_epochs": 10, "head_lr": 3e-3, "epochs": 0, "lr": 0.0},
        },
        ("fine-tuning, lr 0.001",),
    ),
    # Keras's guide fine-tunes at 1e-5.
    "keras": Peer(
        {
            **{
                f"fine-tuning, lr {lr}": {"frozen_epochs": 3, "epochs": 5, "lr": lr}
                for lr in (1e-5, 1e-4, 3e-4)
            },
            "frozen only": {"frozen_epochs": 10, "epochs": 0, "lr": 0.0},
        },
    ),
}


@dataclasses.dataclass(frozen=True)
class Job:
    """What a peer reads from its standard input.

    Attributes:
        kind: ``train`` or ``predict``.
        data: the data set, for who reads it by itself.
        train: training pictures, among them those that headstart takes for validation.
        test: test pictures.
        weights: safetensors file with timm's keys.
        work: folder that is removed afterwards.
        seed: decides everything random.
        limit: seconds on the clock.
        options: of the variant.
    """

    kind: str
    data: str
    train: Rows
    test: Rows
    weights: str
    work: str
    seed: int
    limit: float
    options: Mapping[str, Any]


@dataclasses.dataclass
class Outcome:
    """What a peer did.

    Attributes:
        points: (seconds, accuracy on the test split) in order.
        seconds: on the clock at the end.
        censored: whether it was stopped by the limit.
        import_seconds: of its libraries; not on the clock.
        wall_seconds: life of the process.
        peak_bytes: largest anonymous memory, of all its processes together.
        features: of the starting weights.
        stages: seconds by step, where the peer tells.
        predicted: (pictures, seconds) of each round of a job ``predict``.
        versions: of its packages.
        error: the last lines that it said, when it failed.
    """

    points: list[tuple[float, float]] = dataclasses.field(default_factory=list)
    seconds: float = 0.0
    censored: bool = False
    import_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_bytes: int = 0
    features: list[float] = dataclasses.field(default_factory=list)
    stages: dict[str, float] = dataclasses.field(default_factory=dict)
    predicted: list[tuple[int, float]] = dataclasses.field(default_factory=list)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    error: str = ""

    def take(self, event: Mapping[str, Any]) -> None:
        """Notes one event of ``peers/protocol.py``."""
        kind = event["event"]
        if kind == "imports":
            self.import_seconds += event["seconds"]
        elif kind == "weights":
            self.features = event["features"]
        elif kind == "epoch":
            self.points.append((event["seconds"], event["accuracy"]))
        elif kind == "predicted":
            self.predicted.append((event["pictures"], event["seconds"]))
        elif kind == "end":
            self.seconds, self.censored = event["seconds"], event["censored"]
            self.stages = event.get("stages", {})
            self.versions = event["versions"]
        else:
            raise ValueError(f"no such event: {kind!r}")


def run_peer(
    peer: str, job: Job, python: Path | None = None, script: Path | None = None
) -> Outcome:
    """Runs one job in a process of its own.

    Args:
        peer: its name.
        job: what to do.
        python: interpreter; None takes the peer's own environment.
        script: program; None takes the peer's own.

    Returns:
        What happened; a peer that fails has ``error``.
    """
    script = script or PEER_FOLDER / peer / "run.py"
    command = [str(python or python_of(peer)), str(script)]
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            env=environment(peer, job.work),
            start_new_session=True,
        )
        with watching(process.pid) as watch:
            outcome = _follow(process, job)
        outcome.wall_seconds = time.perf_counter() - start
        outcome.peak_bytes = watch.peak
        if process.returncode and not outcome.censored:
            said.seek(0)
            last = said.read().strip().splitlines()[-6:]
            outcome.error = "\n".join(last) or f"ended with {process.returncode}"
    return outcome


def environment(peer: str, work: str) -> dict[str, str]:
    """Of a peer's process: nothing is fetched, nothing is found that an earlier job has stored."""
    paths = [str(PEER_FOLDER)]
    if peer == "headstart" and "PYTHONPATH" in os.environ:
        # The others find nothing but what pip put into their own environments.
        paths.append(os.environ["PYTHONPATH"])
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "HEADSTART_CACHE": f"{work}/cache",
        "HEADSTART_STATE": f"{work}/state",
        "HF_HUB_OFFLINE": "1",
        "MPLBACKEND": "agg",
    }


def _follow(process: subprocess.Popen[str], job: Job) -> Outcome:
    """Sends the job, takes the events, and ends a process that takes too long."""
    outcome = Outcome()
    lines: queue.Queue[str | None] = queue.Queue()
    stdin, stdout = process.stdin, process.stdout
    if stdin is None or stdout is None:
        raise TypeError("the process must have been started with pipes")

    def listen() -> None:
        for line in stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=listen, daemon=True).start()
    try:
        json.dump(dataclasses.asdict(job), stdin)
        stdin.close()
    except BrokenPipeError:
        # It failed before it read the job; standard error says why.
        pass
    last = time.monotonic() + WALL_FACTOR * job.limit + WALL_EXTRA
    ended = False
    try:
        while (line := lines.get(timeout=max(0.0, last - time.monotonic()))) is not None:
            outcome.take(json.loads(line))
        ended = True
    except queue.Empty:
        outcome.censored, outcome.seconds = True, job.limit
    finally:
        if not ended:
            # Its workers, too: the process leads a session of its own.
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        stdout.close()
    return outcome


def weights_problem(peer: str, found: Sequence[float], expected: Sequence[float]) -> str:
    """What is wrong with a peer's starting weights; empty when they are the same."""
    if len(found) != len(expected):
        return f"{peer} reported {len(found)} features of its starting weights"
    worst = max(abs(a - b) for a, b in zip(found, expected, strict=True))
    if worst > TOLERANCE:
        return f"{peer} starts from other weights: a feature differs by {worst:.3f}"
    return ""
