"""From a decoded picture to the graph's input, and back: the specification and its numpy form.

The specification travels with the weights in ``model.json``. Normalisation is not part of it: that
lies inside the graph, whose input is uint8. Other implementations (browser, phone) are held to this
one by the golden arrays of the model folder.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Literal, get_args

import numpy as np
from PIL import Image

from headstart.errors import ModelError
from headstart.types import Geometry, ImageArray, Size

Resize = Literal["letterbox", "crop", "squash"]
RESIZE_RULES: tuple[str, ...] = get_args(Resize)

PAD_VALUE = 128
"""Grey of letterbox bars: next to zero after normalisation with mean 0.5."""

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

    def place(self, original: Size) -> Geometry:
        """Where a picture of the given (height, width) lands in the input."""
        (height, width), (out_h, out_w) = original, self.size
        if self.resize == "squash":
            return Geometry(original, (out_h / height, out_w / width), (0.0, 0.0))
        ratios = (out_h / height, out_w / width)
        scale = min(ratios) if self.resize == "letterbox" else max(ratios)
        new_h, new_w = max(1, round(height * scale)), max(1, round(width * scale))
        offset = (float((out_h - new_h) // 2), float((out_w - new_w) // 2))
        return Geometry(original, (new_h / height, new_w / width), offset)

    def apply(self, image: ImageArray) -> tuple[ImageArray, Geometry]:
        """Resizes with an antialiased bilinear filter.

        Args:
            image: (h, w, 3), uint8, RGB.

        Returns:
            The input (*size, 3), uint8, and where the picture lies in it.
        """
        geometry = self.place((image.shape[0], image.shape[1]))
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
            "white_level": self.white_level,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Preprocess:
        """Reads the form of ``model.json``.

        Raises:
            ModelError: the rule is unknown to this version.
        """
        if value["resize"] not in RESIZE_RULES or value.get("pad_value") != PAD_VALUE:
            raise ModelError(f"model.json: unknown resize rule {value}; update headstart")
        height, width = value["size"]
        return cls((height, width), value["resize"], value["white_level"])
