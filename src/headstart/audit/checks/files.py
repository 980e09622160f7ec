"""Checks of files: what cannot be read, and what is another kind of file than it says."""

from __future__ import annotations

from collections.abc import Iterator

from headstart.audit.material import Check, Material
from headstart.runtime.images import format_of
from headstart.tasks.inspection import Issue

ORDER = 0

TINY = 32
"""Shorter side in pixels below which there is hardly anything to see."""

ODD_RATIO = 4.0
"""Of the longer to the shorter side."""

SAME_FORMAT = {"MPO": "JPEG"}
"""Phones write JPEG files with several pictures, whose first one is what is meant."""


class Unreadable:
    """Files that cannot be decoded completely: they would be left out of training."""

    name = "unreadable"
    title = "Unreadable files"

    def run(self, material: Material) -> Iterator[Issue]:
        """One issue a file."""
        for picture in material.pictures:
            if picture.error is not None:
                yield Issue(self.name, "error", (picture.image,), picture.error)


class LeftOut:
    """Files and annotations that the reader or the task cannot use."""

    name = "left-out"
    title = "Left out"

    def run(self, material: Material) -> Iterator[Issue]:
        """One issue a file or annotation."""
        for omission in material.omissions:
            yield Issue(self.name, "warning", (omission.image,), omission.reason)


class WrongExtension:
    """Files whose content is another format than their ending says."""

    name = "wrong-extension"
    title = "Another format than the ending says"

    def run(self, material: Material) -> Iterator[Issue]:
        """One issue a file."""
        for picture in material.readable:
            promised = format_of(picture.path.suffix)
            if promised and SAME_FORMAT.get(picture.format, picture.format) != promised:
                text = f"it is a {picture.format} file that is called {picture.path.suffix}"
                yield Issue(self.name, "warning", (picture.image,), text)


class Animated:
    """Animations, of which only the first frame is used."""

    name = "animated"
    title = "Animations"

    def run(self, material: Material) -> Iterator[Issue]:
        """One issue a file."""
        for picture in material.readable:
            if picture.animated and SAME_FORMAT.get(picture.format) is None:
                text = "it has several frames: only the first one is used"
                yield Issue(self.name, "warning", (picture.image,), text)


class Rotated:
    """Pictures that EXIF turns: some programs show, and label, them lying on their side."""

    name = "exif-rotated"
    title = "Turned by EXIF"

    def run(self, material: Material) -> Iterator[Issue]:
        """One issue for all of them."""
        turned = tuple(p.image for p in material.readable if p.frame.orientation != 1)
        if turned:
            text = (
                f"{len(turned)} pictures are stored turned or mirrored and say so in EXIF: "
                "headstart turns them upright, programs that do not will show them otherwise"
            )
            yield Issue(self.name, "info", turned, text)


class Tiny:
    """Pictures in which there is hardly anything to see."""

    name = "tiny"
    title = "Tiny pictures"

    def run(self, material: Material) -> Iterator[Issue]:
        """One issue a picture."""
        for picture in material.readable:
            height, width = picture.frame.size
            if min(height, width) < TINY:
                text = f"it has {width}x{height} pixels"
                yield Issue(self.name, "warning", (picture.image,), text)


class OddShape:
    """Long and narrow pictures, of which a crop shows little."""

    name = "odd-aspect-ratio"
    title = "Long and narrow pictures"

    def run(self, material: Material) -> Iterator[Issue]:
        """One issue a picture."""
        for picture in material.readable:
            height, width = picture.frame.size
            if max(height, width) > ODD_RATIO * min(height, width):
                text = f"it has {width}x{height} pixels: cropping would show little of it"
                yield Issue(self.name, "warning", (picture.image,), text)


CHECKS: tuple[Check, ...] = (
    Unreadable(),
    LeftOut(),
    WrongExtension(),
    Animated(),
    Rotated(),
    Tiny(),
    OddShape(),
)
