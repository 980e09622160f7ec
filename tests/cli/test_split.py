"""``headstart split``: what it says and writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import headstart
from cli.processes import WITHOUT_TORCH
from cli.processes import headstart as headstart_in_process
from headstart.cli.main import run
from headstart.errors import DataError
from pictures import write_class_folders, write_split_folders

Captured = pytest.CaptureFixture[str]


def split(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        run(["split", *arguments])
    return int(caught.value.code or 0)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_class_folders(tmp_path / "photos", 10)


def test_people_see_sides_by_classes(photos: Path, tmp_path: Path, capsys: Captured) -> None:
    before = sorted(photos.rglob("*"))
    out = tmp_path / "splits.csv"
    assert split(str(photos), "--out", str(out)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:5]] == [
        ["classification", "train", "val", "test"],
        ["pictures", "21", "6", "3"],
        ["disc", "7", "2", "1"],
        ["square", "7", "2", "1"],
        ["stripes", "7", "2", "1"],
    ]
    assert lines[-1] == f"Wrote {out}: headstart train DATA --splits {out}"
    rows = out.read_text(encoding="utf-8").splitlines()
    assert rows[0] == "image,fingerprint,group,split"
    assert len(rows) == 31
    assert sorted(photos.rglob("*")) == before


def test_json_has_the_promised_keys(photos: Path, capsys: Captured) -> None:
    assert split(str(photos), "--group", "name:^(00[0-4])", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["task", "splits", "notes", "omissions", "out"]
    assert list(found["splits"]) == ["train", "val", "test"]
    assert found["out"] is None
    assert "--group name:^(00[0-4]): 15 pictures are in 5 groups" in found["notes"]


def test_training_copies_of_a_given_leak_are_left_out(tmp_path: Path) -> None:
    root = write_split_folders(tmp_path / "photos", {"train": 5, "val": 2, "test": 2})
    shutil.copy(root / "test/disc/000.png", root / "train/disc/copy.png")
    found = headstart.split(root, out=tmp_path / "splits.csv")
    assert [(o.image, o.reason) for o in found.omissions] == [
        ("train/disc/copy.png", "the same file as test/disc/000.png in test")
    ]
    assert found.rows[0] == ("pictures", "15", "6", "6")
    assert "train/disc/copy.png" in (tmp_path / "splits.csv").read_text(encoding="utf-8")


def test_given_sides_can_be_decided_anew(tmp_path: Path) -> None:
    root = write_split_folders(tmp_path / "photos", {"train": 10, "val": 10, "test": 10})
    assert headstart.split(root).rows[0] == ("pictures", "30", "30", "30")
    assert headstart.split(root, anew=True).rows[0] == ("pictures", "63", "18", "9")


def test_nothing_is_written_into_the_data_or_over_other_files(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the data is not changed, say another place"):
        headstart.split(photos, out=photos / "splits.csv")
    (tmp_path / "diary.csv").write_text("day,text\n", encoding="utf-8")
    with pytest.raises(DataError, match="exists and is no table of sides: say another name"):
        headstart.split(photos, out=tmp_path / "diary.csv")
    headstart.split(photos, out=tmp_path / "splits.csv")
    headstart.split(photos, out=tmp_path / "splits.csv")


def test_no_torch_is_needed(photos: Path) -> None:
    result = headstart_in_process("split", photos, forbid=WITHOUT_TORCH, cwd=photos.parent)
    assert result.returncode == 0, result.stderr
