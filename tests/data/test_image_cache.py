"""Decoded pictures at training size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from headstart.data import image_cache
from headstart.data.image_cache import ImageCache, shrink
from headstart.errors import RunError
from headstart.types import ImageArray, Size
from pictures import make_picture


@pytest.mark.parametrize(
    ("size", "expected"),
    # The shorter side becomes 32, the other one in proportion, by hand; nothing is enlarged.
    [
        ((64, 128), (32, 64)),
        ((128, 64), (64, 32)),
        ((33, 99), (32, 96)),
        ((32, 500), (32, 500)),
        ((1, 500), (1, 500)),
        ((7, 5), (7, 5)),
    ],
)
def test_shrinking(size: Size, expected: Size) -> None:
    assert shrink(np.zeros((*size, 3), np.uint8), 32).shape == (*expected, 3)


def test_pictures_are_stored_in_chunks_as_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = [make_picture("stripes", at) for at in range(5)]
    monkeypatch.setattr(image_cache, "CHUNK_BYTES", 2 * pixels[0].nbytes)
    cache = ImageCache(tmp_path, (224, 224))
    cache.add((f"key{at}", picture) for at, picture in enumerate(pixels))
    # A chunk is closed by the picture that goes over the limit: 3 + 2.
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2
    again = ImageCache(tmp_path, (224, 224))
    for at, picture in enumerate(pixels):
        np.testing.assert_array_equal(again.get(f"key{at}"), picture)


def test_a_chunk_that_cannot_be_written_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures = [(f"key{at}", make_picture("stripes", at)) for at in range(5)]
    monkeypatch.setattr(image_cache, "CHUNK_BYTES", 1)
    cache = ImageCache(tmp_path, (224, 224))
    written: list[list[str]] = []

    def put(chunk: Mapping[str, ImageArray]) -> None:
        if len(written) == 2:
            raise RunError("the disk is full")
        written.append(list(chunk))

    monkeypatch.setattr(cache._store, "put", put)
    with pytest.raises(RunError, match="the disk is full"):
        cache.add(pictures)
    assert written == [["key0"], ["key1"]]


def test_sizes_do_not_mix(tmp_path: Path) -> None:
    ImageCache(tmp_path, (224, 224)).add([("key", make_picture("disc", 0))])
    assert "key" in ImageCache(tmp_path, (224, 112))  # the longer side decides
    assert "key" not in ImageCache(tmp_path, (96, 96))
