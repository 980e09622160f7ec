"""Environments, memory, generated pictures, steps of growth."""

from __future__ import annotations

import importlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import decoding
import growth
import numpy as np
import pytest
from PIL import Image
from runner import environments, pictures
from runner.figures import Figures
from runner.memory import anonymous_bytes, watching


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "program", sorted(path.stem for path in Path(growth.__file__).parent.glob("*.py"))
)
def test_every_benchmark_can_be_imported(program: str) -> None:
    """They use insides of the package, and are run by hand only."""
    assert callable(importlib.import_module(program).main)


def test_equal_large_files_become_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "LARGE", 4)
    first, second = tmp_path / "first", tmp_path / "second"
    contents = {"same.so": b"equal", "other.so": b"12345", "small.py": b"abc"}
    for name, content in contents.items():
        write(first / name, content)
        write(second / name, b"54321" if name == "other.so" else content)
    assert environments.share_equal_files(second, [first]) == 5
    assert (second / "same.so").samefile(first / "same.so")
    assert not (second / "small.py").samefile(first / "small.py")
    assert (second / "other.so").read_bytes() == b"54321"
    assert sorted(path.name for path in second.iterdir()) == sorted(contents)


def test_the_project_is_a_peer_in_its_own_environment() -> None:
    assert environments.python_of("headstart") == Path(sys.executable)


def test_an_environment_is_built_once_for_its_requirements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requirements = write(tmp_path / "peers" / "fake" / "requirements.txt", b"fake==1\n")
    built = []
    monkeypatch.setattr(environments, "PEERS", tmp_path / "peers")
    monkeypatch.setattr(environments, "ENVIRONMENTS", tmp_path / "venvs")

    def run(command: list[str], peer: str) -> None:
        built.append(command[1:3])
        (tmp_path / "venvs" / peer).mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(environments, "_run", run)
    python = tmp_path / "venvs" / "fake" / "bin" / "python"
    assert environments.python_of("fake") == python
    assert environments.python_of("fake") == python
    assert built == [["-m", "venv"], ["-m", "pip"]]
    requirements.write_bytes(b"fake==2\n")
    environments.python_of("fake")
    assert len(built) == 4


def test_memory_of_a_process_and_its_children() -> None:
    program = (
        "import os, sys, time\n"
        "held = bytearray(os.urandom(1000)) * 60_000\n"
        "if os.fork():\n"
        "    print(flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stdout
        process.stdout.readline()
        # 60 MB that the parent and its forked child share, and some for each interpreter.
        assert 60e6 < anonymous_bytes(process.pid) < 110e6
        with watching(process.pid, 0.01, lambda: "step") as watch:
            while not watch.peaks:
                pass
        assert set(watch.peaks) == {"step"}
        assert watch.peak > 60e6
    finally:
        os.killpg(process.pid, 9)
        process.wait()
        process.stdout.close()


def test_memory_of_a_process_that_has_ended_is_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert anonymous_bytes(process.pid) == 0


def test_generated_pictures_all_differ_and_have_sides(tmp_path: Path) -> None:
    pictures.write_tiny(tmp_path / "tiny")
    files = sorted((tmp_path / "tiny").rglob("*.jpg"))
    assert len({path.read_bytes() for path in files}) == len(files) == 24
    train, test = pictures.sides_of(tmp_path / "tiny")
    assert (len(train), len(test)) == (16, 8)
    assert {label for _, label in train} == {"class-0", "class-1"}
    assert all(Path(path).parts[-3:-1] == ("test", label) for path, label in test)


def test_a_full_disk_is_found_before_anything_is_written(tmp_path: Path) -> None:
    pictures.need_room(tmp_path, 0)
    with pytest.raises(pictures.NoRoomError, match=r"GB are free"):
        pictures.need_room(tmp_path, 10**12)


def test_the_step_of_a_run_is_the_first_that_has_not_ended(tmp_path: Path) -> None:
    assert growth.step_of(tmp_path) == "decode"
    state = write(tmp_path / "state.json", b'{"timing_s": {"decode": 1, "total": 1}}')
    assert growth.step_of(tmp_path) == "features"
    state.write_text(
        '{"timing_s": {"decode": 1, "features": 1, "training": 1, "export": 1, "evaluation": 1}}'
    )
    assert growth.step_of(tmp_path) == "report"


def test_growth_is_extrapolated_by_the_cost_of_one_more_picture() -> None:
    runs = [
        growth.Grown(1000, 20.0, {"decode": 1.0}, {"decode": 100_000_000}),
        growth.Grown(10_000, 60.0, {"decode": 5.0}, {"decode": 150_000_000}),
        growth.Grown(100_000, 510.0, {"decode": 50.0}, {"decode": 90, "features": 120_000_000}),
    ]
    figures = Figures()
    growth.report(runs, figures)
    # 450 s for 90,000 pictures: 5 ms each, and 900,000 more.
    assert figures.median("1,000,000 pictures, extrapolated") == pytest.approx(510 + 4500)
    assert figures.median("memory at the largest / smallest number") == pytest.approx(1.2)


def test_figures_of_several_rounds() -> None:
    figures = Figures()
    figures.add("rate", 1.0, "pictures/s")
    figures.merge({"rate": {"values": [3.0, 5.0], "unit": "pictures/s", "form": ".1f"}})
    assert figures.median("rate") == 3.0


@pytest.mark.parametrize(("given", "wanted"), [(7, 3), (40, 40), (41, 40), (1750, 1000), (3, 9)])
def test_decoders_get_some_pictures_of_all_parts(given: int, wanted: int) -> None:
    paths = [Path(f"{at}.jpg") for at in range(given)]
    some = decoding.some_of(paths, wanted)
    assert min(given, wanted) / 2 <= len(some) <= wanted
    gaps = {paths.index(b) - paths.index(a) for a, b in itertools.pairwise(some)}
    assert len(gaps) == 1
    assert len(paths) - paths.index(some[-1]) <= max(gaps)


def test_enlarged_pictures_are_as_large_as_a_phone_s(tmp_path: Path) -> None:
    small = np.zeros((30, 40, 3), np.uint8)
    small[:, 20:] = 200
    Image.fromarray(small).save(tmp_path / "small.png")
    (large,) = decoding.enlarge([tmp_path / "small.png"], tmp_path)
    with Image.open(large) as picture:
        assert (picture.format, picture.size) == ("JPEG", decoding.PHONE)
        pixels = np.asarray(picture.convert("L"), np.float32)
    assert abs(pixels[:, 3000:].mean() - 200) < 2
    assert 2 < pixels[:, 3000:].std() < 6
