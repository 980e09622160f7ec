"""Files that show the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from headstart.data.near_duplicates import near_duplicates
from headstart.progress import QuietProgress
from pictures import write_picture

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


@pytest.fixture
def originals(tmp_path: Path) -> list[Path]:
    return [
        write_picture(tmp_path / f"{name}.png", getattr(photographs, name)())
        for name in PHOTOGRAPHS
    ]


def test_a_photograph_saved_again_is_found(originals: list[Path], tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    again = []
    for path in originals:
        image = Image.open(path)
        image.save(tmp_path / f"{path.stem}-again.jpg", quality=90)
        again.append(tmp_path / f"{path.stem}-again.jpg")
    found = near_duplicates([*originals, *again, tmp_path / "broken.jpg"], QuietProgress())
    assert set(found) == set(zip(originals, again, strict=True))


def test_pictures_without_structure_are_no_duplicates(tmp_path: Path) -> None:
    flat = [
        write_picture(tmp_path / f"{value}.png", np.full((60, 60, 3), value, np.uint8))
        for value in (0, 10, 200)
    ]
    assert near_duplicates(flat, QuietProgress()) == []


def test_one_file_twice_is_no_group(originals: list[Path]) -> None:
    assert near_duplicates([*originals, *originals], QuietProgress()) == []
