"""``headstart show``: views as training sees them, with their targets."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import headstart
from headstart.errors import DataError
from pictures import write_class_folders

SMALL = {"image_size": 64, "count": 8}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_class_folders(tmp_path / "photos", 10)


def test_a_sheet_of_views_is_drawn(photos: Path, tmp_path: Path) -> None:
    before = sorted(photos.rglob("*"))
    found = headstart.show(photos, out=tmp_path / "one.png", **SMALL)
    assert len(found.views) == 8
    assert len({image for image, _ in found.views}) == 8
    assert any(number > 0 for _, number in found.views)
    with Image.open(found.out) as image:
        # Tiles of at least 160 pixels in one row.
        assert image.width >= 8 * 160
    assert sorted(photos.rglob("*")) == before


def test_the_seed_decides_the_sheet(photos: Path, tmp_path: Path) -> None:
    first = headstart.show(photos, out=tmp_path / "1.png", **SMALL)
    again = headstart.show(photos, out=tmp_path / "2.png", **SMALL)
    other = headstart.show(photos, out=tmp_path / "3.png", seed=1, **SMALL)
    assert first.views == again.views
    assert first.out.read_bytes() == again.out.read_bytes()
    assert first.views != other.views


def test_nothing_is_drawn_into_the_data(photos: Path) -> None:
    with pytest.raises(DataError, match="the data is not changed, say another"):
        headstart.show(photos, out=photos / "batch.png")
    with pytest.raises(DataError, match="--count must be between 1 and 256, got 0"):
        headstart.show(photos, count=0)
