"""Wall time and memory of ``headstart predict`` on one picture from a cold start.

Usage: python benchmarks/cold_predict.py MODEL PICTURE [--runs N]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

# Runs the command line in a fresh interpreter and tells what it has loaded at the end.
PROBE = """
import sys
from pathlib import Path
from headstart.cli.main import run
try:
    run(["predict", *sys.argv[1:]])
except SystemExit:
    pass
lines = Path("/proc/self/status").read_text().splitlines()
anonymous = next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
print("torch" in sys.modules, anonymous, file=sys.stderr)
"""


def main() -> None:
    """Prints the median wall time, the anonymous memory, and whether torch was imported."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("picture")
    parser.add_argument("--runs", type=int, default=5)
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "headstart", "predict", arguments.model, arguments.picture]
    seconds = []
    for _ in range(arguments.runs):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    probe = [sys.executable, "-c", PROBE, arguments.model, arguments.picture]
    found = subprocess.run(probe, check=True, capture_output=True, text=True)
    imported, anonymous = found.stderr.split()[-2:]
    sys.stdout.write(
        f"wall {statistics.median(seconds):.2f} s (median of {arguments.runs}, longest "
        f"{max(seconds):.2f}), anonymous memory {int(anonymous) / 1000:.0f} MB, "
        f"torch imported: {imported}\n"
    )


if __name__ == "__main__":
    main()
