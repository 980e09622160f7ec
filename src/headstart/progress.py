"""How long work reports itself: sentences and progress bars, or silence.

The library never prints. Every job takes a ``Progress``; the command line passes one that draws on
standard error, so that standard output stays free for results.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

Advance = Callable[[int], None]
"""Called with the number of units that were finished since the last call."""


class Progress(Protocol):
    """Receives what a job wants to tell a person."""

    def say(self, text: str) -> None:
        """Shows one or more lines of text."""

    def bar(self, title: str, total: int) -> AbstractContextManager[Advance]:
        """Shows a bar with the remaining time while the context is open."""


class QuietProgress:
    """Says nothing."""

    def say(self, text: str) -> None:
        """Ignores the text."""

    @contextlib.contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        """Yields a function that does nothing."""
        yield lambda _: None


class ConsoleProgress:
    """Draws on standard error: live bars in a terminal, one line a bar elsewhere."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(file=sys.stderr, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Prints the text as it is."""
        self._console.print(text, markup=False)

    @contextlib.contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        """A bar with counts, elapsed and remaining time; it stays when finished."""
        from rich import progress as rich_progress

        if not self._console.is_terminal:
            yield lambda _: None
            self.say(f"{title}: {total} done")
            return
        columns = (
            rich_progress.TextColumn("{task.description:<22}"),
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            rich_progress.TimeElapsedColumn(),
            rich_progress.TextColumn("left"),
            rich_progress.TimeRemainingColumn(),
        )
        with rich_progress.Progress(*columns, console=self._console) as live:
            task = live.add_task(title, total=total)
            yield lambda units: live.advance(task, units)
