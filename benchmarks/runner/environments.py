"""One virtual environment for each peer, made when it is first needed; never our dependencies."""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1]
PEERS = BENCHMARKS / "peers"
ENVIRONMENTS = BENCHMARKS / ".venvs"

LARGE = 1_000_000
"""Bytes from which on equal files of two environments are made one."""


class EnvironmentFailedError(Exception):
    """pip could not build an environment."""


def python_of(peer: str) -> Path:
    """The interpreter of a peer; its environment is built when there is none for its requirements.

    A peer without ``requirements.txt`` runs in the environment of the project itself.

    Raises:
        EnvironmentFailedError: with the end of what pip said.
    """
    requirements = PEERS / peer / "requirements.txt"
    if not requirements.is_file():
        return Path(sys.executable)
    folder = ENVIRONMENTS / peer
    python = folder / "bin" / "python"
    marker = folder / "requirements.blake2b"
    wanted = hashlib.blake2b(requirements.read_bytes(), digest_size=16).hexdigest()
    if marker.is_file() and marker.read_text(encoding="ascii") == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    sys.stderr.write(f"building the environment of {peer}: some minutes\n")
    _run([sys.executable, "-m", "venv", str(folder)], peer)
    install = [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    _run([*install, "-r", str(requirements)], peer)
    share_equal_files(folder, [other for other in ENVIRONMENTS.iterdir() if other != folder])
    marker.write_text(wanted, encoding="ascii")
    return python


def _run(command: list[str], peer: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise EnvironmentFailedError(f"the environment of {peer} cannot be built: {said}")


def share_equal_files(folder: Path, others: list[Path]) -> int:
    """Makes large files that another environment has, too, hard links to one copy.

    Each environment still holds exactly what pip put there; torch alone would take 5 GB in each.

    Args:
        folder: of the new environment.
        others: folders of the existing ones.

    Returns:
        The bytes that were saved.
    """
    saved = 0
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file() or path.stat().st_size < LARGE:
            continue
        for other in others:
            twin = other / path.relative_to(folder)
            if not twin.is_file() or twin.is_symlink() or path.samefile(twin):
                continue
            if filecmp.cmp(path, twin, shallow=False):
                saved += path.stat().st_size
                linked = path.with_name(f".{path.name}.linked")
                os.link(twin, linked)
                linked.replace(path)
                break
    return saved
