"""``headstart collect``: what it prints."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from headstart.cli.main import run

Captured = pytest.CaptureFixture[str]

LIST = "url;label\nftp://a.test/1.jpg;cat\nnothing;cat\nhttp://[::1;dog\n"
"""URLs that are refused before any connection."""


def collect(folder: Path, *arguments: str, text: str = LIST) -> int:
    (folder / "urls.csv").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit) as caught:
        run(["collect", str(folder / "urls.csv"), "--into", str(folder / "photos"), *arguments])
    return int(caught.value.code or 0)


def test_the_summary_is_for_people(tmp_path: Path, capsys: Captured) -> None:
    assert collect(tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == [
        "3 URLs: 0 kept, 0 duplicates, 3 refused, 0 failed",
        "      0  cat",
        "      0  dog",
        "No picture because:",
    ]
    assert lines[4] == "      1  not an address with http or https: 'ftp://a.test/1.jpg'"
    assert lines[-1] == f"Wrote {tmp_path / 'photos' / 'collected.csv'}, one row a URL"


def test_json_has_the_promised_keys(tmp_path: Path, capsys: Captured) -> None:
    assert collect(tmp_path, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    keys = "into results urls fetched kept duplicate refused failed classes reasons notes"
    assert list(found) == keys.split()
    assert (found["urls"], found["fetched"], found["refused"]) == (3, 3, 3)
    assert found["classes"] == {"cat": 0, "dog": 0}
    collect(tmp_path, "--json")
    assert json.loads(capsys.readouterr().out)["fetched"] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-size", "much"), "--max-size must be a number of bytes, .* got 'much'"),
        (("--workers", "0", "--retries", "-1"), "--retries must be .* got -1; --workers must be"),
    ],
)
def test_mistakes_are_one_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path, capsys: Captured
) -> None:
    import re

    assert collect(tmp_path, *arguments) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "photos").exists()


def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("download", "fetch"):
        monkeypatch.delitem(sys.modules, f"headstart.collecting.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "httpx", None)
    assert collect(tmp_path) == 2
    said = capsys.readouterr().err
    assert said.startswith("headstart: Collecting needs the extra 'collect' (module 'httpx'")
    assert not (tmp_path / "photos").exists()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "photos").write_text("a file")
    assert collect(tmp_path) == 2
    assert f"cannot write {tmp_path / 'photos'}: " in capsys.readouterr().err
