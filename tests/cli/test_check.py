"""``headstart check``: what is printed, and the exit status."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from headstart.cli.main import run
from pictures import write_class_folders

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three classes with three pictures each; one picture is in two, which is an error."""
    folder = write_class_folders(tmp_path / "photos", 3)
    one = min((folder / "disc").iterdir())
    shutil.copy(one, folder / "square" / f"copy{one.suffix}")
    return folder


def status_of(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        run([*arguments])
    return int(caught.value.code or 0)


def test_json_names_every_issue_and_what_could_not_be_checked(
    photos: Path, capsys: Captured
) -> None:
    assert status_of("check", str(photos), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["n_images"] == 10
    (conflict,) = [issue for issue in found["issues"] if issue["check"] == "label-conflict"]
    assert conflict["severity"] == "error"
    assert {image.split("/")[0] for image in conflict["images"]} == {"disc", "square"}
    assert "5 pictures of each" in found["skipped"]["suspicious-label"]


def test_strict_turns_errors_into_the_exit_status(photos: Path, capsys: Captured) -> None:
    assert status_of("check", str(photos), "--strict") == 1
    (photos / "square" / "copy.png").unlink()
    assert status_of("check", str(photos), "--strict") == 0
    capsys.readouterr()


def test_the_summary_counts_and_shows_the_worst_first(photos: Path, capsys: Captured) -> None:
    status_of("check", str(photos))
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("10 pictures: 1 errors, ")
    assert second.split() == ["error", "label-conflict:", "1"]
