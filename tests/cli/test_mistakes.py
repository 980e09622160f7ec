"""A user's mistake: exit status 2, nothing on standard output, one line that helps on the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.processes import headstart
from headstart import jobs
from headstart.cli.main import run
from pictures import write_class_folders

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths of the commands lie here."""
    monkeypatch.chdir(tmp_path)
    write_class_folders(tmp_path / "photos", 2)
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "notes.txt").write_text("")
    (tmp_path / "broken.yaml").write_text("epochs: [")
    (tmp_path / "strange.yaml").write_text("epoch: 3\nlr: 0\n")


def status_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        run(list(arguments))
    return int(caught.value.code or 0)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train", "Missing argument 'data'"),
        ("train nowhere", "nowhere does not exist"),
        ("train empty", "empty has no layout that is known"),
        ("train photos --nonsense", "No such option: --nonsense"),
        ("train photos --epochs many", "'--epochs': Input should be a valid integer"),
        ("train photos --epochs 0", "--epochs must be greater than or equal to 1, got 0"),
        ("train photos --task divination", "task must be one of"),
        ("train photos --task divination", "got 'divination'"),
        (
            "train photos --strategy magic",
            "--strategy must be 'features', 'finetune' or 'full', got 'magic'",
        ),
        ("train photos --resize fold", "got 'fold'"),
        ("train photos --image-size 1x2x3", "--image-size must be N or HxW, for example 224"),
        ("train photos --image-size 8", "--image-size must be at least 32 on both sides, got '8'"),
        ("train photos --backbone resnot", "--backbone must be one of"),
        ("train photos --out taken", "taken is not empty"),
        ("train photos --config missing.yaml", "missing.yaml cannot be read"),
        ("train photos --config broken.yaml", "broken.yaml is not valid YAML"),
        ("train photos --config strange.yaml", "--epoch is no known setting"),
        ("train photos --config strange.yaml", "--lr must be greater than 0, got 0"),
        ("predict empty x.jpg", "x.jpg does not exist"),
        ("predict empty photos", "empty is not a model folder: model.json is missing"),
        ("predict empty empty", "empty holds no pictures"),
        ("predict empty photos --json --csv", "--json and --csv exclude each other"),
        ("predict empty photos --top-k 0", "'--top-k': Input should be greater than or equal to 1"),
        ("predict empty", "Missing argument 'images'"),
        ("evaluate empty photos", "empty is not a model folder"),
        ("evaluate photos", "Missing argument 'data'"),
        ("teach photos", "No such command 'teach'"),
    ],
)
def test_one_line_says_what_is_wrong(command: str, message: str, capsys: Captured) -> None:
    assert status_of(*command.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1, err
    assert err.startswith("headstart: ")
    assert message in err


def test_all_invalid_settings_are_listed_at_once(capsys: Captured) -> None:
    command = "train photos --epochs 0 --lr -1 --batch-size 1 --resize fold --seed -3"
    assert status_of(*command.split()) == 2
    _, err = capsys.readouterr()
    assert err.count("\n") == 1
    for part in ("--epochs", "got 0", "--lr", "got -1", "--batch-size", "got 1", "--resize"):
        assert part in err
    assert "--seed" in err


def test_all_names_that_stand_for_nothing_are_listed_at_once(capsys: Captured) -> None:
    assert status_of("predict", "empty", "a.jpg", "photos", "b/*.png") == 2
    _, err = capsys.readouterr()
    assert "a.jpg does not exist" in err
    assert "b/*.png does not exist" in err
    assert err.count("\n") == 1


def test_mistakes_leave_no_run_behind(capsys: Captured) -> None:
    for command in ("train nowhere", "train photos --task divination", "train empty"):
        assert status_of(*command.split()) == 2
    assert not Path("runs").exists() or not list(Path("runs").iterdir())


def test_a_defect_of_ours_is_status_1_and_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def broken(*args: object, **options: object) -> None:
        raise ZeroDivisionError("by hand")

    monkeypatch.setattr(jobs, "predict", broken)
    assert status_of("predict", "model", "photos") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "ZeroDivisionError: by hand" in err
    assert err.splitlines()[-1].startswith("this is a defect of headstart")


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("predict", "model", "photos"), "start it again"),
        (("train", "photos"), "repeat the command with --resume, and it goes on where it was"),
        (
            ("collect", "urls.csv", "--into", "photos"),
            "repeat the command, and it goes on: what is done is not fetched again",
        ),
    ],
)
def test_ctrl_c_is_status_130_and_says_how_to_go_on(
    arguments: tuple[str, ...], advice: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def stopped(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, arguments[0], stopped)
    assert status_of(*arguments) == 130
    assert capsys.readouterr().err == f"stopped: {advice}\n"


def test_a_process_ends_with_the_status(tmp_path: Path) -> None:
    found = headstart("train", "nowhere", cwd=tmp_path)
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr == "headstart: nowhere does not exist\n"
