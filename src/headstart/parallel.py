"""Work on many items on all cores, with few of them in memory at a time."""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from headstart.storage import cpu_count

# Items by processor that are begun before they are asked for.
AHEAD = 16

Given = TypeVar("Given")
Found = TypeVar("Found")


def map_ahead(
    work: Callable[[Given], Found],
    items: Iterable[Given],
    *,
    threads: int | None = None,
    ahead: int | None = None,
) -> Iterator[Found]:
    """Results in the order of the items, computed by several threads.

    ``Executor.map`` begins all items at once and keeps their results until they are asked for: the
    decoded pictures of a large data set would fill the memory when the disk is slow.

    Args:
        work: called with each item.
        items: taken one by one, when their turn comes.
        threads: as many as there are processors if None.
        ahead: items that are begun before they are asked for; 16 by processor if None.

    Raises:
        Exception: whatever ``work`` raises for an item, when its result is due.
    """
    ahead = AHEAD * cpu_count() if ahead is None else ahead
    with ThreadPoolExecutor(threads or cpu_count()) as pool:
        begun: collections.deque[Future[Found]] = collections.deque()
        for item in items:
            begun.append(pool.submit(work, item))
            if len(begun) > ahead:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
