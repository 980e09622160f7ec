"""What the tests of the documentation share: its pages, their links, commands and snippets."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: path relative to the repository.
        line: of the opening fence, from 1.
        language: first word behind the fence.
        marks: further words behind the fence.
        text: what stands between the fences.
    """

    page: str
    line: int
    language: str
    marks: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


@functools.cache
def pages() -> dict[str, str]:
    """Text of every page, by its path relative to the repository."""
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in [*top, *sorted(DOCS.rglob("*.md"))]
    }


def blocks(page: str, text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = []
    for match in _FENCE.finditer(text):
        language, *marks = match[1].split() or [""]
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, language, tuple(marks), match[2]))
    return found


def all_blocks() -> list[Block]:
    """The fenced blocks of all pages."""
    return [block for page, text in pages().items() for block in blocks(page, text)]


def prose(text: str) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", text)


def links(text: str) -> list[str]:
    """Targets of the links of a page."""
    return _LINK.findall(prose(text))


def anchors(text: str) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = (heading.strip().lower() for heading in _HEADING.findall(prose(text)))
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in headings}


def commands(text: str) -> Iterator[str]:
    """Command lines of headstart in the console blocks and in the inline code of a page."""
    for block in blocks("", text):
        if block.language == "console":
            for line in block.text.splitlines():
                if line.startswith("$ headstart "):
                    yield line.removeprefix("$ ").partition(" > ")[0]
    yield from re.findall(r"`(headstart [a-z]+ [^`]+)`", prose(text))


@functools.cache
def generator() -> ModuleType:
    """``scripts/docs.py`` as a module."""
    spec = importlib.util.spec_from_file_location("docs_script", ROOT / "scripts" / "docs.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError("scripts/docs.py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
