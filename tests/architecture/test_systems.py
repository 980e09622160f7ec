"""Most laptops run Windows or macOS: what only some systems have lies in one module."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from architecture.sources import Finding, listing, package_sources

PLACE = "headstart/storage.py"
MODULES = frozenset({"fcntl", "grp", "msvcrt", "pwd", "resource", "termios", "winreg"})
CALLS = frozenset(
    {"chown", "fork", "geteuid", "getpgid", "getuid", "killpg", "mkfifo", "nice", "setsid"}
    | {"sched_getaffinity", "statvfs", "sync", "uname"}
)


def findings(file: str, source: str) -> Iterator[Finding]:
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name in MODULES]
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            names = [str(node.module)]
        elif isinstance(node, ast.Attribute) and node.attr in CALLS:
            names = [ast.unparse(node)] if ast.unparse(node.value) == "os" else []
        for name in names:
            yield Finding(file, node.lineno, name, f"is not on every system: it belongs in {PLACE}")


def test_calls_that_only_some_systems_have_lie_in_one_module() -> None:
    sources = package_sources()
    found = [f for file, text in sources.items() if file != PLACE for f in findings(file, text)]
    assert PLACE in sources
    assert not found, listing(found)
    # It does hold some, or this test looks for the wrong things.
    assert list(findings(PLACE, sources[PLACE]))


@pytest.mark.parametrize("source", ["import fcntl", "from pwd import getpwuid", "os.fork()"])
def test_such_a_call_is_found(source: str) -> None:
    assert len(list(findings("a.py", source))) == 1
