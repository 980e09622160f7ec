"""The runner with peers that do nothing: events, limits, failures, equal weights."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from pathlib import Path

import pytest
from runner import peers
from runner.peers import Job, Outcome, run_peer, weights_problem

HEAD = "import os, sys, time\nimport protocol\njob = protocol.read_job()\n"


def job(work: Path, limit: float = 5.0) -> Job:
    return Job(
        kind="train",
        data="photos",
        train=[("a.jpg", "cat")],
        test=[("b.jpg", "dog")],
        weights="w.safetensors",
        work=str(work),
        seed=3,
        limit=limit,
        options={"lr": 0.1},
    )


def run(tmp_path: Path, body: str, limit: float = 5.0) -> Outcome:
    script = tmp_path / "run.py"
    script.write_text(HEAD + body, encoding="utf-8")
    return run_peer("fake", job(tmp_path, limit), Path(sys.executable), script)


def test_events_become_an_outcome(tmp_path: Path) -> None:
    outcome = run(
        tmp_path,
        "print('a library talks', job['train'][0][1])\n"
        "protocol.say('imports', seconds=2.0)\n"
        "protocol.say('weights', features=[0.5])\n"
        "protocol.say('epoch', seconds=1.0, accuracy=0.25)\n"
        "protocol.say('epoch', seconds=2.0, accuracy=job['seed'] / 4)\n"
        "protocol.say('predicted', seconds=0.5, pictures=10)\n"
        "protocol.say('end', seconds=2.5, censored=False, versions={'x': '1'}, stages={'a': 1})\n",
    )
    assert outcome.error == ""
    assert outcome.points == [(1.0, 0.25), (2.0, 0.75)]
    assert (outcome.seconds, outcome.censored) == (2.5, False)
    assert (outcome.import_seconds, outcome.features) == (2.0, [0.5])
    assert outcome.predicted == [(10, 0.5)]
    assert (outcome.versions, outcome.stages) == ({"x": "1"}, {"a": 1})
    assert outcome.wall_seconds > 0


def test_a_failing_peer_says_why_and_keeps_its_points(tmp_path: Path) -> None:
    outcome = run(
        tmp_path,
        "protocol.say('epoch', seconds=1.0, accuracy=0.5)\nraise ValueError('no such picture')\n",
    )
    assert outcome.points == [(1.0, 0.5)]
    assert outcome.error.endswith("ValueError: no such picture")


def test_a_peer_that_fails_before_the_job_is_no_crash(tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text("import sys\nsys.exit('no library')\n", encoding="utf-8")
    outcome = run_peer("fake", job(tmp_path), Path(sys.executable), script)
    assert outcome.error == "no library"


def test_a_peer_that_hangs_is_ended_with_its_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "WALL_FACTOR", 0)
    monkeypatch.setattr(peers, "WALL_EXTRA", 3)
    outcome = run(
        tmp_path,
        "child = os.fork()\n"
        "if child:\n"
        "    open(job['work'] + '/child.txt', 'w').write(str(child))\n"
        "    protocol.say('epoch', seconds=1.0, accuracy=0.5)\n"
        "time.sleep(600)\n",
    )
    assert outcome.censored
    assert (outcome.seconds, outcome.points) == (5.0, [(1.0, 0.5)])
    child = int((tmp_path / "child.txt").read_text())
    assert not is_running(child)


def is_running(pid: int) -> bool:
    """Waits a moment, because the system takes some time to end a process."""
    for _ in range(100):
        status = Path(f"/proc/{pid}/status")
        try:
            os.kill(pid, 0)
            ended = status.is_file() and "\nState:\tZ" in status.read_text()
        except (OSError, ProcessLookupError):
            ended = True
        if ended:
            return False
        time.sleep(0.05)
    return True


def test_an_unknown_event_is_an_error() -> None:
    with pytest.raises(ValueError, match="no such event: 'progress'"):
        Outcome().take({"event": "progress"})


def test_only_the_project_finds_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "src")
    found = {name: peers.environment(name, "w")["PYTHONPATH"] for name in ("headstart", "keras")}
    assert found == {
        "headstart": os.pathsep.join([str(peers.PEER_FOLDER), "src"]),
        "keras": str(peers.PEER_FOLDER),
    }


def test_nothing_stored_by_an_earlier_job_is_found(tmp_path: Path) -> None:
    environment = peers.environment("fake", str(tmp_path))
    assert environment["HEADSTART_CACHE"] == f"{tmp_path}/cache"
    assert environment["HEADSTART_STATE"] == f"{tmp_path}/state"


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        ([0.1, 0.2], ""),
        ([0.1004, 0.2], ""),
        ([0.1, 0.3], "fake starts from other weights: a feature differs by 0.100"),
        ([], "fake reported 0 features of its starting weights"),
    ],
)
def test_other_weights_are_found(found: list[float], problem: str) -> None:
    assert weights_problem("fake", found, [0.1, 0.2]) == problem


def test_every_peer_has_its_program_and_its_pins() -> None:
    assert len(peers.PEERS) >= 4
    for name, peer in peers.PEERS.items():
        folder = peers.PEER_FOLDER / name
        assert (folder / "run.py").is_file()
        assert set(peer.quick) <= set(peer.variants), name
        requirements = folder / "requirements.txt"
        assert requirements.is_file() == (name != "headstart"), name


def test_a_job_is_plain_data(tmp_path: Path) -> None:
    assert dataclasses.asdict(job(tmp_path))["options"] == {"lr": 0.1}
