"""Kills training runs at several moments, resumes them, and compares their scores.

Usage: python benchmarks/kill_and_resume.py DATA [--kills N]
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Exits with 1 when any resumed run has other scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--kills", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        # Every run has a cache of its own, so that each computes its views itself.
        start = time.perf_counter()
        train(arguments.data, Path(folder) / "whole").wait()
        whole = time.perf_counter() - start
        expected = scores(Path(folder) / "whole")
        different = 0
        for number in range(arguments.kills):
            run = Path(folder) / f"killed-{number}"
            moment = whole * (number + 0.5) / arguments.kills
            process = train(arguments.data, run)
            time.sleep(moment)
            process.send_signal(signal.SIGKILL)
            process.wait()
            train(arguments.data, run, "--resume").wait()
            same = scores(run) == expected
            different += not same
            sys.stdout.write(f"killed after {moment:.1f} s of {whole:.1f}: same scores: {same}\n")
            sys.stdout.flush()
    sys.exit(1 if different else 0)


def train(data: Path, run: Path, *options: str) -> subprocess.Popen[bytes]:
    """Starts the verb with a cache beside the run."""
    command = [sys.executable, "-m", "headstart", "train", str(data), "--out", str(run), *options]
    environment = {**os.environ, "HEADSTART_CACHE": f"{run}-cache"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)


def scores(run: Path) -> object:
    """The part of ``metrics.json`` that must not depend on kills."""
    return json.loads((run / "metrics.json").read_text(encoding="utf-8"))["metrics"]


if __name__ == "__main__":
    main()
