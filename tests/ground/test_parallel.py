"""Work on all cores, little of it in memory."""

from __future__ import annotations

import threading

import pytest

from headstart import parallel
from headstart.parallel import map_ahead


def test_results_keep_their_order() -> None:
    assert list(map_ahead(lambda x: x * x, range(500))) == [x * x for x in range(500)]
    assert list(map_ahead(str, [])) == []


def test_few_items_are_begun_before_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cpu_count", lambda: 2)
    lock, begun = threading.Lock(), []

    def work(item: int) -> int:
        with lock:
            begun.append(item)
        return item

    for asked, found in enumerate(map_ahead(work, range(500))):
        assert found == asked
        assert len(begun) <= asked + 1 + parallel.AHEAD * 2
    assert sorted(begun) == list(range(500))


def test_an_error_comes_when_its_result_is_due() -> None:
    def work(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item

    found = []
    with pytest.raises(ValueError, match="three"):
        found.extend(map_ahead(work, range(100)))
    assert found == [0, 1, 2]
