"""``lr-find``: no run folder, the views of the training that follows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import headstart
from headstart.cli.main import run
from headstart.errors import ConfigError
from headstart.training import engines
from pictures import write_class_folders

SETTINGS = {"image_size": 64, "batch_size": 16, "views": 1, "engine": "torch-float32"}


def test_it_makes_no_run_and_training_takes_its_views_and_its_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = write_class_folders(tmp_path / "photos", 14)
    found = headstart.lr_find(data, plot="rates.svg", epochs=1, freeze_epochs=1, **SETTINGS)
    assert found.setting == "lr"
    assert found.suggestion in found.rates
    assert found.plot is not None
    assert found.plot.read_text().startswith("<svg ")
    assert json.loads(json.dumps(found.to_json()))["plot"] == "rates.svg"
    assert not Path("runs").exists()

    def refuse(*args: object) -> None:
        pytest.fail("an engine was opened although every view is stored")

    monkeypatch.setattr(engines, "open_engine", refuse)
    result = headstart.train(
        data, out="run", lr=found.suggestion, epochs=1, freeze_epochs=1, **SETTINGS
    )
    assert result.metrics["n_images"]


def test_only_svg_is_drawn(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--plot must be the name of an \.svg file, got a\.png"):
        headstart.lr_find(tmp_path, plot="a.png")


def test_the_command_line_hands_its_options_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(["lr-find", str(tmp_path), "--plot", "rates.png"])
    assert caught.value.code == 2
    assert "--plot must be the name of an .svg file, got rates.png" in capsys.readouterr().err
