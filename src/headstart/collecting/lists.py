"""Lists of URLs: which pictures are wanted, and under which class."""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

from headstart.data.readers.csv_table import table_rows, table_text
from headstart.errors import DataError

URL = "url"
LABEL = "label"

LONGEST_LABEL = 200
"""Bytes in UTF-8; file systems take 255 for a name."""

SHOWN_PROBLEMS = 5

_FORBIDDEN = frozenset('/\\:*?"<>|')
_RESERVED = frozenset(
    ["con", "prn", "aux", "nul", *(f"{name}{at}" for name in ("com", "lpt") for at in range(1, 10))]
)


@dataclasses.dataclass(frozen=True, slots=True)
class Wanted:
    """A URL of a list.

    Attributes:
        label: class, which is the name of the folder too.
        url: as the list has it, without white space around it.
        licence: what the list says about the picture's licence.
        source: what the list says about where the picture is from.
    """

    label: str
    url: str
    licence: str = ""
    source: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What makes two entries the same."""
        return self.label, self.url


@dataclasses.dataclass(frozen=True, slots=True)
class UrlList:
    """What is wanted: each URL once for each class, in the order of the lists, and remarks."""

    wanted: tuple[Wanted, ...]
    notes: tuple[str, ...]


def read_lists(tables: Sequence[Path], known: Sequence[str] = ()) -> UrlList:
    """Reads lists of URLs.

    A list is a table with the column ``url`` and, where wanted, ``label``, ``licence`` (or
    ``license``) and ``source``; or plain text with a URL a line. Without labels the name of the
    file is the class.

    Args:
        tables: the files.
        known: classes that are there already; a new one must not differ by letter case only.

    Raises:
        DataError: a file cannot be read, or a label cannot name a folder on every system.
    """
    found: dict[tuple[str, str], Wanted] = {}
    notes, problems = [], []
    spelled = {label.casefold(): label for label in known}
    for table in tables:
        repeated = 0
        for line, entry in _entries(table):
            place = f"{table.name} line {line}"
            problem = _label_problem(entry.label)
            other = spelled.setdefault(entry.label.casefold(), entry.label)
            if other != entry.label:
                problem = f"differs from the class {other!r} by letter case only"
            if problem:
                problems.append(f"{place}: the label {entry.label!r} {problem}")
            elif not entry.url:
                notes.append(f"{place} has no URL")
            else:
                repeated += entry.key in found
                found.setdefault(entry.key, entry)
        if repeated:
            notes.append(f"{table.name}: rows that repeat a URL of the same class: {repeated}")
    if problems:
        more = f"; and {len(problems) - SHOWN_PROBLEMS} more" * (len(problems) > SHOWN_PROBLEMS)
        raise DataError("; ".join(problems[:SHOWN_PROBLEMS]) + more)
    if not found:
        raise DataError(f"{', '.join(map(str, tables)) or 'the list'} holds no URLs")
    return UrlList(tuple(found.values()), tuple(notes))


def _entries(table: Path) -> Iterator[tuple[int, Wanted]]:
    lines = table_text(table).splitlines()
    header = _bare(lines[0])
    # A comma in a URL is no delimiter where nothing but URLs is listed.
    if "://" in header or header == URL:
        for line, text in enumerate(lines, start=1):
            url = _bare(text)
            if url and (line, url) != (1, URL):
                yield line, Wanted(_label(table.stem), url)
        return
    for line, row in table_rows(table, URL):
        cells = {name: " ".join(text.split()) for name, text in row.items()}
        label = cells.get(LABEL, table.stem)
        licence = cells.get("licence") or cells.get("license", "")
        yield line, Wanted(_label(label), cells[URL], licence, cells.get("source", ""))


def _bare(text: str) -> str:
    return text.strip().strip('"').strip()


def _label(text: str) -> str:
    """Composed letters: macOS and Linux spell the same accent in two ways."""
    return unicodedata.normalize("NFC", text.strip())


def _label_problem(label: str) -> str:
    """Why a label cannot be a folder's name on Linux, macOS and Windows; empty when it can."""
    bad = sorted({sign for sign in label if sign in _FORBIDDEN or not sign.isprintable()})
    if not label:
        return "is empty"
    if bad:
        return f"holds {bad[0]!r}, which a folder's name must not"
    if label.startswith(".") or label.endswith("."):
        return "begins or ends with a dot, which a folder's name must not"
    if label.partition(".")[0].casefold() in _RESERVED:
        return "is no name for a folder on Windows"
    if len(label.encode()) > LONGEST_LABEL:
        return f"is longer than {LONGEST_LABEL} bytes"
    return ""
