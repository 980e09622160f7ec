"""Files that show the same."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from headstart.data import near_duplicates as module
from headstart.data.fingerprints import fingerprint
from headstart.data.near_duplicates import near_duplicates
from headstart.progress import QuietProgress
from pictures import write_picture
from telling import Telling

PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")


def contents(paths: Iterable[Path]) -> dict[Path, str]:
    return {path: fingerprint(path.read_bytes()) for path in paths}


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
    found = near_duplicates(
        contents([*originals, *again, tmp_path / "broken.jpg"]), QuietProgress()
    )
    assert set(found) == set(zip(originals, again, strict=True))


def test_pictures_without_structure_are_no_duplicates(tmp_path: Path) -> None:
    flat = [
        write_picture(tmp_path / f"{value}.png", np.full((60, 60, 3), value, np.uint8))
        for value in (0, 10, 200)
    ]
    assert near_duplicates(contents(flat), QuietProgress()) == []


@pytest.mark.parametrize("chunk", [3, 512])
def test_each_content_is_looked_at_once(
    originals: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(module, "REMEMBER_EVERY", chunk)
    flat = write_picture(tmp_path / "flat.png", np.zeros((60, 60, 3), np.uint8))
    copy = tmp_path / "copy.png"
    copy.write_bytes(originals[0].read_bytes())
    files = [*originals, flat, copy]
    looked: list[Path] = []
    read = module.read_image

    def counted(path: Path, **options: Any) -> Any:
        looked.append(path)
        return read(path, **options)

    monkeypatch.setattr(module, "read_image", counted)
    first, second = Telling(), Telling()
    found = near_duplicates(contents(files), first)
    assert found == [(originals[0], copy)]
    assert len(looked) == len(originals) + 1
    del looked[:]
    assert near_duplicates(contents(files), second) == found
    assert looked == []
    assert (first.bars, second.bars) == (["compare"], [])
    # Another picture under a name that is known.
    originals[1].write_bytes(originals[0].read_bytes())
    Image.open(originals[2]).save(flat)
    again = near_duplicates(contents(files), second)
    assert again == [(originals[0], originals[1], copy), (originals[2], flat)]


def test_what_cannot_be_read_is_tried_again(originals: list[Path], tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    files = {originals[0]: "a", broken: "b"}
    assert near_duplicates(files, QuietProgress()) == []
    broken.write_bytes(originals[0].read_bytes())
    assert near_duplicates(files, QuietProgress()) == [(originals[0], broken)]
