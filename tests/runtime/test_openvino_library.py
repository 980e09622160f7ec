"""OpenVINO without its telemetry."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import Distribution
from pathlib import Path

import pytest

from architecture.sources import ROOT

LOADS = """
import sys
from headstart.runtime.openvino_library import load_openvino
core = load_openvino("A test").Core()
import nncf
assert core.available_devices, core
assert sys.modules["openvino_telemetry"] is None
"""


def test_loading_leaves_nothing_in_the_home_folder(tmp_path: Path) -> None:
    # Not by importing it: where this process has loaded OpenVINO, that is refused.
    if not any(Distribution.discover(name="openvino-telemetry")):
        pytest.skip("OpenVINO's telemetry is not installed")
    # OpenVINO itself is silent in CI: the test must not pass because of that.
    named = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-c", LOADS],
        env={**named, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    assert list(tmp_path.rglob("*")) == []


def test_nobody_else_imports_it() -> None:
    pattern = re.compile(r"^ *(import|from) openvino\b", re.MULTILINE)
    sources = (ROOT / "src").rglob("*.py")
    assert [path.name for path in sources if pattern.search(path.read_text("utf-8"))] == []
