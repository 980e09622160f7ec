"""Numbers that are read off runs, promises, tables."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
from runner.checks import accuracy_checks, figure_checks, solar_checks
from runner.peers import PEERS
from runner.results import (
    OtherMachineError,
    best_variants,
    by_variant,
    earlier_runs,
    fastest_time_to,
    final_accuracy,
    median_time_to,
    new_result,
    time_to,
    write_result,
)
from runner.session import LIMIT, LIMIT_TIMES, LONGEST, Session
from runner.tables import BEGIN, END, of_spread, result_text, write_page


def a_run(
    peer: str,
    *points: tuple[float, float],
    variant: str = "default",
    seconds: float | None = None,
    error: str = "",
) -> dict[str, Any]:
    end = points[-1][0] if seconds is None and points else seconds or 0.0
    return {
        "peer": peer,
        "variant": variant,
        "seed": 0,
        "points": list(points),
        "seconds": end,
        "censored": seconds is not None,
        "import_seconds": 1.0,
        "peak_bytes": 2e9,
        "stages": {},
        "error": error,
    }


def test_the_time_to_a_target_is_that_of_the_first_point_that_reaches_it() -> None:
    run = a_run("fastai", (10, 0.5), (20, 0.85), (30, 0.84))
    assert time_to(run, 0.85) == (20.0, False)
    assert time_to(run, 0.9) == (30.0, True)
    assert final_accuracy(run) == 0.84


def test_the_fastest_is_among_those_that_got_there() -> None:
    runs = [a_run("a", seconds=10), a_run("a", (40, 0.9)), a_run("a", (30, 0.9), error="killed")]
    assert fastest_time_to(runs, 0.85) == 40.0
    assert fastest_time_to(runs[:1], 0.85) is None


def test_others_are_stopped_after_so_many_times_what_headstart_needed(tmp_path: Path) -> None:
    def limit(given: float | None, *runs: dict[str, Any]) -> float:
        arguments = argparse.Namespace(limit=given, target=0.85)
        session = Session(arguments, lambda _: tmp_path, "x", tmp_path, tmp_path, [])
        return session.limit(runs)

    ours, theirs = a_run("headstart", (40, 0.9)), a_run("fastai", (30, 0.9))
    assert limit(None, theirs, ours) == LIMIT_TIMES * 40.0
    assert limit(None, theirs) == LIMIT
    assert limit(7.0, theirs, ours) == 7.0
    assert limit(None, a_run("headstart", (470, 0.9))) == LONGEST


def test_a_run_without_an_epoch_has_no_accuracy() -> None:
    run = a_run("fastai", seconds=900)
    assert (time_to(run, 0.85), final_accuracy(run)) == ((900.0, True), 0.0)


def test_runs_that_never_got_there_are_the_longest() -> None:
    quick, slow = a_run("a", (20, 0.9)), a_run("a", (500, 0.9))
    stopped = a_run("a", (50, 0.5), seconds=90)
    assert median_time_to([stopped, slow, quick], 0.85) == (500.0, False)
    assert median_time_to([stopped, stopped, quick], 0.85) == (90.0, True)
    assert median_time_to([stopped, quick], 0.85) == (90.0, True)


def test_the_best_variants_are_the_fastest_and_the_highest() -> None:
    runs = [
        a_run("a", (20, 0.86), variant="early"),
        a_run("a", (90, 0.91), variant="high"),
        a_run("a", (10, 0.8), variant="low"),
        a_run("a", (5, 0.99), variant="broken", error="no memory"),
    ]
    assert best_variants(runs, 0.85) == {"early", "high"}
    assert best_variants(runs, 0.95) == {"high"}
    assert best_variants(runs[3:], 0.85) == set()
    assert set(by_variant(runs)) == {("a", "early"), ("a", "high"), ("a", "low")}


def test_promises_about_accuracy() -> None:
    runs = [
        a_run("headstart", (40, 0.88)),
        a_run("fastai", (600, 0.8), (1000, 0.86), variant="x"),
        a_run("fastai", (600, 0.8), variant="y", seconds=700),
        a_run("logistic", (11, 0.855), variant="torch"),
    ]
    ratio, points, times = accuracy_checks(runs, 0.85)
    # 1000 s / 40 s; 88.0 - 85.5; 40 s / 11 s
    assert (ratio["found"], ratio["kept"]) == ("25.0", True)
    assert (points["found"], points["promised"], points["kept"]) == ("2.5", "at least 3.0", False)
    assert (times["found"], times["promised"], times["kept"]) == ("3.6", "at most 4.0", True)


def test_a_larger_input_is_held_against_the_small_rival_too() -> None:
    runs = [
        a_run("headstart", (30, 0.88)),
        a_run("headstart", (44, 0.89), variant="larger input"),
        a_run("logistic", (11, 0.855), variant="torch"),
    ]
    found = {
        check["what"]: (check["found"], check["kept"]) for check in accuracy_checks(runs, 0.85)
    }
    assert found == {
        "points above logistic, torch": ("2.5", False),
        "time / that of logistic, torch": ("2.7", True),
        "larger input: points above logistic, torch": ("3.5", True),
        "larger input: time / that of logistic, torch": ("4.0", True),
    }


def test_the_fastest_variant_of_each_side_is_compared() -> None:
    runs = [
        a_run("headstart", (40, 0.88)),
        a_run("headstart", (20, 0.86), variant="features"),
        a_run("headstart", (5, 0.8), variant="too early"),
        a_run("fastai", (900, 0.86), variant="slow"),
        a_run("fastai", (500, 0.86), variant="quick"),
    ]
    ratio = accuracy_checks(runs, 0.85)[0]
    assert (ratio["found"], ratio["kept"]) == ("25.0", True)


def test_a_ratio_to_stopped_runs_is_a_lower_bound() -> None:
    runs = [
        a_run("headstart", (40, 0.88)),
        a_run("fastai", variant="x", seconds=900),
        a_run("fastai", variant="y", seconds=600),
    ]
    (ratio,) = accuracy_checks(runs, 0.85)
    assert (ratio["found"], ratio["kept"]) == (">15.0", False)


def test_a_target_that_headstart_misses_is_a_broken_promise() -> None:
    runs = [a_run("headstart", (40, 0.84)), a_run("fastai", (900, 0.8))]
    (check,) = accuracy_checks(runs, 0.85)
    assert not check["kept"]
    assert accuracy_checks(runs[1:], 0.85) == []


def test_promises_about_the_solar_cells() -> None:
    runs = [a_run("headstart", (300, 0.88)), a_run("headstart", (601, 0.89))]
    accuracy, longest = solar_checks(runs)
    # The mean of 88 and 89 %.
    assert (accuracy["found"], accuracy["kept"]) == ("88.50", True)
    assert (longest["found"], longest["kept"]) == ("601", False)


def test_promises_about_figures_use_medians() -> None:
    figures = {"cold predict": {"values": [0.8, 0.9, 3.0]}, "something else": {"values": [1.0]}}
    (check,) = figure_checks(figures)
    assert (check["what"], check["found"], check["kept"]) == ("cold predict", "0.90", True)


def test_spread() -> None:
    assert of_spread([3.0], ".1f") == "3.0"
    assert of_spread([3.0, 1.0, 2.0], ".1f") == "2.0 (1.0 to 3.0)"


def test_the_page_holds_whole_results_and_keeps_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["run.py", "/somewhere/else/food", "--seeds", "3"])
    runs = [a_run("fastai", (10, 0.5), seconds=90), a_run("keras", error="no memory")]
    result = new_result("accuracy-food", target=0.85, quick=False, runs=runs)
    assert result["command"] == "python benchmarks/run.py food --seeds 3"
    write_result(tmp_path / "results", "accuracy-food", result)
    write_result(tmp_path / "results", "quick", {**result, "name": "left out", "quick": True})
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n{BEGIN}\nold\n{END}\nAfter.\n", encoding="utf-8")
    assert write_page(page, tmp_path / "results") == 1
    text = page.read_text(encoding="utf-8")
    assert text.startswith(f"# Page\n{BEGIN}\n\n### accuracy-food\n")
    assert text.endswith(f"{END}\nAfter.\n")
    assert "| fastai, default | 1 | 50.0 | 90, 1 stopped | >90 | 1.0 | 2000 |" in text
    assert "Failed: keras, default." in text
    assert "old" not in text
    assert "left out" not in text
    assert "somewhere" not in text


def test_figures_become_a_table() -> None:
    figures = {"decode": {"values": [300.0, 320.0], "unit": "pictures/s", "form": ".0f"}}
    result = new_result("throughput", figures=figures, checks=[])
    assert "| decode | 310 (300 to 320) | pictures/s |" in result_text(result)
    json.dumps(result)


def test_runs_of_an_earlier_call_are_kept_unless_they_failed(tmp_path: Path) -> None:
    result = new_result("accuracy-food", target=0.85, quick=False, runs=[])
    assert earlier_runs(tmp_path, "accuracy-food", result) == []
    kept, failed = a_run("fastai", (10, 0.5)), a_run("fastai", error="killed")
    write_result(tmp_path, "accuracy-food", {**result, "runs": [kept, failed]})
    found = earlier_runs(tmp_path, "accuracy-food", result)
    assert [(run["peer"], run["error"]) for run in found] == [("fastai", "")]


@pytest.mark.parametrize(
    ("change", "said"),
    [({"target": 0.9}, "target 0.9, now 0.85"), ({"cores": 64}, "cores 64, now")],
)
def test_runs_of_another_machine_are_not_mixed_in(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    result = new_result("accuracy-food", target=0.85, quick=False, runs=[])
    old = {**result, **change, "machine": {**result["machine"], **change}}
    write_result(tmp_path, "accuracy-food", old)
    with pytest.raises(OtherMachineError, match=said):
        earlier_runs(tmp_path, "accuracy-food", result)


def test_a_comparison_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import run as program  # type: ignore[import-not-found]

    arguments = argparse.Namespace(
        peers=["logistic", "fastai"],
        seeds=2,
        target=0.85,
        quick=False,
        smoke=False,
        results=tmp_path,
        data=tmp_path,
        limit=None,
        folds=None,
        resume=True,
    )
    session = Session(arguments, lambda _: tmp_path, "food", tmp_path, tmp_path / "w", [])
    variants = list(PEERS["fastai"].variants)
    earlier = [
        a_run("fastai", (10, 0.5 + at / 10), variant=variant) for at, variant in enumerate(variants)
    ]
    # Of the first seed one variant is missing, as after a stop.
    first = new_result("accuracy-food", target=0.85, quick=False, runs=earlier[1:])
    write_result(tmp_path, "accuracy-food", first)
    monkeypatch.setattr(program, "sides_of", lambda _: ([], []))
    monkeypatch.setattr(program, "run_peer", lambda peer, job: (peer, job))
    monkeypatch.setattr(program, "tell", lambda run: None)
    monkeypatch.setattr(
        program,
        "recorded",
        lambda session, peer, variant, seed, outcome: {
            **a_run(peer, (20, 0.6), variant=variant),
            "seed": seed,
        },
    )
    runs = program.accuracy(session)["runs"]
    done = [(run["peer"], run["variant"], run["seed"]) for run in runs]
    assert len(set(done)) == len(done)
    assert done[: len(variants) - 1] == [("fastai", variant, 0) for variant in variants[1:]]
    assert ("fastai", variants[0], 0) in done
    best = [variant for peer, variant, seed in done if (peer, seed) == ("fastai", 1)]
    assert best == [variants[-1]]
    logistic = list(PEERS["logistic"].variants)
    assert [v for p, v, seed in done if (p, seed) == ("logistic", 0)] == logistic


@pytest.mark.parametrize(
    ("shortened", "file"),
    [("", "accuracy-food"), ("quick", "quick-accuracy-food"), ("smoke", "smoke-accuracy-food")],
)
def test_a_shortened_comparison_goes_on_from_its_own_file(shortened: str, file: str) -> None:
    import run as program

    arguments = argparse.Namespace(quick=shortened == "quick", smoke=shortened == "smoke")
    assert program.file_name(arguments, {"name": "accuracy-food"}) == file


@pytest.mark.parametrize("words", [["--folds", "0"], ["--folds", "1"], ["food", "--folds", "4"]])
def test_folds_are_of_the_solar_cells_and_at_least_two(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import run as program

    monkeypatch.setattr("sys.argv", ["run.py", *words])
    with pytest.raises(SystemExit):
        program.parse()
    assert "--folds takes a number from 2 on" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["run.py", "--folds", "2"])
    assert program.parse().seeds == 2
