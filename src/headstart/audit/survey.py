"""Looks at every picture file of a data set once, for all checks together."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.data.fingerprints import Scanned
from headstart.data.scan import Scan, scan
from headstart.errors import UnreadableImageError
from headstart.parallel import map_ahead
from headstart.progress import Progress
from headstart.runtime.images import describe_file, read_image
from headstart.types import Frame, ImageArray

if TYPE_CHECKING:
    from headstart.data.image_cache import ImageCache

THUMBNAIL = 64
"""Side in pixels of the square grey pictures in which copies are looked for."""

MEASURED = 256
"""Longest side in pixels at which brightness and sharpness are measured."""

Grey = npt.NDArray[np.uint8]
"""(h, w), uint8."""


@dataclasses.dataclass(frozen=True)
class Looks:
    """What a picture looks like.

    Attributes:
        brightness: mean, 0 (black) to 1 (white).
        low: brightness that 1 % of the pixels do not reach.
        high: brightness that 1 % of the pixels exceed.
        sharpness: mean square of the Laplacian relative to the variance; 0 for a blank picture.
        thumbnail: grey, ``THUMBNAIL`` pixels a side, whatever the picture's shape.
    """

    brightness: float
    low: float
    high: float
    sharpness: float
    thumbnail: Grey


@dataclasses.dataclass(frozen=True)
class Picture:
    """One file.

    Attributes:
        path: where it lies.
        image: path relative to the data set's root.
        fingerprint: hash of its content.
        pixels: key of its decoded pixels.
        error: why it is no usable picture, or None.
        frame: how the picture lies in the file.
        format: in Pillow's words.
        animated: whether it has several frames.
        looks: None where it cannot be decoded.
    """

    path: Path
    image: str
    fingerprint: str
    pixels: str = ""
    error: str | None = None
    frame: Frame = Frame((0, 0))  # noqa: RUF009 - frozen
    format: str = ""
    animated: bool = False
    looks: Looks | None = None


def look_at(
    files: Mapping[Path, str], cache: ImageCache | None, progress: Progress
) -> tuple[Picture, ...]:
    """Opens every file.

    Args:
        files: names of pictures by path.
        cache: where decoded pictures are kept; None decodes without keeping them.
        progress: shows bars.
    """
    found = scan(list(files), cache, progress)
    with progress.bar("look", len(files)) as advance:
        pictures = []
        for picture in map_ahead(lambda path: _look(path, files[path], found, cache), files):
            pictures.append(picture)
            advance(1)
    return tuple(pictures)


def readable(pictures: Iterable[Picture]) -> list[Picture]:
    """Those that can be decoded."""
    return [picture for picture in pictures if picture.looks is not None]


def _look(path: Path, image: str, found: Scan, cache: ImageCache | None) -> Picture:
    seen: Scanned = found.files[path]
    if seen.error is not None:
        return Picture(path, image, seen.fingerprint, error=seen.error)
    key = found.pixels_key(path)
    try:
        kind, animated = describe_file(path)
        pixels = (
            cache.get(key)
            if cache is not None
            else read_image(path, at_least=(MEASURED, MEASURED), white_level=found.white_level)
        )
    except UnreadableImageError as error:
        return Picture(path, image, seen.fingerprint, error=str(error))
    looks = measure_looks(pixels)
    return Picture(path, image, seen.fingerprint, key, None, seen.frame, kind, animated, looks)


def measure_looks(pixels: ImageArray) -> Looks:
    """Brightness and sharpness of a picture (h, w, 3), uint8, RGB."""
    grey = Image.fromarray(np.ascontiguousarray(pixels)).convert("L")
    square = (THUMBNAIL, THUMBNAIL)
    thumbnail = np.asarray(grey.resize(square, Image.Resampling.BOX))
    grey.thumbnail((MEASURED, MEASURED), Image.Resampling.BOX)
    values = np.asarray(grey, dtype=np.float32)
    low, high = (float(v) / 255 for v in np.percentile(values, (1, 99)))
    return Looks(float(values.mean()) / 255, low, high, _sharpness(values), thumbnail)


def _sharpness(values: npt.NDArray[np.float32]) -> float:
    if min(values.shape) < 3 or float(values.var()) < 1.0:
        return 0.0
    inner = values[1:-1, 1:-1]
    neighbours = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
    return float(np.mean((neighbours - 4 * inner) ** 2) / values.var())


def by_fingerprint(pictures: Sequence[Picture]) -> dict[str, list[Picture]]:
    """Pictures by the content of their file; empty files are left out."""
    found: dict[str, list[Picture]] = {}
    for picture in readable(pictures):
        found.setdefault(picture.fingerprint, []).append(picture)
    return found
