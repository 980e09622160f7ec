"""From a decoded picture to the graph's input, and back: the specification and its numpy form.

The specification travels with the weights in ``model.json``. Normalisation is not part of it: that
lies inside the graph, whose input is uint8. Other implementations (browser, phone) are held to this
one by the golden arrays of the model folder.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from headstart.errors import ModelError
from headstart.types import Box, Geometry, ImageArray, Size

Resize = Literal["letterbox", "crop", "squash"]
RESIZE_RULES: tuple[str, ...] = get_args(Resize)

PAD_VALUE = 128
"""Grey of letterbox bars: next to zero after normalisation with mean 0.5."""

BOX_MARGIN = 1.25
"""What is shown for a box has sides that are this many times longer."""

DRAFT_MARGIN = 2
"""JPEGs are decoded at no less than this many times the input size before they are resized."""


@dataclasses.dataclass(frozen=True)
class Preprocess:
    """The resize rule of a model.

    Attributes:
        size: (height, width) of the graph's input in pixels.
        resize: ``letterbox`` fits the whole picture and pads with grey, ``crop`` fills the input
            and cuts what stands over at both sides, ``squash`` changes the aspect ratio.
        white_level: value that becomes 255 in pictures with more than 8 bits a channel.
    """

    size: Size
    resize: Resize = "letterbox"
    white_level: int = 65535

    def region(self, box: Box, slack: float = 1.0) -> Box:
        """What the input shows of a picture when one thing in it is meant.

        Args:
            box: around the thing.
            slack: how many times longer the sides shall be.

        Returns:
            The box with its margin, in the shape of the input; it may reach beyond the picture.
        """
        left, top, width, height = box
        out_h, out_w = self.size
        scale = min(out_h / height, out_w / width) / (BOX_MARGIN * slack)
        shown_w, shown_h = out_w / scale, out_h / scale
        return (left + (width - shown_w) / 2, top + (height - shown_h) / 2, shown_w, shown_h)

    def frame(self, original: Size, slack: float) -> Box:
        """What the input shows of a whole picture, with sides that are ``slack`` times longer.

        Args:
            original: (height, width) of the picture in pixels.
            slack: 1 for exactly what is shown.

        Returns:
            The region; it may reach beyond the picture.
        """
        geometry = self.place(original)
        (height, width), (scale_y, scale_x) = self.size, geometry.scale
        (top, left), shown = geometry.offset, (width / scale_x, height / scale_y)
        cut = 0.5 * (slack - 1.0)
        return (
            -left / scale_x - cut * shown[0],
            -top / scale_y - cut * shown[1],
            slack * shown[0],
            slack * shown[1],
        )

    def place(self, original: Size, box: Box | None = None) -> Geometry:
        """Where a picture of the given (height, width), or what a box means, lands in the input."""
        (height, width), (out_h, out_w) = original, self.size
        if box is not None:
            left, top, shown_w, _ = self.region(box)
            scale = out_w / shown_w
            return Geometry(original, (scale, scale), (-top * scale, -left * scale), self.size)
        if self.resize == "squash":
            return Geometry(original, (out_h / height, out_w / width), (0.0, 0.0), self.size)
        ratios = (out_h / height, out_w / width)
        scale = min(ratios) if self.resize == "letterbox" else max(ratios)
        new_h, new_w = max(1, round(height * scale)), max(1, round(width * scale))
        offset = (float((out_h - new_h) // 2), float((out_w - new_w) // 2))
        return Geometry(original, (new_h / height, new_w / width), offset, self.size)

    def apply(self, image: ImageArray, box: Box | None = None) -> tuple[ImageArray, Geometry]:
        """Resizes with an antialiased bilinear filter.

        Args:
            image: (h, w, 3), uint8, RGB.
            box: around the thing that is meant; None for the whole picture. The resize rule is that
                of whole pictures: what a box means is never distorted, and beyond the picture's
                border lies grey.

        Returns:
            The input (*size, 3), uint8, and where the picture lies in it.
        """
        geometry = self.place((image.shape[0], image.shape[1]), box)
        if box is not None:
            return sample(image, self.region(box), self.size), geometry
        (height, width), (scale_y, scale_x) = geometry.original, geometry.scale
        top, left = int(geometry.offset[0]), int(geometry.offset[1])
        shown_h = min(self.size[0], round(height * scale_y))
        shown_w = min(self.size[1], round(width * scale_x))
        # Only what is shown is resized: a picture one pixel high, filled up, would take gigabytes.
        # The filter looks beyond the box, so that the result is that of cutting afterwards.
        box = (
            max(0, -left) / scale_x,
            max(0, -top) / scale_y,
            min(width, (max(0, -left) + shown_w) / scale_x),
            min(height, (max(0, -top) + shown_h) / scale_y),
        )
        pixels = image
        if (shown_h, shown_w) != geometry.original:
            picture = Image.fromarray(image)
            pixels = np.asarray(picture.resize((shown_w, shown_h), Image.Resampling.BILINEAR, box))
        if (shown_h, shown_w) == self.size:
            return np.ascontiguousarray(pixels), geometry
        canvas = np.full((*self.size, 3), PAD_VALUE, dtype=np.uint8)
        top, left = max(0, top), max(0, left)
        canvas[top : top + shown_h, left : left + shown_w] = pixels
        return canvas, geometry

    @property
    def decode_size(self) -> Size:
        """(height, width) that a decoder must keep at least."""
        return self.size[0] * DRAFT_MARGIN, self.size[1] * DRAFT_MARGIN

    def to_json(self) -> dict[str, Any]:
        """The form of ``model.json``."""
        return {
            "size": list(self.size),
            "resize": self.resize,
            "filter": "bilinear, antialiased",
            "pad_value": PAD_VALUE,
            "box_margin": BOX_MARGIN,
            "white_level": self.white_level,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Preprocess:
        """Reads the form of ``model.json``.

        Raises:
            ModelError: the rule is unknown to this version.
        """
        fixed = (value.get("pad_value"), value.get("box_margin"))
        if value["resize"] not in RESIZE_RULES or fixed != (PAD_VALUE, BOX_MARGIN):
            raise ModelError(f"model.json: unknown resize rule {value}; update headstart")
        height, width = value["size"]
        return cls((height, width), value["resize"], value["white_level"])


def sample(image: ImageArray, region: Box, size: Size) -> ImageArray:
    """A part of a picture at another size, with an antialiased bilinear filter.

    Args:
        image: (h, w, 3), uint8, RGB.
        region: what is shown; beyond the picture lies grey.
        size: (height, width) of the result in pixels.

    Returns:
        (*size, 3), uint8, RGB.
    """
    left, top, width, height = region
    # Whole pixels around the region; the filter then starts and ends between them.
    first_x, first_y = math.floor(left), math.floor(top)
    last_x, last_y = math.ceil(left + width), math.ceil(top + height)
    canvas = np.full((last_y - first_y, last_x - first_x, 3), PAD_VALUE, dtype=np.uint8)
    x0, y0 = max(0, first_x), max(0, first_y)
    x1, y1 = min(image.shape[1], last_x), min(image.shape[0], last_y)
    if x1 > x0 and y1 > y0:
        canvas[y0 - first_y : y1 - first_y, x0 - first_x : x1 - first_x] = image[y0:y1, x0:x1]
    box = (left - first_x, top - first_y, left - first_x + width, top - first_y + height)
    shown = Image.fromarray(canvas).resize(size[::-1], Image.Resampling.BILINEAR, box)
    return np.asarray(shown)
