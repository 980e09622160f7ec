"""A run's folder: its name, its lock, and the small files that let it be resumed."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headstart.errors import RunError
from headstart.storage import exclusive_lock, read_json, room_hint, write_json

RUNS = Path("runs")
LOCK = ".lock"


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """Paths of a run, and its clock.

    Attributes:
        path: the folder.
        opened: when this session began, on the clock of ``time.perf_counter``.
        earlier: seconds that earlier sessions spent.
    """

    path: Path
    opened: float = dataclasses.field(default_factory=time.perf_counter)
    earlier: float = 0.0

    @property
    def seconds(self) -> float:
        """Spent so far, in all sessions."""
        return self.earlier + time.perf_counter() - self.opened

    @property
    def config(self) -> Path:
        """Settings as they were resolved."""
        return self.path / "config.yaml"

    @property
    def custom(self) -> Path:
        """Keys of an own transform or loss, where there is one."""
        return self.path / "custom.json"

    @property
    def splits(self) -> Path:
        """Side of every picture."""
        return self.path / "splits.csv"

    @property
    def plan(self) -> Path:
        """Decisions that a resumed run reuses."""
        return self.path / "plan.json"

    @property
    def state(self) -> Path:
        """Seconds spent so far and how often the test split was opened."""
        return self.path / "state.json"

    @property
    def journal(self) -> Path:
        """One line an epoch."""
        return self.path / "metrics.jsonl"

    @property
    def metrics(self) -> Path:
        """The scores; written last of the files that scripts read."""
        return self.path / "metrics.json"

    @property
    def model(self) -> Path:
        """The model folder."""
        return self.path / "model"

    @property
    def report(self) -> Path:
        """The page for people; ``report.json`` beside it holds the same as data."""
        return self.path / "report.html"

    @property
    def drawn(self) -> Path:
        """Pictures of the report that show targets beside predictions."""
        return self.path / "drawn"

    @property
    def blank(self) -> bool:
        """Whether it was stopped, by a mistake in the input or a kill, before it had a plan."""
        known = (self.state, self.config, self.custom)
        names = {path.name for path in self.path.iterdir()} if self.path.is_dir() else set()
        return LOCK in names and names <= {LOCK, *(p.name for p in known)}

    def discard(self) -> None:
        """Removes a blank run, so that its name is free again."""
        if self.blank:
            with contextlib.suppress(OSError):
                shutil.rmtree(self.path)

    @property
    def finished(self) -> bool:
        """Whether the run has its scores and its report."""
        return self.metrics.is_file() and self.report.is_file()

    def read_state(self) -> dict[str, Any]:
        """What earlier sessions of the run recorded."""
        if self.state.is_file():
            found: dict[str, Any] = read_json(self.state)
            return found
        return {"timing_s": {}, "test_openings": 0}

    def read_journal(self) -> list[dict[str, Any]]:
        """What every epoch recorded; nothing where a head was solved and no epoch trained."""
        if not self.journal.is_file():
            return []
        return [json.loads(line) for line in self.journal.read_text().splitlines()]

    @contextlib.contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Adds the seconds of a step to those of earlier sessions."""
        start = time.perf_counter()
        yield
        state = self.read_state()
        timing = state["timing_s"]
        now = time.perf_counter()
        timing.pop("total", None)
        timing[step] = round(timing.get(step, 0.0) + now - start, 3)
        timing["total"] = round(self.earlier + now - self.opened, 3)
        write_json(self.state, state)

    def continued(self) -> RunFolder:
        """The same run, whose clock goes on from what earlier sessions recorded."""
        earlier = self.read_state()["timing_s"].get("total", 0.0)
        return dataclasses.replace(self, earlier=earlier)

    def count_test_opening(self) -> int:
        """Records that the test split is looked at; returns how often it was so far."""
        state = self.read_state()
        state["test_openings"] += 1
        write_json(self.state, state)
        return int(state["test_openings"])

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes out while this one works on the run."""
        busy = f"another process is working on {self.path}: wait for it to end"
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(exclusive_lock(self.path / LOCK, busy))
            except OSError as error:
                raise RunError(
                    f"cannot write {self.path}: {error.strerror or error}{room_hint(error)}; "
                    "--out names another folder for the run"
                ) from error
            yield


def open_run(data: Path, out: Path | None, resume: bool) -> RunFolder:
    """Chooses the folder of a run.

    Args:
        data: names the run when ``out`` is None.
        out: asked for explicitly.
        resume: take the run that exists; one that was killed before it wrote anything, or does not
            exist, starts from the beginning.

    Raises:
        RunError: ``out`` holds another run or something else.
    """
    if out is not None:
        run = RunFolder(out)
        used = out.exists() and (not out.is_dir() or any(out.iterdir())) and not run.blank
        if used and not (resume and run.config.is_file()):
            raise RunError(
                f"{out} is not empty: continue the run in it with --resume, "
                "or give another folder to --out"
            )
        return run
    name = data.resolve().stem if data.is_file() else data.resolve().name
    newest = None
    for number in itertools.count(1):
        run = RunFolder(RUNS / (name if number == 1 else f"{name}-{number}"))
        if not run.path.exists():
            break
        newest = run
    return newest if resume and newest is not None else run
