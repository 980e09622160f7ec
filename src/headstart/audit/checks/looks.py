"""Checks of exposure and sharpness."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headstart.audit.material import Check, Material
from headstart.audit.survey import Looks, Picture
from headstart.tasks.inspection import Issue

ORDER = 2

BLANK_SPREAD = 0.03
"""Between the darkest and the brightest percent of the pixels, as a share of white."""

DARK = 0.25
"""Brightness that all but 1 % of the pixels of a dark picture stay below."""

BRIGHT = 0.8
"""Brightness that all but 1 % of the pixels of an overexposed picture exceed."""

BLURRED_SHARE = 0.12
"""Of the median sharpness of the data set."""


def is_blank(looks: Looks) -> bool:
    """Whether there is nothing but one tone."""
    return looks.high - looks.low < BLANK_SPREAD


class Blank:
    """Pictures of a single tone."""

    name = "blank"
    title = "Blank pictures"

    def run(self, material: Material) -> Iterator[Issue]:
        """One issue a picture."""
        for picture, looks in _seen(material):
            if is_blank(looks):
                text = f"nothing but one tone (brightness {looks.brightness:.0%})"
                yield Issue(self.name, "error", (picture.image,), text)


class Dark:
    """Pictures that are black nearly everywhere."""

    name = "dark"
    title = "Dark pictures"

    def run(self, material: Material) -> Iterator[Issue]:
        """One issue a picture, the darkest first."""
        found = [(looks.high, p) for p, looks in _seen(material) if not is_blank(looks)]
        for high, picture in sorted(found, key=lambda entry: entry[0]):
            if high < DARK:
                text = f"99 % of its pixels are darker than {high:.0%} of white"
                yield Issue(self.name, "warning", (picture.image,), text)


class Bright:
    """Pictures that are white nearly everywhere."""

    name = "bright"
    title = "Overexposed pictures"

    def run(self, material: Material) -> Iterator[Issue]:
        """One issue a picture, the brightest first."""
        found = [(looks.low, p) for p, looks in _seen(material) if not is_blank(looks)]
        for low, picture in sorted(found, key=lambda entry: -entry[0]):
            if low > BRIGHT:
                text = f"99 % of its pixels are brighter than {low:.0%} of white"
                yield Issue(self.name, "warning", (picture.image,), text)


class Blurred:
    """Pictures with far less fine structure than the others of the data set."""

    name = "blurred"
    title = "Blurred pictures"

    def run(self, material: Material) -> Iterator[Issue]:
        """One issue a picture, the most blurred first."""
        seen = [(looks.sharpness, p) for p, looks in _seen(material) if not is_blank(looks)]
        if not seen:
            return
        usual = float(np.median([sharpness for sharpness, _ in seen]))
        for sharpness, picture in sorted(seen, key=lambda entry: entry[0]):
            if sharpness < BLURRED_SHARE * usual:
                text = f"it has {sharpness / usual:.0%} of the fine structure that is usual here"
                yield Issue(self.name, "warning", (picture.image,), text)


def _seen(material: Material) -> Iterator[tuple[Picture, Looks]]:
    for picture in material.readable:
        if picture.looks is not None:
            yield picture, picture.looks


CHECKS: tuple[Check, ...] = (Blank(), Dark(), Bright(), Blurred())
