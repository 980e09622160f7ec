"""Progress goes to standard error, or nowhere."""

from __future__ import annotations

import pytest

from headstart.progress import ConsoleProgress, QuietProgress


def test_quiet_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    progress = QuietProgress()
    progress.say("hello")
    with progress.bar("decode", 3) as advance:
        advance(3)
    assert capfd.readouterr() == ("", "")


def test_console_writes_to_standard_error_only(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ConsoleProgress()
    progress.say("classes [a, b]: 3 " + "long " * 40)
    with progress.bar("decode", 3) as advance:
        advance(1)
    out, err = capsys.readouterr()
    assert out == ""
    # Text in brackets is no markup, long lines stay whole, and without a terminal a bar is a line.
    assert err == "classes [a, b]: 3 " + "long " * 40 + "\ndecode: 3 done\n"


def test_a_bar_that_fails_does_not_say_done(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ConsoleProgress()
    with pytest.raises(ValueError, match="broken"), progress.bar("decode", 3):
        raise ValueError("broken")
    assert "done" not in capsys.readouterr().err


def test_a_bar_in_a_terminal_shows_its_counts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    progress = ConsoleProgress()
    with progress.bar("decode", 3) as advance:
        advance(1)
        advance(2)
    assert "3/3" in capsys.readouterr().err
