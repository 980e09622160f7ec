"""A progress that remembers what it was told."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from headstart.progress import Advance


class Telling:
    """Keeps what a job says, and the titles of the bars that it shows."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.bars: list[str] = []

    def say(self, text: str) -> None:
        self.texts.append(text)

    @contextlib.contextmanager
    def bar(self, title: str, total: int) -> Iterator[Advance]:
        self.bars.append(title)
        yield lambda _: None
