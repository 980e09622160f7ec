"""Runs the command line in processes of their own, in which something is forbidden."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# An audit hook cannot be caught or taken back by the code that it watches.
WITHOUT_NETWORK = """
import os, sys

def watch(event, arguments):
    local = event == "socket.connect" and isinstance(arguments[1], (str, bytes))
    if event in NETWORK and not local:
        os.write(2, f"the network was used: {event} {arguments[1:]}".encode())
        os._exit(97)

NETWORK = {"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}
sys.addaudithook(watch)
"""

WITHOUT_TORCH = """
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "timm", "pytorch_lightning"}:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Block())
"""

RUN = """
from headstart.cli.main import run
run(sys.argv[1:])
"""


def headstart(
    *arguments: object, forbid: str = "", cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs to the end; with nothing forbidden through ``python -m headstart``."""
    start = ["-c", forbid + RUN] if forbid else ["-m", "headstart"]
    return subprocess.run(
        [sys.executable, *start, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
    )
