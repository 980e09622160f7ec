"""The surroundings of a box, cut out of the original and kept as a picture of their own.

A person in the middle of a large photograph would have few pixels left in the picture that is
cached for whole views.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from headstart.data.image_cache import MARGIN, ImageCache
from headstart.errors import DataError, UnreadableImageError
from headstart.parallel import map_ahead
from headstart.progress import Progress
from headstart.runtime.images import read_image
from headstart.runtime.preprocess import Preprocess, sample
from headstart.types import Box, Geometry, ImageArray, Record, Size

SLACK = 1.5
"""A region is this many times longer than what the input shows, so that views can be moved."""


def region_geometry(record: Record, preprocess: Preprocess) -> Geometry:
    """How the original lies in the region that is cut out for its box.

    Raises:
        ValueError: the record has no box.
    """
    region = _region(record, preprocess)
    size = _size(region, preprocess)
    scale = (size[0] / region[3], size[1] / region[2])
    return Geometry(record.size, scale, (-region[1] * scale[0], -region[0] * scale[1]), size)


def cut_regions(
    records: Sequence[Record],
    cache: ImageCache,
    preprocess: Preprocess,
    progress: Progress,
) -> None:
    """Stores the region of every record that has a box, under ``Record.region``.

    Raises:
        DataError: a picture became unreadable since it was listed.
    """
    boxed = [record for record in records if record.box]
    absent = set(cache.missing(record.region for record in boxed))
    todo = [record for record in boxed if record.region in absent]
    if not todo:
        return

    def cut(record: Record) -> tuple[str, ImageArray]:
        try:
            pixels = read_image(record.path, white_level=preprocess.white_level)
        except UnreadableImageError as error:
            raise DataError(f"{record.image} {error}") from error
        region = _region(record, preprocess)
        return record.region, sample(pixels, region, _size(region, preprocess))

    with progress.bar("cut", len(todo)) as advance:

        def finished() -> Iterator[tuple[str, ImageArray]]:
            for found in map_ahead(cut, todo):
                advance(1)
                yield found

        cache.add(finished())


def _region(record: Record, preprocess: Preprocess) -> Box:
    if record.box is None:
        raise ValueError(f"{record.image} has no box")
    return preprocess.region(record.box, SLACK)


def _size(region: Box, preprocess: Preprocess) -> Size:
    """Never larger than what was cut out, and no sharper than training needs."""
    scale = min(1.0, preprocess.size[1] * SLACK * MARGIN / region[2])
    return max(8, round(region[3] * scale)), max(8, round(region[2] * scale))
