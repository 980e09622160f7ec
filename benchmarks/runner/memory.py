"""Anonymous memory of a process and its children: what it cannot give back under pressure.

Linux only: read from ``/proc``.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

PROC = Path("/proc")


def children(pid: int) -> list[int]:
    """All descendants of a process, itself first."""
    found = [pid]
    for known in found:
        with contextlib.suppress(OSError):
            for task in (PROC / str(known) / "task").iterdir():
                text = (task / "children").read_text(encoding="ascii")
                found += [int(child) for child in text.split() if int(child) not in found]
    return found


def anonymous_bytes(pid: int) -> int:
    """Anonymous memory of a process and its descendants now; 0 when it has ended.

    Pages that a forked worker shares with its parent are counted once.
    """
    family = children(pid)
    if len(family) == 1:
        return _field(PROC / str(pid) / "status", "RssAnon:")
    return sum(_field(PROC / str(member) / "smaps_rollup", "Pss_Anon:") for member in family)


def _field(path: Path, name: str) -> int:
    with contextlib.suppress(OSError):
        for line in path.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return 0


class Watch:
    """Largest anonymous memory, by a label that may change while it watches."""

    def __init__(self) -> None:
        self.peaks: dict[str, int] = {}

    @property
    def peak(self) -> int:
        """The largest of all, in bytes."""
        return max(self.peaks.values(), default=0)

    def see(self, label: str, found: int) -> None:
        """Notes one sample."""
        self.peaks[label] = max(self.peaks.get(label, 0), found)


def _always() -> str:
    return "all"


@contextlib.contextmanager
def watching(pid: int, every: float = 1.0, label: Callable[[], str] = _always) -> Iterator[Watch]:
    """Samples a process while the context is open.

    Args:
        pid: of the process.
        every: seconds between two samples.
        label: under which the next sample is noted.
    """
    watch, over = Watch(), threading.Event()

    def sample() -> None:
        while not over.is_set():
            watch.see(label(), anonymous_bytes(pid))
            over.wait(every)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()
