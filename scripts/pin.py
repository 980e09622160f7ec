"""Writes constraints.txt: exact versions of all that the development environment resolves to.

Run `python3.11 scripts/pin.py` after changing dependencies in pyproject.toml, or to move to newer
releases. pip resolves in a fresh environment, all extras in one command, and installs nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "constraints.txt"
EXTRAS = "train,demo,dev,litert,openvino"
# Released in pairs, and several GB each: moved by hand, not by whoever happens to pin next.
FIXED = ("torch==2.14.1", "torchvision==0.29.1")
HEADER = f"""\
# Exact versions for development and CI: all that `.[{EXTRAS}]`
# resolves to on Linux with Python 3.11. The package itself asks for ranges, in pyproject.toml.
# Written by `python3.11 scripts/pin.py`; do not edit.
"""


def resolve(folder: Path) -> list[dict[str, str]]:
    """Name and version of every distribution, as pip in a fresh environment chooses them."""
    venv.create(folder / "venv", with_pip=True)
    report = folder / "report.json"
    command = [str(folder / "venv" / "bin" / "python"), "-m", "pip", "install", "-qq"]
    command += ["--disable-pip-version-check", "--dry-run", "--ignore-installed"]
    command += ["--report", str(report), *FIXED, "--editable", f"{ROOT}[{EXTRAS}]"]
    subprocess.run(command, check=True)
    installs = json.loads(report.read_text(encoding="utf-8"))["install"]
    return [entry["metadata"] for entry in installs if entry["metadata"]["name"] != "headstart"]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = resolve(Path(folder))
    if not found:
        sys.exit("pip reported nothing to install")
    lines = sorted(f"{entry['name'].lower()}=={entry['version']}\n" for entry in found)
    # Beside the target and then renamed: `make` never sees half a file.
    part = TARGET.with_suffix(".part")
    part.write_text(HEADER + "".join(lines), encoding="utf-8")
    part.replace(TARGET)
    print(f"{TARGET.name}: {len(lines)} versions")


if __name__ == "__main__":
    main()
