"""Drawing that the tasks share: captions, legends and colours. Needs no torch."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from headstart.types import ImageArray

Colour = tuple[int, int, int]
"""Red, green, blue: 0 to 255."""

INK: Colour = (32, 32, 32)
BACKGROUND: Colour = (96, 104, 120)
PAPER: Colour = (255, 255, 255)

SMALLEST = 160
"""Narrower pictures are enlarged, so that text beside them can be read."""

_GOLDEN = 0.61803398875


def colours(count: int) -> list[Colour]:
    """Colours that differ well from each other, the same ones for every count."""
    # The first class is mostly the background: grey leaves the picture as it is.
    found = [BACKGROUND] if count else []
    for number in range(1, count):
        # Steps of the golden ratio never come close to an earlier hue; rings of other brightness
        # keep apart what is near in hue after a dozen of them.
        hue, ring = (number * _GOLDEN + 0.02) % 1.0, number // 7 % 3
        red, green, blue = colorsys.hsv_to_rgb(
            hue, (0.85, 0.55, 0.95)[ring], (0.95, 0.75, 0.6)[ring]
        )
        found.append((round(red * 255), round(green * 255), round(blue * 255)))
    return found


def readable(pixels: ImageArray) -> Image.Image:
    """The picture, enlarged by a whole factor when it is narrower than ``SMALLEST``."""
    image = Image.fromarray(pixels)
    factor = -(-SMALLEST // image.width)
    if factor > 1:
        image = image.resize(
            (image.width * factor, image.height * factor), Image.Resampling.NEAREST
        )
    return image


def captioned(pixels: ImageArray, lines: Sequence[str]) -> Image.Image:
    """The picture (h, w, 3), uint8, RGB, with lines of text under it."""
    return with_legend(readable(pixels), [(None, line) for line in lines])


def with_legend(image: Image.Image, entries: Sequence[tuple[Colour | None, str]]) -> Image.Image:
    """The picture with lines of text under it, each behind a patch of its colour if it has one."""
    size = max(12, image.width // 40)
    font = ImageFont.load_default(size)
    line = round(size * 1.5)
    columns = _columns(image.width, [text for _, text in entries], size)
    rows = -(-len(entries) // columns)
    canvas = Image.new("RGB", (image.width, image.height + rows * line + size // 2), PAPER)
    canvas.paste(image, (0, 0))
    pen = ImageDraw.Draw(canvas)
    for number, (colour, text) in enumerate(entries):
        left = size // 2 + number % columns * (image.width // columns)
        top = image.height + size // 4 + number // columns * line
        if colour is not None:
            pen.rectangle((left, top + size // 4, left + size, top + size * 5 // 4), fill=colour)
            left += round(size * 1.5)
        pen.text((left, top), text, fill=INK, font=font)
    return canvas


def beside(images: Sequence[Image.Image]) -> Image.Image:
    """Pictures side by side on white."""
    gap = 8
    width = sum(image.width for image in images) + gap * (len(images) - 1)
    canvas = Image.new("RGB", (width, max(image.height for image in images)), PAPER)
    left = 0
    for image in images:
        canvas.paste(image, (left, 0))
        left += image.width + gap
    return canvas


def sheet(images: Sequence[Image.Image], columns: int) -> Image.Image:
    """Pictures in rows of so many, on white; each row is as high as its highest picture."""
    rows = [beside(images[at : at + columns]) for at in range(0, len(images), columns)]
    gap = 8
    height = sum(row.height for row in rows) + gap * (len(rows) - 1)
    canvas = Image.new("RGB", (max(row.width for row in rows), height), PAPER)
    top = 0
    for row in rows:
        canvas.paste(row, (0, top))
        top += row.height + gap
    return canvas


def blended(pixels: ImageArray, painted: ImageArray, share: float) -> ImageArray:
    """A picture with another one of its size laid over it.

    Args:
        pixels: (h, w, 3), uint8, RGB.
        painted: (h, w, 3), uint8, RGB.
        share: of the painted one, 0 to 1.
    """
    mixed = pixels.astype(np.float32) * (1.0 - share) + painted.astype(np.float32) * share
    return np.rint(mixed).astype(np.uint8)


def _columns(width: int, texts: Sequence[str], size: int) -> int:
    """Columns of a legend: as many as the longest text leaves room for, at most four."""
    longest = max((len(text) for text in texts), default=1) * size * 0.6 + 2.5 * size
    return max(1, min(4, int(width // longest), len(texts)))
