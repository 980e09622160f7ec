"""Paired comparisons: the same pictures, weights and test split, in turn, on an idle machine.

Usage: python benchmarks/run.py [DATA] [--only accuracy,cold] [--peers headstart,fastai] [--seeds N]
                                [--folds K] [--quick] [--smoke]

DATA is a folder with train/ and test/, or a CSV file that names the sides; without it the solar
cells of the demo are taken, where headstart trains for up to ten minutes. Comparisons:

  accuracy    accuracy over time, every peer, every seed; where the time goes; memory
  throughput  bulk predict beside its parts, and beside fastai's get_preds
  prefix      storing views beside OpenVINO's own benchmark and its parts
  steps       training steps: the plain network, and what is left behind each stage
  refit       the head on 10,000 stored features
  cold        predict on one picture from a cold start
  second      how soon training starts, the first time and with another learning rate
  growth      1,000 to 100,000 generated pictures: time and memory (twenty minutes)
  decoding    JPEG decoders side by side; only where it is asked for

Results go to benchmarks/results/, tables to docs/reference/benchmarks.md. With --quick every
comparison but growth runs once, shortened; with --smoke every peer runs on eight generated pictures
a class, to see that it runs. Neither is written to the page. Nothing else may run meanwhile.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from runner.checks import accuracy_checks, figure_checks, solar_checks
from runner.environments import BENCHMARKS, EnvironmentFailedError, python_of
from runner.figures import Figures
from runner.peers import PEERS, Outcome, run_peer, weights_problem
from runner.pictures import sides_of
from runner.results import (
    OtherMachineError,
    best_variants,
    earlier_runs,
    new_result,
    write_result,
)
from runner.session import LIMIT_TIMES, LONGEST, Session, open_session
from runner.tables import result_text, write_page

RESULTS = BENCHMARKS / "results"
PAGE = BENCHMARKS.parent / "docs" / "reference" / "benchmarks.md"
SOLAR_VIEWS = {"augment": "light", "flip": "both"}
# The demo trains the last stages alone and takes half of the time. These pictures are no
# photographs: more has to change, normalisation too. Chosen on the splits of seeds 3 and 4.
# On that of seed 3 these have 88.7 to 89.2 %. Tried there without gain, one run each: from stage 3
# on at 224 pixels 89.0 %, with soft targets and mixup 88.3 %; from stage 4 on at 288 pixels 88.3 %;
# EfficientNet-Lite2 from stage 5 on at 256 pixels 86.9 %.
SOLAR_OPTIONS = {
    **SOLAR_VIEWS,
    "split_stage": 5,
    "stage_lr_factor": 1.0,
    "lr": 2e-3,
    "dropout": 0.2,
    "train_norms": True,
    "views": 4,
    "epochs": 12,
}
QUICK_LIMIT, SMOKE_LIMIT = 90.0, 60.0
# Small enough for two batches an epoch, the least that a schedule can be made for.
SMOKE_OPTIONS = {"epochs": 1, "frozen_epochs": 1}
PREDICT_PEER = "fastai"


def main() -> None:
    """Runs the comparisons that were asked for, one after the other."""
    # Peers lead sessions of their own: they are ended on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    arguments = parse()
    for peer in arguments.peers:
        try:
            # Before the first measurement, because building takes minutes and all cores.
            python_of(peer)
        except EnvironmentFailedError as error:
            sys.exit(str(error))
    with tempfile.TemporaryDirectory(dir=arguments.work) as folder:
        session = open_session(arguments, Path(folder))
        for name in arguments.only:
            finish(session, COMPARISONS[name](session))
    if not arguments.quick and not arguments.smoke and arguments.results == RESULTS:
        write_page(PAGE, arguments.results)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?")
    parser.add_argument("--only", type=names_of(COMPARISONS))
    parser.add_argument("--peers", type=names_of(PEERS), default=list(PEERS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3, help="of the comparisons without seeds")
    parser.add_argument("--target", type=float, default=0.85, help="accuracy for the time to it")
    parser.add_argument(
        "--limit",
        type=float,
        help=f"seconds on a peer's clock; without it {LIMIT_TIMES:g} times what headstart needed, "
        f"{LONGEST:g} at most",
    )
    parser.add_argument("--sizes", default="1000,10000,100000", help="pictures of growth")
    parser.add_argument("--quick", action="store_true", help="once, shortened: ten minutes")
    parser.add_argument("--smoke", action="store_true", help="only whether every peer runs")
    parser.add_argument(
        "--resume", action="store_true", help="keep the accuracy runs that are there, run the rest"
    )
    parser.add_argument(
        "--folds",
        type=int,
        help="of the solar cells, instead of seeds: each cell tests once; a peer's first variant",
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--work", type=Path, help="where temporary files go")
    arguments = parser.parse_args()
    if arguments.folds is not None:
        if arguments.data is not None or arguments.folds < 2:
            parser.error("--folds takes a number from 2 on, and the solar cells: leave out DATA")
        arguments.seeds = arguments.folds
    if arguments.quick:
        arguments.limit = min(arguments.limit or QUICK_LIMIT, QUICK_LIMIT)
        arguments.seeds = arguments.rounds = 1
        quick = [peer for peer in arguments.peers if PEERS[peer].quick]
        arguments.peers = quick or arguments.peers
    if arguments.smoke:
        arguments.limit, arguments.seeds, arguments.rounds = SMOKE_LIMIT, 1, 1
    if arguments.only is None:
        short = arguments.quick or arguments.data is None
        left_out = {"growth", "decoding"} if short else {"decoding"}
        arguments.only = [name for name in COMPARISONS if name not in left_out]
        if arguments.smoke:
            arguments.only = ["accuracy"]
    return arguments


def names_of(known: Any) -> Callable[[str], list[str]]:
    """A parser of names with commas between them."""

    def names(text: str) -> list[str]:
        found = text.split(",")
        if wrong := [name for name in found if name not in known]:
            raise argparse.ArgumentTypeError(f"{wrong[0]!r} is none of {', '.join(known)}")
        return found

    return names


def finish(session: Session, result: dict[str, Any]) -> None:
    """Writes a whole result and prints it."""
    save(session, result)
    sys.stdout.write(result_text(result) + "\n\n")
    sys.stdout.flush()


def save(session: Session, result: dict[str, Any]) -> None:
    """Writes what there is of a result."""
    arguments = session.arguments
    write_result(arguments.results, file_name(arguments, result), result)


def file_name(arguments: argparse.Namespace, result: dict[str, Any]) -> str:
    """Of a result: shortened ones have files of their own."""
    prefix = "smoke-" if arguments.smoke else "quick-" if arguments.quick else ""
    return prefix + str(result["name"])


def accuracy(session: Session) -> dict[str, Any]:
    """Every peer in turn; each other seed in the opposite order. Takes hours, so it can go on."""
    arguments = session.arguments
    short = arguments.quick or arguments.smoke
    name = f"accuracy-{session.name}"
    result = new_result(name, target=arguments.target, quick=short, runs=[])
    runs: list[dict[str, Any]] = result["runs"]
    if arguments.resume:
        try:
            runs += earlier_runs(arguments.results, file_name(arguments, result), result)
        except OtherMachineError as error:
            sys.exit(str(error))
    done = {(run["peer"], run["variant"], run["seed"]) for run in runs}
    for seed in range(arguments.seeds):
        sides = sides_of(session.data(seed))
        before = [run for run in runs if run["seed"] < seed]
        order = [
            (peer, variant)
            for peer in arguments.peers
            for variant in chosen(session, peer, before)
            if (peer, variant, seed) not in done
        ]
        for peer, variant in order if seed % 2 == 0 else order[::-1]:
            options = {**PEERS[peer].variants[variant], **extra_options(session, peer, variant)}
            outcome = run_peer(peer, session.job("train", seed, options, sides, runs))
            runs.append(recorded(session, peer, variant, seed, outcome))
            tell(runs[-1])
            save(session, result)
    checked = solar_checks(runs) if session.solar else []
    result["checks"] = checked + accuracy_checks(runs, arguments.target)
    return result


def chosen(session: Session, peer: str, runs: Sequence[dict[str, Any]]) -> list[str]:
    """The variants of a peer that the next seed runs.

    All of them first, then those that were best; what is best is judged on the test split, which
    is in the peer's favour.
    """
    plan = PEERS[peer]
    mine = [run for run in runs if run["peer"] == peer]
    if session.arguments.smoke:
        return list(dict.fromkeys([next(iter(plan.variants)), list(plan.variants)[-1]]))
    if session.arguments.folds:
        return [next(iter(plan.variants))]
    if session.arguments.quick:
        return list(plan.quick or plan.variants)
    if plan.repeat_all or not mine:
        return list(plan.variants)
    best = best_variants(mine, session.arguments.target)
    return [variant for variant in plan.variants if variant in best]


def extra_options(session: Session, peer: str, variant: str) -> dict[str, Any]:
    """What the data set or a smoke test changes."""
    if peer == "headstart" and session.solar:
        head_alone = "strategy" in PEERS[peer].variants[variant]
        return SOLAR_VIEWS if head_alone else SOLAR_OPTIONS
    if not session.arguments.smoke or peer == "logistic":
        return {}
    if peer == "headstart":
        return {"epochs": 1, "views": 1}
    # A variant without second phase stays one.
    second = PEERS[peer].variants[variant]["epochs"]
    return {
        name: min(value, second) if name == "epochs" else value
        for name, value in SMOKE_OPTIONS.items()
    }


def recorded(
    session: Session, peer: str, variant: str, seed: int, outcome: Outcome
) -> dict[str, Any]:
    """An outcome as it stands in the result file."""
    run = {"peer": peer, "variant": variant, "seed": seed, **dataclasses.asdict(outcome)}
    del run["predicted"]
    run["error"] = outcome.error or weights_problem(peer, outcome.features, session.features)
    # A traceback names folders of this machine.
    run["error"] = run["error"].strip().splitlines()[-1] if run["error"] else ""
    if outcome.error:
        sys.stderr.write(outcome.error + "\n")
    return run


def tell(run: dict[str, Any]) -> None:
    """One line on standard error, because a comparison takes hours."""
    last = f"{run['points'][-1][1]:.4f}" if run["points"] else "none"
    state = run["error"] or ("stopped" if run["censored"] else "done")
    sys.stderr.write(
        f"{run['peer']}, {run['variant']}, seed {run['seed']}: accuracy {last} "
        f"after {run['seconds']:.0f} s ({run['wall_seconds']:.0f} s in all): {state}\n"
    )


def script(name: str, *words: str) -> dict[str, Any]:
    """The figures of one of the small benchmarks, run in a process of its own."""
    command = [sys.executable, str(BENCHMARKS / f"{name}.py"), *words, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def figures_result(session: Session, name: str, figures: Figures) -> dict[str, Any]:
    """A result of figures, with what was promised about them."""
    short = session.arguments.quick or session.arguments.smoke
    found = figures.found
    return new_result(name, quick=short, figures=found, checks=figure_checks(found))


def model_of(session: Session) -> Path:
    """A model folder for what predicts; the head is trained alone, which changes no speed."""
    run = session.work / "model-run"
    if not run.exists():
        command = [sys.executable, "-m", "headstart", "train", str(session.data(0)), "--strategy"]
        command += ["features", "--views", "1", "--out", str(run)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return run / "model"


def throughput(session: Session) -> dict[str, Any]:
    """Headstart's parts and ``predict``, and fastai's ``get_preds``, in turn."""
    model, sides = model_of(session), sides_of(session.data(0))
    listed = session.work / "test-pictures.txt"
    listed.write_text("\n".join(path for path, _ in sides[1]), encoding="utf-8")
    figures = Figures()

    def ours() -> None:
        figures.merge(script("throughput", str(model), f"@{listed}", "--rounds", "1"))

    def theirs() -> None:
        if PREDICT_PEER not in session.arguments.peers:
            return
        outcome = run_peer(PREDICT_PEER, session.job("predict", 0, {}, sides))
        for pictures, seconds in outcome.predicted:
            figures.add("fastai get_preds", pictures / seconds, "pictures/s", ".0f")
        if outcome.error:
            sys.stderr.write(outcome.error + "\n")

    for number in range(session.arguments.rounds):
        for work in (ours, theirs) if number % 2 == 0 else (theirs, ours):
            work()
    if "fastai get_preds" in figures.found:
        ratio = figures.median("predict") / figures.median("fastai get_preds")
        figures.add("predict / fastai's get_preds", ratio, "", ".1f")
    return figures_result(session, f"throughput-{session.name}", figures)


def prefix(session: Session) -> dict[str, Any]:
    """See ``prefix.py``."""
    words = ["--rounds", str(session.arguments.rounds)]
    if session.arguments.quick:
        words += ["--pictures", "256", "--seconds", "5"]
    return simple(session, "prefix", str(session.data(0)), *words)


def steps(session: Session) -> dict[str, Any]:
    """See ``steps.py``."""
    return simple(session, "steps", "--rounds", str(session.arguments.rounds))


def refit(session: Session) -> dict[str, Any]:
    """See ``refit.py``."""
    return simple(session, "refit", "--rounds", str(session.arguments.rounds))


def cold(session: Session) -> dict[str, Any]:
    """See ``cold_predict.py``."""
    picture = sides_of(session.data(0))[1][0][0]
    return simple(session, "cold", str(model_of(session)), picture, program="cold_predict")


def second(session: Session) -> dict[str, Any]:
    """See ``second_run.py``."""
    words = [str(session.data(0)), "--rounds", str(session.arguments.rounds)]
    return simple(session, f"second-{session.name}", *words, program="second_run")


def growth(session: Session) -> dict[str, Any]:
    """See ``growth.py``."""
    words = ["--sizes", session.arguments.sizes, "--work", str(session.work)]
    return simple(session, "growth", *words)


def decoding(session: Session) -> dict[str, Any]:
    """See ``decoding.py``."""
    words = [str(session.data(0)), "--rounds", str(session.arguments.rounds)]
    return simple(session, f"decoding-{session.name}", *words, program="decoding")


def simple(session: Session, name: str, *words: str, program: str = "") -> dict[str, Any]:
    """A result that is the figures of one script, which has its name unless another is given."""
    figures = Figures()
    figures.merge(script(program or name, *words))
    return figures_result(session, name, figures)


COMPARISONS: dict[str, Callable[[Session], dict[str, Any]]] = {
    "accuracy": accuracy,
    "throughput": throughput,
    "prefix": prefix,
    "steps": steps,
    "refit": refit,
    "cold": cold,
    "second": second,
    "growth": growth,
    "decoding": decoding,
}


if __name__ == "__main__":
    main()
