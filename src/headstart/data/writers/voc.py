"""Pascal VOC: ``JPEGImages/``, ``Annotations/*.xml`` or ``SegmentationClass/``, ``ImageSets/``."""

from __future__ import annotations

import io
from collections import defaultdict
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt
from PIL import Image

from headstart.data.placing import Folder
from headstart.data.writers import (
    LABEL,
    LABELS,
    MASK,
    Content,
    Thing,
    boxed_labels,
    common_losses,
    layout_options,
    refuse_numbers,
)

PICTURES = "JPEGImages"
MASKS = "SegmentationClass"


class VocWriter:
    """The challenge's layout (M. Everingham et al., IJCV 2010); pictures keep their format."""

    name = "voc"

    def losses(self, content: Content) -> list[str]:
        """Groups; a label that is not known is a difficult object."""
        refuse_numbers(content, "Pascal VOC", (LABEL, LABELS, MASK))
        return common_losses(content, "Pascal VOC", hides_unknown=False)

    def write(self, content: Content, folder: Folder) -> None:
        """A file for each picture, and the lists of the sides."""
        options = layout_options(content)
        masks = MASK in content.fields
        lists: dict[str, list[str]] = defaultdict(list)
        for things in content.pictures().values():
            first = things[0]
            name = folder.picture(first, PICTURES, flat=True)
            stem = name.rpartition(".")[0]
            if content.sides:
                lists[first.split or "train"].append(stem)
            if isinstance(mask := first.row().get(MASK), np.ndarray):
                folder.bytes(f"{MASKS}/{stem}.png", _palette_png(mask))
            else:
                folder.bytes(f"Annotations/{stem}.xml", _xml(first, name, content))
        for side, stems in lists.items():
            place = "ImageSets/Segmentation" if masks else "ImageSets/Main"
            folder.text(f"{place}/{side}.txt", "".join(f"{stem}\n" for stem in stems))
        folder.options(options)


def _xml(thing: Thing, name: str, content: Content) -> bytes:
    root = ET.Element("annotation")
    _add(root, "folder", PICTURES)
    _add(root, "filename", name)
    size = ET.SubElement(root, "size")
    height, width = thing.frame.size
    for key, value in (("width", width), ("height", height), ("depth", 3)):
        _add(size, key, value)
    for label, (left, top, wide, high), unknown in boxed_labels(thing, content):
        entry = ET.SubElement(root, "object")
        _add(entry, "name", label)
        _add(entry, "difficult", int(unknown))
        box = ET.SubElement(entry, "bndbox")
        # Pixels count from 1, and the last one belongs to the box.
        sides = {"xmin": left + 1, "ymin": top + 1, "xmax": left + wide, "ymax": top + high}
        for key, place in sides.items():
            _add(box, key, f"{place:.8g}")
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8"))


def _add(parent: ET.Element, name: str, value: Any) -> None:
    ET.SubElement(parent, name).text = str(value)


def _palette_png(mask: npt.NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(mask).convert("P")
    image.putpalette(_colours())
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _colours() -> bytes:
    """The challenge's colours: bits of the number, spread over the three channels."""
    table = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            spread = (np.arange(256) >> (3 * (bit % 3) + channel)) & 1
            if bit < 3:
                table[:, channel] |= (spread << (7 - bit)).astype(np.uint8)
    return table.tobytes()


WRITER = VocWriter()
