"""Collects pictures from the web into class folders."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import re
import unicodedata
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import Any

from headstart.collecting.limits import FailedError, Limits, RefusedError
from headstart.collecting.lists import UrlList, Wanted, read_lists
from headstart.collecting.pictures import Found
from headstart.collecting.results_table import STATUSES, Outcome, ResultsTable
from headstart.errors import ConfigError, RunError, needing_extra
from headstart.progress import Progress, QuietProgress
from headstart.storage import exclusive_lock, write_bytes

RESULTS = "collected.csv"

Downloading = Callable[[Sequence[Wanted]], Generator[tuple[Wanted, Found], None, None]]

# What `storage` writes beside a picture's place before it is whole.
_PARTIAL = re.compile(r"\.[0-9a-f]{16}\.[a-z]+\.[0-9a-f]{32}\.tmp")


@dataclasses.dataclass(frozen=True)
class CollectResult:
    """What became of the lists.

    Attributes:
        into: the folder with a folder for each class.
        results: the table with one row for each URL, also of earlier lists.
        outcomes: one for each URL of these lists, in their order.
        fetched: how many of them were asked for this time; the others were done before.
        notes: sentences that the person should read.
    """

    into: Path
    results: Path
    outcomes: tuple[Outcome, ...]
    fetched: int
    notes: tuple[str, ...]

    def count(self, status: str) -> int:
        """URLs with a status."""
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def classes(self) -> dict[str, int]:
        """Pictures that were kept, by class, in the order of the lists."""
        counts = {outcome.wanted.label: 0 for outcome in self.outcomes}
        for outcome in self.outcomes:
            counts[outcome.wanted.label] += outcome.status == "kept"
        return counts

    @property
    def reasons(self) -> dict[str, int]:
        """Why URLs gave no picture, the most frequent reason first."""
        reasons = (o.reason for o in self.outcomes if o.status in ("refused", "failed"))
        return dict(collections.Counter(reasons).most_common())

    def to_json(self) -> dict[str, Any]:
        """What ``collect --json`` prints."""
        return {
            "into": str(self.into),
            "results": str(self.results),
            "urls": len(self.outcomes),
            "fetched": self.fetched,
            **{status: self.count(status) for status in STATUSES},
            "classes": self.classes,
            "reasons": self.reasons,
            "notes": list(self.notes),
        }


def collect(
    urls: str | Path | Sequence[str | Path],
    into: str | Path,
    *,
    again: bool = False,
    progress: Progress | None = None,
    **limits: Any,
) -> CollectResult:
    """Downloads pictures from lists of URLs into a folder for each class.

    What is done is not fetched again: a command that was stopped goes on when it is repeated.

    Args:
        urls: one or more lists: CSV files with ``url`` and, where wanted, ``label``, ``licence``
            and ``source``, or a URL a line. Without labels the file's name is the class.
        into: folder to write; may hold an earlier collection.
        again: ask also for what was refused before.
        progress: told what happens; None is silent.
        limits: any field of ``headstart.collecting.limits.Limits``.

    Raises:
        HeadstartError: a list, a limit or the folder cannot be used; the message says why.
    """
    known = {field.name for field in dataclasses.fields(Limits)}
    if unknown := sorted(limits.keys() - known):
        raise ConfigError([f"no such limit: {name}" for name in unknown])
    chosen = Limits(**limits)
    with needing_extra("Collecting", "collect"):
        from headstart.collecting.download import download
    folder = Path(into)
    lists = [urls] if isinstance(urls, str | Path) else list(urls)
    listed = read_lists([Path(table) for table in lists], _classes(folder))
    held = f"another process collects into {folder}: wait for its end, or take another folder"
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(exclusive_lock(folder / ".collect.lock", held))
        except OSError as error:
            raise RunError(f"cannot write {folder}: {error.strerror or error}") from error
        begin = functools.partial(download, limits=chosen)
        return _collect(listed, folder, begin, again, progress or QuietProgress())


def _collect(
    listed: UrlList, folder: Path, begin: Downloading, again: bool, progress: Progress
) -> CollectResult:
    _sweep(folder)
    final = {"kept", "duplicate"} if again else {"kept", "duplicate", "refused"}
    with contextlib.closing(ResultsTable(folder / RESULTS)) as table:
        before = table.outcomes
        todo = [
            entry
            for entry in listed.wanted
            if entry.key not in before or before[entry.key].status not in final
        ]
        if len(todo) < len(listed.wanted):
            progress.say(f"{len(listed.wanted) - len(todo)} URLs are done from before")
        kept = {
            (outcome.wanted.label, outcome.sha256)
            for outcome in before.values()
            if outcome.status == "kept"
        }
        with (
            contextlib.closing(begin(todo)) as coming,
            progress.bar("collect", len(todo)) as advance,
        ):
            for entry, found in coming:
                table.add(_keep(entry, found, folder, kept))
                advance(1)
        table.finish(listed.wanted)
        outcomes = tuple(table.outcomes[entry.key] for entry in listed.wanted)
        notes = (*listed.notes, *_conflicts(table.outcomes.values()))
    return CollectResult(folder, folder / RESULTS, outcomes, len(todo), notes)


def _keep(entry: Wanted, found: Found, folder: Path, kept: set[tuple[str, str]]) -> Outcome:
    """Writes a picture before its row: what has a row is whole on the disk."""
    if isinstance(found, RefusedError):
        return Outcome(entry, "refused", str(found))
    if isinstance(found, FailedError):
        return Outcome(entry, "failed", str(found))
    facts = (found.final_url, f"{entry.label}/{found.name}", found.sha256, len(found.content))
    if (entry.label, found.sha256) in kept:
        return Outcome(entry, "duplicate", "another URL of the class has this picture", *facts)
    write_bytes(folder / entry.label / found.name, found.content)
    kept.add((entry.label, found.sha256))
    return Outcome(entry, "kept", "", *facts)


def _conflicts(outcomes: Iterable[Outcome]) -> list[str]:
    """Says that pictures have more than one class, which no model can learn."""
    classes: dict[str, set[str]] = collections.defaultdict(set)
    for outcome in outcomes:
        if outcome.status == "kept":
            classes[outcome.sha256].add(outcome.wanted.label)
    count = sum(len(labels) > 1 for labels in classes.values())
    if not count:
        return []
    return [f"pictures that are in more than one class: {count}; 'headstart check' names them"]


def _classes(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    names = (path.name for path in sorted(folder.iterdir()) if path.is_dir())
    return [unicodedata.normalize("NFC", name) for name in names if not name.startswith(".")]


def _sweep(folder: Path) -> None:
    """Removes what a kill has left of pictures that were being written."""
    for path in folder.glob("*/.*.tmp"):
        if _PARTIAL.fullmatch(path.name):
            path.unlink(missing_ok=True)
