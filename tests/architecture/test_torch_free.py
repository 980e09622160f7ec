"""Predicting, scoring and the command line work without torch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from architecture.sources import listing, module_name, package_sources

TORCH = ("torch", "torchvision", "timm", "pytorch_lightning")
# What the extras bring beyond torch: `predict`, `split` and `check` start without any of it.
EXTRAS = (
    *TORCH,
    "cleanlab",
    "fsspec",
    "httpcore",
    "httpx",
    "imagehash",
    "iterstrat",
    "jinja2",
    "onnx",
    "openvino",
    "pandas",
    "pi_heif",
    "pyarrow",
    "pycocotools",
    "safetensors",
    "scipy",
    "segmentation_models_pytorch",
    "sklearn",
    "tenacity",
)
TORCH_FREE_ROOMS = frozenset(
    {
        "cli",
        "collecting",
        "config",
        "data",
        "errors",
        "evaluation",
        "jobs",
        "progress",
        "runtime",
        "storage",
        "tasks",
        "types",
    }
)
# They feed the training loop, which is torch's.
TORCH_ALLOWED_IN_DATA = frozenset({"augment", "loader", "operations", "own_view"})
# Behind the verb that trains; ``jobs`` imports them when it is called.
TORCH_ALLOWED_IN_JOBS = frozenset(
    {
        "augment_job",
        "export_job",
        "lr_find_job",
        "material",
        "results",
        "show_job",
        "train_job",
        "warm_start",
    }
)
# A task's half for training; its other modules run wherever the runtime does.
TORCH_ALLOWED_IN_A_TASK = frozenset({"learn", "learn_points", "losses"})

# Imports every module even after a failure, to name all culprits at once.
IMPORT_WITHOUT_TORCH = """
import importlib, json, sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

BLOCKED, modules = json.loads(sys.argv[1])
sys.meta_path.insert(0, Block())
failures = []
for module in modules:
    try:
        importlib.import_module(module)
    except Exception as error:
        failures.append(f"{module}: {type(error).__name__}: {error}")
print(json.dumps(failures))
"""


def torch_free_modules(files: Iterable[str]) -> list[str]:
    """Those modules of the package that must not need torch, in alphabetical order."""
    return sorted(module_name(file) for file in files if _is_torch_free(module_name(file)))


def _is_torch_free(module: str) -> bool:
    _, room, *inside = [*module.split("."), ""]
    if room == "data":
        return inside[0] not in TORCH_ALLOWED_IN_DATA
    if room == "jobs":
        return inside[0] not in TORCH_ALLOWED_IN_JOBS
    if room == "tasks" and len(inside) > 1:
        return TORCH_ALLOWED_IN_A_TASK.isdisjoint(inside)
    return room in TORCH_FREE_ROOMS


def failures_without_torch(
    modules: Sequence[str], path: Path | None = None, blocked: Sequence[str] = TORCH
) -> list[str]:
    """Imports the modules in one fresh interpreter, in which importing torch fails."""
    command = [sys.executable, "-c", IMPORT_WITHOUT_TORCH, json.dumps([blocked, modules])]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=path)
    assert run.returncode == 0, run.stderr
    failures: list[str] = json.loads(run.stdout.splitlines()[-1])
    return failures


def imported_by(*arguments: str) -> set[str]:
    """Top-level packages that ``python arguments`` imports, by Python's own account."""
    command = [sys.executable, "-X", "importtime", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    said = [line for line in run.stderr.splitlines() if not line.startswith("import time:")]
    assert run.returncode == 0, listing(said)
    return set(re.findall(r"^import time:.*\|\s+(\w+)", run.stderr, flags=re.MULTILINE))


def test_modules_import_with_torch_blocked() -> None:
    modules = torch_free_modules(package_sources())
    assert len(modules) >= 20, listing(modules)
    failures = failures_without_torch(modules)
    assert not failures, listing(failures)


def test_the_base_installation_starts_every_verb_and_reads_every_layout() -> None:
    modules = [module_name(file) for file in package_sources()]
    doors = ("headstart.cli.", "headstart.data.readers.", "headstart.runtime.")
    chosen = sorted(
        module
        for module in modules
        if module.startswith(doors) or module.endswith((".spec", "headstart.jobs"))
    )
    assert len(chosen) >= 30, listing(chosen)
    failures = failures_without_torch(chosen, blocked=EXTRAS)
    assert not failures, listing(failures)


@pytest.mark.parametrize(
    "arguments",
    [
        ("-c", "import headstart"),
        ("-m", "headstart", "--help"),
        ("-m", "headstart", "predict", "--help"),
    ],
    ids=["import", "help", "predict"],
)
def test_the_front_doors_do_not_import_torch(arguments: tuple[str, ...]) -> None:
    imported = imported_by(*arguments)
    assert "headstart" in imported
    assert not imported & set(TORCH)


def test_modules_are_chosen_by_their_place() -> None:
    files = [
        f"headstart/{name}.py"
        for name in (
            "types",
            "data/__init__",
            "data/augment",
            "data/readers/augment",
            "tasks/protocol",
            "tasks/sorting/learn",
            "tasks/sorting/score",
            "training/fit",
        )
    ]
    assert torch_free_modules(files) == [
        "headstart.data",
        "headstart.data.readers.augment",
        "headstart.tasks.protocol",
        "headstart.tasks.sorting.score",
        "headstart.types",
    ]


def test_a_module_that_needs_torch_is_found(tmp_path: Path) -> None:
    (tmp_path / "needy.py").write_text("import timm.models")
    (tmp_path / "content.py").write_text("import json")
    failures = failures_without_torch(["needy", "content"], path=tmp_path)
    assert failures == ["needy: ModuleNotFoundError: timm is blocked"]


def test_an_import_is_seen() -> None:
    assert "decimal" in imported_by("-c", "import decimal")
    assert "decimal" not in imported_by("-c", "")
