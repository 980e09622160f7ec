"""No file outside ``tasks/`` knows a task by its name: a new task touches no other folder."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from architecture.sources import Finding, listing, package_sources, task_names

# Words of a file format that happen to be the name of a task.
FORMAT_WORDS = frozenset(
    {
        ("headstart/data/readers/coco_keypoints.py", "'keypoints'"),
        ("headstart/data/readers/coco.py", "'segmentation'"),
        ("headstart/data/writers/coco.py", "'keypoints'"),
        ("headstart/data/writers/coco.py", "'segmentation'"),
    }
)


def literals(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, text) of every string except docstrings; an f-string gives its constant parts."""
    bare = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            yield node.lineno, node.value
        elif isinstance(node, ast.keyword) and node.arg:
            # dict(name=...) is a key in disguise.
            yield node.value.lineno, node.arg


def name_findings(file: str, source: str, names: frozenset[str]) -> list[Finding]:
    """String literals that equal one of the names, and imports of a task's folder.

    Case and the punctuation around a literal do not matter: ``"/name"`` in an f-string is a name.
    """
    tree = ast.parse(source)
    findings = [
        Finding(file, line, repr(text), "the name of a task outside tasks/: ask the task instead")
        for line, text in literals(tree)
        if re.sub(r"^\W+|\W+$", "", text).casefold() in names
    ]
    for node in ast.walk(tree):
        for module in _imported(node):
            if module.startswith("headstart.tasks.") and module.split(".")[2] in names:
                message = "a task imported by name outside tasks/: use the registry"
                findings.append(Finding(file, getattr(node, "lineno", 0), module, message))
    return findings


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


def aliases(source: str) -> set[str]:
    """Other names of a task: the strings assigned to ``aliases``, in any case, in its folder."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign) and node.value:
            targets, value = [node.target], node.value
        else:
            continue
        if any(ast.unparse(target).rpartition(".")[2].lower() == "aliases" for target in targets):
            found.update(text.casefold() for _, text in literals(value))
    return found


def all_names() -> frozenset[str]:
    found = set(task_names())
    for file, source in package_sources().items():
        room, _, inside = file.removeprefix("headstart/").partition("/")
        if room == "tasks" and inside.split("/")[0] in task_names():
            found |= aliases(source)
    return frozenset(found)


def test_no_file_outside_tasks_names_a_task() -> None:
    outside = {
        file: source
        for file, source in package_sources().items()
        if not file.startswith("headstart/tasks/")
    }
    assert outside, "no file outside tasks/"
    names = all_names()
    found = [f for file, source in outside.items() for f in name_findings(file, source, names)]
    used = {(finding.file, finding.name) for finding in found}
    assert used >= FORMAT_WORDS, "an exemption that nothing needs"
    found = [finding for finding in found if (finding.file, finding.name) not in FORMAT_WORDS]
    assert not found, listing(found)


@pytest.mark.parametrize(
    "source",
    [
        "if task == 'sorting': pass",
        "LOSSES = {'sorting': 1}",
        "match task:\n  case 'sorting': pass",
        "match record:\n  case {'task': 'sorting'}: pass",
        "Task = Literal['grading', 'sorting']",
        "run(task='Sorting')",
        "dict(sorting=1)",
        "f'{root}/sorting'",
        "f'{root}/sorting/{name}'",
        "x in ('a', 'sorting')",
        "def f(task: str = 'sorting'): ...",
        "from headstart.tasks.sorting import spec",
        "from headstart.tasks import sorting",
        "import headstart.tasks.sorting.spec",
    ],
)
def test_a_planted_name_is_found(source: str) -> None:
    found = name_findings("headstart/jobs.py", source, frozenset({"sorting"}))
    assert len(found) == 1, listing(found)
    assert str(found[0]).startswith("headstart/jobs.py:")


@pytest.mark.parametrize(
    "source",
    [
        '"""sorting"""',
        'def f():\n  """sorting"""',
        'x = 1\n"""sorting"""',
        "x = 'sorting pictures'",
        "sorting = 1",
        "from headstart.tasks import registry",
    ],
)
def test_what_is_no_name_is_let_through(source: str) -> None:
    assert not name_findings("headstart/jobs.py", source, frozenset({"sorting"}))


def test_aliases_are_read_from_a_task() -> None:
    source = (
        "class Spec:\n  aliases = ('sort', 'Rank')\nALIASES: tuple[str, ...] = ('order',)\nx = 'y'"
    )
    assert aliases(source) == {"sort", "rank", "order"}
