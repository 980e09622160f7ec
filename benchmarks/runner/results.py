"""Result files, and the numbers that are read off them."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("headstart", "numpy", "onnxruntime", "openvino", "pillow", "torch", "torchvision")
THREAD_VARIABLES = ("OMP_", "OPENBLAS_", "MKL_", "GOMP_")

INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
"""Of which engines make use, as Linux calls them: a processor's name need not tell them."""

SAME = ("processor", "instructions", "cores")
"""Facts of a machine in which all runs of one result agree."""

Run = Mapping[str, Any]


def machine() -> dict[str, Any]:
    """What the figures depend on; nothing that names the machine or its owner."""
    settings = {
        name: value for name, value in os.environ.items() if name.startswith(THREAD_VARIABLES)
    }
    flags = _processor("flags").split()
    return {
        "processor": _processor("model name") or platform.processor(),
        "instructions": [name for name in INSTRUCTIONS if name in flags],
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "thread_settings": settings,
        "load_before": round(os.getloadavg()[0], 2),
    }


def _processor(fact: str) -> str:
    """What the system says of its first core; empty where it does not."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found = [line.partition(":")[2].strip() for line in lines if line.startswith(fact)]
    return found[0] if found else ""


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def command() -> str:
    """The command line, with names instead of paths."""
    words = [Path(word).name if "/" in word else word for word in sys.argv[1:]]
    return " ".join(["python benchmarks/run.py", *words])


def write_result(folder: Path, name: str, content: Mapping[str, Any]) -> Path:
    """Writes ``name.json``, whole or not at all; called after every run, so that none is lost."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    part.replace(path)
    return path


class OtherMachineError(ValueError):
    """Runs that cannot be compared with those of today."""


def earlier_runs(folder: Path, name: str, result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What an earlier call has measured for the same result; empty where there was none.

    Runs that failed are left out: they are run again.

    Args:
        folder: of the result files.
        name: of the file, as ``write_result`` takes it.
        result: the new one, without runs.

    Raises:
        OtherMachineError: they come from another machine, or went for another target.
    """
    path = folder / f"{name}.json"
    if not path.is_file():
        return []
    before = json.loads(path.read_text(encoding="utf-8"))
    facts = {"target": (before["target"], result["target"])}
    facts |= {name: (before["machine"].get(name), result["machine"][name]) for name in SAME}
    if others := [
        f"{name} {old!r}, now {new!r}" for name, (old, new) in facts.items() if old != new
    ]:
        raise OtherMachineError(f"{path.name} has {'; '.join(others)}: leave out --resume")
    return [run for run in before["runs"] if not run["error"]]


def new_result(name: str, **facts: Any) -> dict[str, Any]:
    """A result without figures yet."""
    now = dt.datetime.now(dt.UTC)
    return {
        "name": name,
        "date": now.date().isoformat(),
        "command": command(),
        "machine": machine(),
        **facts,
    }


def time_to(run: Run, target: float) -> tuple[float, bool]:
    """Seconds until the test accuracy first reached a target.

    Returns:
        The seconds, and whether that never happened: then they are those of the whole run.
    """
    for seconds, accuracy in run["points"]:
        if accuracy >= target:
            return float(seconds), False
    return float(run["seconds"]), True


def fastest_time_to(runs: Iterable[Run], target: float) -> float | None:
    """The shortest ``time_to`` of those that got there; None when none did."""
    found = [time_to(run, target) for run in runs if not run["error"]]
    return min((seconds for seconds, never in found if not never), default=None)


def final_accuracy(run: Run) -> float:
    """At the end of the run, whether or not it was stopped; 0 when it never got to a score."""
    return float(run["points"][-1][1]) if run["points"] else 0.0


def median_time_to(runs: Sequence[Run], target: float) -> tuple[float, bool]:
    """The median of ``time_to``; runs that never got there are longer than all that did."""
    found = sorted((time_to(run, target) for run in runs), key=lambda pair: (pair[1], pair[0]))
    # Of an even number the longer one of the middle pair: there is no mean with a lower bound.
    return found[len(found) // 2]


def by_variant(runs: Iterable[Run]) -> dict[tuple[str, str], list[Run]]:
    """Runs that did not fail, by peer and variant, in their first order."""
    found: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if not run["error"]:
            found.setdefault((run["peer"], run["variant"]), []).append(run)
    return found


def best_variants(runs: Iterable[Run], target: float) -> set[str]:
    """Of one peer's runs the variants that got to the target first and that ended highest."""
    done = [run for run in runs if not run["error"]]
    if not done:
        return set()
    fastest = min(done, key=lambda run: (*reversed(time_to(run, target)), -final_accuracy(run)))
    highest = max(done, key=lambda run: (final_accuracy(run), -run["seconds"]))
    if time_to(fastest, target)[1]:
        # None got there: the one that gave up first is not the best.
        return {highest["variant"]}
    return {fastest["variant"], highest["variant"]}


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Median, smallest and largest of some figures, and the figures."""
    return {
        "median": statistics.median(values),
        "low": min(values),
        "high": max(values),
        "values": list(values),
    }
