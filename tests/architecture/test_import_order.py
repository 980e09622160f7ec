"""Data flows one way: a module imports only from its own room or from rooms above it."""

from __future__ import annotations

import ast
import fnmatch
from collections.abc import Iterator

import pytest

from architecture.sources import Finding, listing, module_name, package_sources, task_names

# From the ground up. A pattern is a dotted name after `headstart.`; a room also holds all that lies
# inside the modules it names. `*` stands for a task: the first pattern that fits decides, so that
# the parts of a task that need torch or scikit-learn lie above the rest of its folder.
ROOMS: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("types",),
    ("config",),
    ("progress",),
    ("storage",),
    ("parallel",),
    ("tasks",),
    ("runtime",),
    ("data",),
    ("collecting",),
    ("models",),
    (
        "tasks.*.learn",
        "tasks.*.learn_points",
        "tasks.*.losses",
        "tasks.*.score",
        "tasks.learn_*",
    ),
    ("training",),
    ("evaluation",),
    ("exporting",),
    ("audit", "review"),
    ("jobs",),
    ("serve", "scale", "cli"),
)
# The front doors: they pull in what they hand out, and only when asked.
DOORS = frozenset({"headstart", "headstart.__main__"})
# `learn` may build on another task's; the halves without torch stand alone.
ALONE = frozenset({"", "spec", "score"})


def room_of(module: str) -> int | None:
    """Index of the room in ``ROOMS``; None for a module that has none."""
    inside = module.removeprefix("headstart.")
    found: dict[int, int] = {}
    for index, patterns in enumerate(ROOMS):
        for pattern in patterns:
            if fnmatch.fnmatch(inside, pattern) or fnmatch.fnmatch(inside, f"{pattern}.*"):
                found[index] = max(found.get(index, 0), pattern.count("."))
    return max(found, key=lambda index: found[index]) if found else None


def imports(file: str, source: str, modules: frozenset[str]) -> Iterator[tuple[int, str]]:
    """(line, module of headstart) for each import, wherever in the file it stands.

    Args:
        file: path relative to ``src``.
        source: its text.
        modules: all modules of the package, to tell a module from a name inside one.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names if _is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(file, node)
            if not _is_ours(base):
                continue
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                # `from headstart import __version__` asks the package for nothing that it loads.
                if inner in modules or (base == "headstart" and not alias.name.startswith("__")):
                    yield node.lineno, inner
                else:
                    yield node.lineno, base


def _is_ours(name: str) -> bool:
    return name == "headstart" or name.startswith("headstart.")


def _absolute(file: str, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = file.split("/")[:-1]
    kept = package[: len(package) - node.level + 1]
    return ".".join([*kept, node.module] if node.module else kept)


def order_findings(
    file: str, source: str, modules: frozenset[str], tasks: frozenset[str] = frozenset()
) -> list[Finding]:
    module = module_name(file)
    if module in DOORS:
        return []
    room = room_of(module)
    if room is None:
        return [Finding(file, 1, module, "has no room: add it to ROOMS, where data flow puts it")]
    findings = []
    for line, target in imports(file, source, modules):
        target_room = room_of(target)
        if target == "headstart":
            continue
        if target_room is None:
            findings.append(Finding(file, line, target, "has no room; import what it hands out"))
        elif target_room > room:
            message = f"lies in a later room ({ROOMS[target_room][0]}) than {module}"
            findings.append(Finding(file, line, target, message))
        elif _other_task(module, target, tasks):
            findings.append(Finding(file, line, target, f"another task than that of {module}"))
    return findings


def _other_task(module: str, target: str, tasks: frozenset[str]) -> bool:
    task, part = _task_and_part(module, tasks)
    other, _ = _task_and_part(target, tasks)
    return bool(task and other) and task != other and part in ALONE


def _task_and_part(module: str, tasks: frozenset[str]) -> tuple[str, str]:
    _, room, task, part, *_ = [*module.split("."), "", "", ""]
    return (task, part) if room == "tasks" and task in tasks else ("", "")


def test_rooms_import_only_what_lies_above() -> None:
    sources = package_sources()
    modules = frozenset(module_name(file) for file in sources)
    found = [
        finding
        for file, source in sources.items()
        for finding in order_findings(file, source, modules, task_names())
    ]
    assert not found, listing(found)


def test_every_import_is_seen() -> None:
    sources = package_sources()
    modules = frozenset(module_name(file) for file in sources)
    seen = [i for file, source in sources.items() for i in imports(file, source, modules)]
    assert len(seen) >= len(sources) / 2, f"{len(seen)} imports in {len(sources)} files"


MODULES = frozenset(
    f"headstart.{name}"
    for name in (
        "errors",
        "types",
        "jobs",
        "data",
        "data.scan",
        "models.heads",
        "tasks",
        "tasks.protocol",
        "tasks.one",
        "tasks.one.spec",
        "tasks.one.learn",
        "tasks.two.spec",
        "tasks.two.learn",
    )
)


@pytest.mark.parametrize(
    ("file", "source", "expected"),
    [
        ("types.py", "from headstart.errors import DataError", None),
        ("errors.py", "from headstart.types import Size", "headstart.types: lies in a later room"),
        ("data/scan.py", "import headstart.jobs", "headstart.jobs: lies in a later room (jobs)"),
        ("data/scan.py", "from headstart import jobs", "headstart.jobs: lies in a later room"),
        ("data/scan.py", "from .. import jobs", "headstart.jobs: lies in a later room"),
        ("data/scan.py", "from ..jobs import train", "headstart.jobs: lies in a later room"),
        ("data/__init__.py", "from . import scan", None),
        ("data/scan.py", "def f():\n  import headstart.jobs", "data/scan.py:2: headstart.jobs"),
        (
            "tasks/protocol.py",
            "if TYPE_CHECKING:\n  from headstart.models.heads import Head",
            "tasks/protocol.py:2: headstart.models.heads: lies in a later room (models)",
        ),
        ("data/scan.py", "from headstart import __version__", None),
        ("data/scan.py", "from headstart import train", "headstart.train: has no room"),
        ("tasks/one/learn.py", "from headstart.models import heads", None),
        ("models/heads.py", "from headstart.tasks.one import learn", "one.learn: lies in a later"),
        ("tasks/one/spec.py", "from headstart.tasks.one.learn import f", "later room (tasks.*"),
        ("tasks/one/score.py", "from headstart.tasks.two.spec import f", "spec: another task than"),
        ("tasks/one/__init__.py", "from headstart.tasks.two import spec", "another task than"),
        ("tasks/one/learn.py", "from headstart.tasks.two.learn import f", None),
        ("cellar.py", "", "headstart.cellar: has no room"),
        ("__main__.py", "from headstart.jobs import train", None),
    ],
)
def test_a_wrong_import_is_found(file: str, source: str, expected: str | None) -> None:
    found = order_findings(f"headstart/{file}", source, MODULES, frozenset({"one", "two"}))
    if expected is None:
        assert not found, listing(found)
    else:
        assert len(found) == 1, listing(found)
        assert expected in str(found[0])
