"""What the architecture tests share: the files of the package, and findings about them."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "headstart"


@dataclasses.dataclass(frozen=True)
class Finding:
    """Something that a rule forbids.

    Attributes:
        file: path relative to ``src``, with forward slashes.
        line: from 1.
        name: what it is about: a function, a module, a literal.
        message: the rule and the value that was found.
    """

    file: str
    line: int
    name: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.name}: {self.message}"


@functools.cache
def package_sources() -> Mapping[str, str]:
    """Text of every Python file of the package, by its path relative to ``src``."""
    sources = {
        path.relative_to(SOURCE).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(PACKAGE.rglob("*.py"))
    }
    if not sources:
        raise FileNotFoundError(f"no Python file in {PACKAGE}")
    return sources


@functools.cache
def task_names() -> frozenset[str]:
    """The folders of ``tasks/`` that hold a ``spec.py``."""
    names = frozenset(path.parent.name for path in (PACKAGE / "tasks").glob("*/spec.py"))
    if not names:
        raise FileNotFoundError(f"no task in {PACKAGE / 'tasks'}")
    return names


def module_name(file: str) -> str:
    """The dotted name of a file: ``headstart/data/__init__.py`` is ``headstart.data``."""
    return file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def listing(findings: Iterable[object]) -> str:
    """One finding a line, for the message of an assertion; empty when there are none."""
    return "\n".join(str(finding) for finding in findings)
