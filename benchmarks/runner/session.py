"""What all comparisons of one call share: data, starting weights, and the jobs of peers."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from runner.checks import SPEEDUP
from runner.environments import BENCHMARKS
from runner.peers import Job, Rows
from runner.pictures import write_tiny, write_weights
from runner.results import Run, fastest_time_to

LIMIT_TIMES = 1.075 * SPEEDUP
"""A peer is stopped after so many times what headstart needed to the target: a little more than is
promised, so that who is stopped has lost by more than that."""

LIMIT = 900.0
"""Seconds on a peer's clock where no run of headstart got to the target before."""

LONGEST = 1800.0
"""Seconds on a peer's clock at most: where headstart itself takes minutes, the multiple would be
hours, for each variant and seed."""


@dataclasses.dataclass(frozen=True)
class Session:
    """What all comparisons of one call share.

    Attributes:
        arguments: of the command line.
        data: the data set of a seed.
        name: of the data set.
        work: folder that is removed at the end.
        weights: file with the starting weights.
        features: that every peer must find with them.
    """

    arguments: argparse.Namespace
    data: Callable[[int], Path]
    name: str
    work: Path
    weights: Path
    features: Sequence[float]

    @property
    def solar(self) -> bool:
        """Whether the data are the solar cells of the demo."""
        return self.arguments.data is None and not self.arguments.smoke

    def limit(self, runs: Sequence[Run]) -> float:
        """Seconds on a peer's clock, from what headstart needed in the runs so far."""
        if self.arguments.limit is not None:
            return float(self.arguments.limit)
        ours = [run for run in runs if run["peer"] == "headstart"]
        fastest = fastest_time_to(ours, self.arguments.target)
        return LIMIT if fastest is None else min(LIMIT_TIMES * fastest, LONGEST)

    def job(
        self,
        kind: str,
        seed: int,
        options: dict[str, Any],
        sides: tuple[Rows, Rows],
        runs: Sequence[Run] = (),
    ) -> Job:
        """A job in an empty folder; ``runs`` are those before it, which decide its limit."""
        work = self.work / "job"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        train, test = sides
        return Job(
            kind=kind,
            data=str(self.data(seed).resolve()),
            train=train,
            test=test,
            weights=str(self.weights),
            work=str(work),
            seed=seed,
            limit=self.limit(runs),
            options=options,
        )


def open_session(arguments: argparse.Namespace, work: Path) -> Session:
    """Writes the weights and finds the data."""
    if arguments.smoke:
        tiny = write_tiny(work / "tiny")
        data, name = (lambda seed: tiny), "smoke"
    elif arguments.data is not None:
        data, name = (lambda seed: arguments.data), arguments.data.resolve().stem
    else:
        sys.path.insert(0, str(BENCHMARKS.parent / "scripts"))
        import demo  # type: ignore[import-not-found]

        data, name = demo.write_tables, "solar-cells"
        if folds := arguments.folds:
            data, name = (lambda seed: demo.write_fold(seed, folds)), "solar-cells-folds"
    weights = work / "tf_efficientnet_lite0.safetensors"
    return Session(arguments, data, name, work, weights, write_weights(weights))
