"""Pascal VOC: ``Annotations/a.xml`` beside ``JPEGImages/a.jpg``."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

from headstart.config import DatasetOptions
from headstart.data.poses import begins_with_any, find_picture, nothing_left, strays
from headstart.data.readers import SPLIT_NAMES
from headstart.errors import DataError
from headstart.tasks.protocol import NO_OPTIONS
from headstart.types import Annotation, DataListing, Omission, Split

FIELD = "labels"
FOLDERS = ("JPEGImages", "images", ".")
LISTS = ("ImageSets/Main", "ImageSets/Segmentation", "ImageSets")
UNKNOWN_MARK = "?"

LOOKED_INTO = 5
"""XML files that are looked into to tell the layout: one of them may be broken."""


class Voc:
    """Says which classes a picture shows; masks beside it are read by the reader of mask folders.

    A class of which a picture shows only difficult objects is neither present nor absent, as in the
    challenge (M. Everingham et al., The PASCAL Visual Object Classes Challenge, IJCV 2010).
    """

    name = "voc"
    priority = 25
    layout = "Pascal VOC: Annotations/*.xml beside JPEGImages/ or beside the pictures"

    def claims(self, data: Path, options: DatasetOptions = NO_OPTIONS) -> bool:
        """A folder with XML files in ``Annotations`` or in itself."""
        return bool(_files(data))

    def read(self, data: Path, options: DatasetOptions) -> DataListing:
        """Lists every picture with the field ``labels``."""
        sides = _sides(data)
        annotations: list[Annotation] = []
        omissions: list[Omission] = []
        mentioned: set[Path] = set()
        for file in _files(data):
            try:
                root = _tree(file)
                path = _picture(data, file, root)
                if path in mentioned:
                    raise DataError(f"{path.name} has an earlier file")
                mentioned.add(path)
                fields = {FIELD: "|".join(_labels(root))}
            except DataError as error:
                omissions.append(Omission(file.relative_to(data).as_posix(), str(error)))
                continue
            image = path.relative_to(data).as_posix()
            annotations.append(Annotation(path, image, fields, sides.get(file.stem)))
        if not annotations:
            raise nothing_left(data, omissions, ())
        omissions.extend(strays(data, mentioned))
        notes = _without_file(sides, {file.stem for file in _files(data)})
        return DataListing(data, self.name, tuple(annotations), tuple(omissions), notes)


def _files(data: Path) -> list[Path]:
    for folder in (data / "Annotations", data):
        files = sorted(folder.glob("*.xml")) if folder.is_dir() else []
        if any(begins_with_any(file, [b"<annotation"]) for file in files[:LOOKED_INTO]):
            return files
    return []


def _without_file(sides: Mapping[str, Split], stems: Collection[str]) -> tuple[str, ...]:
    """A sentence where the lists name pictures that have no XML file."""
    missing = [f"{stem} ({side}.txt)" for stem, side in sides.items() if stem not in stems]
    if not missing:
        return ()
    return (f"{len(missing)} names in the lists of sides have no XML file, such as {missing[0]}",)


def _tree(file: Path) -> ET.Element:
    try:
        # Entities are not fetched, and expat limits how far they may grow.
        root = ET.parse(file).getroot()  # noqa: S314
    except (OSError, ET.ParseError) as error:
        raise DataError(f"it is no readable XML: {error}") from error
    if root.tag != "annotation":
        raise DataError(f"it must hold an <annotation>, got <{root.tag}>")
    return root


def _picture(data: Path, file: Path, root: ET.Element) -> Path:
    named = (root.findtext("filename") or "").strip()
    candidates = [named] if Path(named).suffix else [f"{named or file.stem}.jpg"]
    for name in candidates:
        path = find_picture(data, name, FOLDERS)
        if path is not None:
            return path
    raise DataError(f"its picture {candidates[0]!r} is in none of {', '.join(FOLDERS)}")


def _labels(root: ET.Element) -> Iterator[str]:
    """Names in order, with a mark where all objects of a class are difficult."""
    difficult: dict[str, bool] = {}
    for number, thing in enumerate(root.iter("object"), start=1):
        name = (thing.findtext("name") or "").strip()
        if not name:
            raise DataError(f"its object {number} has no name")
        hard = (thing.findtext("difficult") or "0").strip() == "1"
        difficult[name] = difficult.get(name, True) and hard
    for name in sorted(difficult):
        yield f"{UNKNOWN_MARK}{name}" if difficult[name] else name


def _sides(data: Path) -> dict[str, Split]:
    """The side of each picture, by its name without ending."""
    found: dict[str, Split] = {}
    folder = next((data / name for name in LISTS if (data / name).is_dir()), None)
    for file in sorted(folder.glob("*.txt")) if folder is not None else []:
        side = SPLIT_NAMES.get(file.stem.lower())
        if side is None:
            continue
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file} cannot be read as UTF-8 text: {error}") from error
        for number, line in enumerate(lines, start=1):
            if line.strip() and found.setdefault(line.split()[0], side) != side:
                raise DataError(f"{file} line {number}: {line.split()[0]} is on two sides")
    return found


READER = Voc()
