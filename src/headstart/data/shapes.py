"""Masks out of polygons and run lengths, as annotation files of other programs hold them."""

from __future__ import annotations

import dataclasses
import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.data.originals import Originals
from headstart.data.poses import is_number
from headstart.errors import DataError, needing_extra
from headstart.storage import content_key
from headstart.types import IGNORED, Size

MAX_VALUE = 254
"""Largest number of a class in a mask: the next one counts for nothing."""


@dataclasses.dataclass(frozen=True)
class Shape:
    """One thing in a picture.

    Attributes:
        value: of its pixels in the mask, from 1; 0 is the background, 255
            counts for nothing.
        outline: polygons, each x, y, x, y, ... in pixels from the top left corner; or the run
            lengths of COCO.
    """

    value: int
    outline: Sequence[Sequence[float]] | Mapping[str, Any]


def mask_file(originals: Originals, image: str, size: Size, shapes: Sequence[Shape]) -> str:
    """Draws a mask into a file of the cache, the larger shapes first; returns its path.

    Args:
        originals: files of the data set.
        image: name of the picture.
        size: (height, width) of the stored picture in pixels.
        shapes: what it shows.

    Raises:
        DataError: a shape is none.
        MissingExtraError: pycocotools is not installed.
    """
    key = content_key(size, [(shape.value, shape.outline) for shape in shapes])
    name = f"{image.rpartition('.')[0] or image}.png"
    return str(originals.keep(name, key, lambda: _png(draw_mask(size, shapes))))


def draw_mask(size: Size, shapes: Sequence[Shape]) -> npt.NDArray[np.uint8]:
    """The mask (h, w), uint8, as pycocotools draws the shapes; errors as for ``mask_file``."""
    planes = sorted(
        ((_plane(size, shape), shape.value) for shape in shapes),
        key=lambda entry: -int(entry[0].sum()),
    )
    mask = np.zeros(size, np.uint8)
    for plane, value in planes:
        mask[plane] = value
    return mask


def _plane(size: Size, shape: Shape) -> npt.NDArray[np.bool_]:
    with needing_extra("Reading outlines", "train"):
        from pycocotools import mask as coco
    outline: Any = shape.outline
    if not 1 <= shape.value <= IGNORED:
        raise DataError(f"its class has the number {shape.value}, of at most {MAX_VALUE}")
    if isinstance(outline, Mapping):
        if list(outline.get("size", ())) != list(size) or "counts" not in outline:
            raise DataError(f"its run lengths are not those of a {size[1]}x{size[0]} picture")
        runs = outline
        if isinstance(outline["counts"], list):
            runs = coco.frPyObjects(dict(outline), *size)
        return _decoded(runs)
    for polygon in outline:
        good = isinstance(polygon, Sequence) and len(polygon) >= 6 and len(polygon) % 2 == 0
        if not good or not all(map(is_number, polygon)):
            raise DataError("its polygon is not three or more points x, y")
    runs = coco.merge(coco.frPyObjects([list(polygon) for polygon in outline], *size))
    return _decoded(runs)


def _decoded(runs: Any) -> npt.NDArray[np.bool_]:
    from pycocotools import mask as coco

    with warnings.catch_warnings():
        # pycocotools 2.0.11 gives numpy 2 an array by an older protocol.
        warnings.simplefilter("ignore", DeprecationWarning)
        return np.asarray(coco.decode(runs), dtype=bool)


def _png(mask: npt.NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(mask).save(stream, "PNG")
    return stream.getvalue()
