"""Downloads many URLs at a time, few of them from one host."""

from __future__ import annotations

import collections
import contextlib
import threading
import urllib.parse
from collections.abc import Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from headstart.collecting.fetch import Fetcher
from headstart.collecting.limits import FailedError, Limits, RefusedError
from headstart.collecting.lists import Wanted
from headstart.collecting.pictures import Found, picture_of


class Turns:
    """Whose turn it is: hosts one after the other, none with more than ``per_host`` at once."""

    def __init__(self, wanted: Iterable[Wanted], per_host: int) -> None:
        self._per_host = per_host
        self._running: collections.Counter[str] = collections.Counter()
        self._waiting: dict[str, collections.deque[Wanted]] = {}
        for entry in wanted:
            self._waiting.setdefault(host_of(entry.url), collections.deque()).append(entry)
        # Each host is in here once, when something of it waits and it may have one more.
        self._ready = collections.deque(self._waiting)

    def next(self) -> Wanted | None:
        """What to begin now; None while every host with something left has enough."""
        if not self._ready:
            return None
        host = self._ready.popleft()
        entry = self._waiting[host].popleft()
        self._running[host] += 1
        if self._waiting[host] and self._running[host] < self._per_host:
            self._ready.append(host)
        return entry

    def ended(self, entry: Wanted) -> None:
        """Says that something from ``next`` is done."""
        host = host_of(entry.url)
        if self._waiting[host] and self._running[host] == self._per_host:
            self._ready.append(host)
        self._running[host] -= 1


def host_of(url: str) -> str:
    """The host of a URL in lower case; empty where there is none."""
    try:
        return urllib.parse.urlsplit(url).hostname or ""
    except ValueError:
        return ""


def download(wanted: Iterable[Wanted], limits: Limits) -> Generator[tuple[Wanted, Found]]:
    """Pictures, or why there is none, in the order in which they come.

    Close the generator to stop early: downloads that run are given up.
    """
    turns = Turns(wanted, limits.per_host)
    stop = threading.Event()
    running: dict[Future[Found], Wanted] = {}
    with (
        contextlib.closing(Fetcher(limits, stop)) as fetcher,
        ThreadPoolExecutor(limits.workers) as pool,
    ):
        try:
            while True:
                while len(running) < limits.workers and (entry := turns.next()) is not None:
                    running[pool.submit(_fetch, fetcher, entry.url)] = entry
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    entry = running.pop(future)
                    turns.ended(entry)
                    yield entry, future.result()
        finally:
            stop.set()


def _fetch(fetcher: Fetcher, url: str) -> Found:
    try:
        return picture_of(*fetcher.fetch(url))
    except (RefusedError, FailedError) as error:
        return error
