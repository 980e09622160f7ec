"""Names, locks and clocks of run folders."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

from headstart.errors import RunError
from headstart.jobs.run_folder import RUNS, RunFolder, open_run


@pytest.fixture(autouse=True)
def _own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def begun(run: RunFolder) -> RunFolder:
    run.path.mkdir(parents=True)
    run.config.write_text("seed: 0\n")
    run.plan.write_text("{}")
    return run


def test_names_count_up() -> None:
    data = Path("photos")
    data.mkdir()
    names = [begun(open_run(data, None, resume=False)).path for _ in range(3)]
    assert names == [RUNS / "photos", RUNS / "photos-2", RUNS / "photos-3"]
    assert open_run(data, None, resume=True).path == RUNS / "photos-3"


def test_a_table_gives_its_name_without_ending() -> None:
    table = Path("labels.csv")
    table.write_text("image,value\n")
    assert open_run(table, None, resume=False).path == RUNS / "labels"
    assert open_run(Path("./photos/.."), None, resume=False).path == RUNS / Path.cwd().name


def test_an_explicit_folder_may_be_new_or_empty() -> None:
    Path("empty").mkdir()
    assert open_run(Path("photos"), Path("empty"), resume=False).path == Path("empty")
    assert open_run(Path("photos"), Path("new/er"), resume=False).path == Path("new/er")


def test_an_explicit_folder_that_holds_a_run_is_refused() -> None:
    begun(RunFolder(Path("mine")))
    message = r"mine is not empty: continue the run in it with --resume, or give another folder"
    with pytest.raises(RunError, match=message):
        open_run(Path("photos"), Path("mine"), resume=False)
    assert open_run(Path("photos"), Path("mine"), resume=True).path == Path("mine")


def test_a_file_is_no_run_folder() -> None:
    Path("file").write_text("")
    with pytest.raises(RunError, match=r"file is not empty"):
        open_run(Path("photos"), Path("file"), resume=False)


@pytest.mark.parametrize("left", [[], ["state.json"], ["state.json", "config.yaml"]])
def test_a_run_that_was_stopped_before_it_had_a_plan_starts_again(left: list[str]) -> None:
    out = Path("mine")
    out.mkdir()
    for name in [".lock", *left]:
        (out / name).write_text("")
    for resume in (False, True):
        assert open_run(Path("photos"), out, resume=resume).blank


def test_resuming_what_was_never_started_starts_it() -> None:
    assert open_run(Path("photos"), Path("mine"), resume=True).path == Path("mine")
    assert open_run(Path("photos"), None, resume=True).path == RUNS / "photos"


def test_a_folder_of_something_else_is_refused_even_to_resume() -> None:
    Path("other").mkdir()
    Path("other/notes.txt").write_text("")
    with pytest.raises(RunError, match=r"other is not empty"):
        open_run(Path("photos"), Path("other"), resume=True)


def test_discard_removes_only_what_is_blank() -> None:
    blank, kept, other = (RunFolder(Path(name)) for name in ("blank", "kept", "other"))
    for run in (blank, kept):
        with run.locked():
            run.config.write_text("seed: 0\n")
    kept.plan.write_text("{}")
    other.path.mkdir()
    for run in (blank, kept, other, RunFolder(Path("nothing"))):
        run.discard()
    assert not blank.path.exists()
    assert kept.config.exists()
    assert other.path.exists()


@pytest.mark.parametrize(
    ("number", "hint"), [(errno.EROFS, "Read-only"), (errno.ENOSPC, "; free space")]
)
def test_a_place_that_cannot_be_written_is_said(
    number: int, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *args: object, **options: object) -> None:
        raise OSError(number, os.strerror(number))

    run = open_run(Path("photos"), Path("there/run"), resume=False)
    monkeypatch.setattr(Path, "mkdir", refuse)
    message = rf"cannot write there.run: .*{hint}.*--out names another folder for the run"
    with pytest.raises(RunError, match=message), run.locked():
        pytest.fail("the run was opened")


def test_two_sessions_do_not_work_on_one_run() -> None:
    run = RunFolder(Path("mine"))
    message = r"another process is working on mine: wait for it to end"
    with run.locked(), pytest.raises(RunError, match=message), RunFolder(Path("mine")).locked():
        pass
    with run.locked():
        pass


def test_seconds_and_openings_add_up_over_sessions() -> None:
    first = RunFolder(Path("mine"))
    with first.timed("decode"):
        time.sleep(0.05)
    assert first.count_test_opening() == 1
    second = RunFolder(Path("mine")).continued()
    with second.timed("decode"):
        time.sleep(0.05)
    assert second.count_test_opening() == 2
    found = second.read_state()
    assert found["test_openings"] == 2
    timing = found["timing_s"]
    assert 0.1 <= timing["decode"] < 5
    assert timing["decode"] <= timing["total"] + 0.01
    assert list(timing)[-1] == "total"
