"""Pictures decoded once, upright and RGB, at a size from which every training view can be cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.data.store import ArrayStore
from headstart.parallel import map_ahead
from headstart.runtime.images import read_image
from headstart.types import ImageArray, Size

MARGIN = 8 / 7
"""The cached shorter side is this many times the training size, so that crops stay sharp."""

CHUNK_BYTES = 32_000_000
"""Of decoded pictures; two chunks are in memory, of which one is being written from a copy."""


class ImageCache:
    """Decoded pictures by ``Record.pixels``.

    Args:
        folder: of the whole cache.
        size: (height, width) that is trained at, in pixels.
    """

    def __init__(self, folder: Path, size: Size) -> None:
        self.side = round(max(size) * MARGIN)
        self._store = ArrayStore(
            folder / f"images-{self.side}", {"kind": "pictures", "side": self.side}
        )

    def __contains__(self, key: str) -> bool:
        return key in self._store

    def missing(self, keys: Iterable[str]) -> list[str]:
        """The keys that are not stored, in their order, each once."""
        return self._store.missing(keys)

    def get(self, key: str) -> ImageArray:
        """The picture (h, w, 3), uint8, RGB; the shorter side is at most ``side`` pixels."""
        return self._store.get(key)

    def decode(self, source: Path | bytes, white_level: int = 65535) -> ImageArray:
        """Decodes a picture at the cache's size, without storing it.

        Raises:
            UnreadableImageError: it cannot be decoded.
        """
        pixels = read_image(source, at_least=(self.side, self.side), white_level=white_level)
        return shrink(pixels, self.side)

    def add(self, pictures: Iterable[tuple[str, ImageArray]]) -> None:
        """Stores decoded pictures, in chunks as they come; while one is written, others come."""
        for _ in map_ahead(self._store.put, _chunks(pictures), threads=1, ahead=1):
            pass

    def close(self) -> None:
        """The cache is not in use any more."""
        self._store.close()


def shrink(pixels: ImageArray, side: int) -> ImageArray:
    """Resizes so that the shorter side is at most ``side`` pixels; never enlarges."""
    height, width = pixels.shape[:2]
    shorter = min(height, width)
    if shorter <= side:
        return pixels
    size = (max(1, round(width * side / shorter)), max(1, round(height * side / shorter)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))


def _chunks(pictures: Iterable[tuple[str, ImageArray]]) -> Iterator[dict[str, ImageArray]]:
    chunk: dict[str, ImageArray] = {}
    for key, pixels in pictures:
        chunk[key] = pixels
        if _nbytes(chunk) > CHUNK_BYTES:
            yield chunk
            chunk = {}
    yield chunk


def _nbytes(chunk: Mapping[str, ImageArray]) -> int:
    return sum(pixels.nbytes for pixels in chunk.values())
