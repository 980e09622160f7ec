"""What peers share: the clock, and what they report."""

from __future__ import annotations

import json
import subprocess
import sys
from types import ModuleType

import pytest
from runner.environments import PEERS


@pytest.fixture
def protocol(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(PEERS))
    import protocol as module  # type: ignore[import-not-found]

    return module


@pytest.fixture
def now(protocol: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    time = [100.0]
    monkeypatch.setattr(protocol.time, "perf_counter", lambda: time[0])
    return time


def test_the_clock_stands_still_while_the_test_split_is_scored(
    protocol: ModuleType, now: list[float]
) -> None:
    clock = protocol.Clock(limit=10.0)
    now[0] = 103.0
    assert clock.seconds == 3.0
    with clock.paused():
        now[0] = 150.0
        assert clock.seconds == 3.0
        clock.pause()
    now[0] = 152.0
    assert clock.seconds == 5.0
    clock.resume()
    assert clock.seconds == 5.0


def test_the_clock_stops_a_peer_after_the_limit(protocol: ModuleType, now: list[float]) -> None:
    clock = protocol.Clock(limit=10.0)
    now[0] = 110.0
    clock.check()
    now[0] = 110.5
    with pytest.raises(protocol.OutOfTimeError, match="the clock has passed 10 s"):
        clock.check()


@pytest.mark.parametrize("at", [104.0, 111.0])
def test_the_end_of_training_says_whether_it_was_the_limit(
    protocol: ModuleType, now: list[float], monkeypatch: pytest.MonkeyPatch, at: float
) -> None:
    said = []
    monkeypatch.setattr(protocol, "say", lambda event, **values: said.append((event, values)))
    clock = protocol.Clock(limit=10.0)
    with protocol.training(clock, "numpy"):
        now[0] = at
        clock.check()
    ((event, values),) = said
    assert (event, values["seconds"], values["censored"]) == ("end", at - 100, at > 110)
    assert list(values["versions"]) == ["numpy"]


def test_only_events_reach_the_runner() -> None:
    program = (
        "import protocol\n"
        "with protocol.importing():\n"
        "    print('a library talks')\n"
        "protocol.say_weights([0.0] * 40 + [1.0] * 40)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=PEERS, capture_output=True, text=True, check=True
    )
    imports, weights = (json.loads(line) for line in done.stdout.splitlines())
    assert imports["event"] == "imports"
    # 16 groups of five channels: the first eight hold zeros, the others ones.
    assert weights == {"event": "weights", "features": [0.0] * 8 + [1.0] * 8}
    assert "a library talks" in done.stderr
