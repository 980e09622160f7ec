"""Pascal VOC annotations."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.config import DatasetOptions
from headstart.data.manifest import parse_data
from headstart.data.readers.voc import READER
from headstart.errors import DataError
from layouts import write_voc, write_xml
from pictures import KINDS


def test_names_of_objects_are_labels_and_lists_are_sides(tmp_path: Path) -> None:
    data = write_voc(tmp_path, 2)
    write_xml(data, "disc-0", [("square", 0), ("disc", 1), ("disc", 0), ("stripes", 1)])
    found = {
        a.image: (a.fields["labels"], a.split)
        for a in READER.read(data, DatasetOptions()).annotations
    }
    assert found["JPEGImages/disc-0.jpg"] == ("disc|square|?stripes", "train")
    assert found["JPEGImages/disc-1.jpg"] == ("disc", "val")
    assert parse_data(data).task == "multilabel"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<annotation><object>", "it is no readable XML: no element found"),
        ("<annotations/>", "it must hold an <annotation>, got <annotations>"),
        ("<annotation><filename>x.jpg</filename></annotation>", "its picture 'x.jpg' is in none"),
        (
            "<annotation><filename>disc-1.jpg</filename><object/></annotation>",
            "its object 1 has no name",
        ),
    ],
)
def test_a_broken_file_is_named_and_the_rest_is_used(
    tmp_path: Path, text: str, reason: str
) -> None:
    data = write_voc(tmp_path, 2)
    (data / "Annotations/disc-1.xml").write_text(text, encoding="utf-8")
    listing = READER.read(data, DatasetOptions())
    assert len(listing.annotations) == 2 * len(KINDS) - 1
    assert listing.omissions[0].image == "Annotations/disc-1.xml"
    assert listing.omissions[0].reason.startswith(reason)


def test_a_picture_on_two_sides_is_refused(tmp_path: Path) -> None:
    data = write_voc(tmp_path, 2)
    with (data / "ImageSets/Main/val.txt").open("a", encoding="utf-8") as file:
        file.write("disc-0\n")
    with pytest.raises(DataError, match=r"val\.txt line 4: disc-0 is on two sides"):
        READER.read(data, DatasetOptions())
