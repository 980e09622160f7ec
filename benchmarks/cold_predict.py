"""Wall time and memory of ``headstart predict`` on one picture from a cold start.

Usage: python benchmarks/cold_predict.py MODEL PICTURE [--runs N] [--json]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from runner.figures import Figures

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
    """Prints the wall time, the anonymous memory, and whether torch was imported."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("picture")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    command = [sys.executable, "-m", "headstart", "predict", arguments.model, arguments.picture]
    figures = Figures()
    for _ in range(arguments.runs):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        figures.add("cold predict", time.perf_counter() - start, "s", ".2f")
    probe = [sys.executable, "-c", PROBE, arguments.model, arguments.picture]
    found = subprocess.run(probe, check=True, capture_output=True, text=True)
    imported, kibibytes = found.stderr.split()[-2:]
    figures.add("anonymous memory of cold predict", int(kibibytes) * 1024 / 1e6, "MB", ".0f")
    figures.add("modules of torch imported", float(imported == "True"), "", ".0f")
    figures.show(as_json=arguments.json)


if __name__ == "__main__":
    main()
