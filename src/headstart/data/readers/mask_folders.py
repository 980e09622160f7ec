"""Pictures with a mask each: a picture of the same size whose values say what every pixel is."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from headstart.config import DatasetOptions
from headstart.data.readers import SPLIT_NAMES
from headstart.data.readers.voc import listed_sides
from headstart.errors import DataError
from headstart.runtime.images import is_image_path, iter_images
from headstart.tasks.protocol import NO_OPTIONS
from headstart.types import Annotation, DataListing, Omission, Split

FIELD = "mask"

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages", "pictures")
MASK_FOLDERS = (
    *("masks", "mask", "labels", "label", "annotations", "annotation", "annots", "annot"),
    *("segmentationclass", "ground_truth", "gt"),
)
STEM_SUFFIXES = ("_masks", "_mask", "_annot", "_labels", "_label", "_gt", "_seg", "_p", "_l")
"""What a mask's name may carry behind the name of its picture, in lower case."""

# Beside the pictures a single letter is no sign: face_l.jpg may be a face from the left.
_CLEAR_SUFFIXES = tuple(suffix for suffix in STEM_SUFFIXES if len(suffix) > 2)

# In the root they describe the data, wherever the pictures lie.
_DESCRIPTIONS = frozenset({"", ".csv", ".json", ".md", ".tsv", ".txt", ".yaml", ".yml"})
_SUFFIX, _CLEAR_SUFFIX = (
    re.compile(f"(?<=[^/])(?:{'|'.join(suffixes)})$", re.IGNORECASE)
    for suffixes in (STEM_SUFFIXES, _CLEAR_SUFFIXES)
)
# train, train_images, trainannot, val-masks, ...
_SIDE_FOLDER = re.compile(
    f"({'|'.join(SPLIT_NAMES)})"
    f"(?:[-_](?P<images>{'|'.join(IMAGE_FOLDERS)})|[-_]?(?P<masks>{'|'.join(MASK_FOLDERS)}))?"
)


_Names = Mapping[str, Sequence[Path]]
"""Files by their path below a folder without the ending."""


@dataclasses.dataclass(frozen=True)
class _Place:
    """Folders of the pictures and masks of one side; equal when they lie mixed in one folder."""

    side: Split | None
    pictures: Path | None
    masks: Path | None

    @functools.cached_property
    def names(self) -> tuple[_Names, _Names]:
        """The pictures and the masks."""
        pictures = _files(self.pictures)
        if self.pictures != self.masks:
            return pictures, _files(self.masks)
        marked = _mask_names(pictures)
        owners = {_stem(name, _CLEAR_SUFFIX) for name in marked}
        # What is named like a mask is one, even without a picture, unless it has a mask itself.
        marked |= {name for name in pictures if _CLEAR_SUFFIX.search(name) and name not in owners}
        return (
            {name: files for name, files in pictures.items() if name not in marked},
            {name: files for name, files in pictures.items() if name in marked},
        )

    def has_pair(self) -> bool:
        """Whether some mask belongs to a picture."""
        if self.pictures is None or self.masks is None:
            return False
        pictures, masks = self.names
        return any(_owner(name, pictures) is not None for name in masks)


class MaskFolders:
    """``images/a.jpg`` + ``masks/a.png``, ``train/`` + ``trainannot/``, ``a.jpg`` + ``a_mask.png``.

    Pictures and masks belong together by folder and name; the endings may differ.
    """

    name = "mask-folders"
    # Above tables: pictures and masks side by side say more than a table that lies beside them.
    priority = 30
    layout = (
        "pictures and masks of the same names: images/ and masks/, train/ and train_masks/, or "
        "x.jpg beside x_mask.png"
    )

    def claims(self, data: Path, options: DatasetOptions = NO_OPTIONS) -> bool:
        """Some picture has a mask."""
        if not data.is_dir():
            return False
        try:
            return bool(_places(data))
        except DataError:  # masks are there; ``read`` says what is wrong with them
            return True

    def read(self, data: Path, options: DatasetOptions) -> DataListing:
        """Lists every picture with the field ``mask``, a path relative to the root."""
        annotations: list[Annotation] = []
        omissions: list[Omission] = []
        places = _places(data)
        listed = listed_sides(data)
        for place in places:
            pairs, left_out = _match(place, data)
            annotations += [
                Annotation(
                    picture,
                    _name(picture, data),
                    {FIELD: _name(mask, data)},
                    place.side or listed.get(picture.stem),
                )
                for picture, mask in pairs
            ]
            omissions += left_out
        if not annotations:
            raise DataError(f"{data} holds no picture with a mask")
        omissions.extend(_strays(places, data))
        return DataListing(
            data, self.name, tuple(annotations), tuple(omissions), tuple(_notes(places, data))
        )


def _places(data: Path) -> list[_Place]:
    """The first arrangement in which some picture has a mask; empty when there is none."""
    for arrangement in (_beside_each_other, _below_sides, _named_after_sides, _mixed):
        places = arrangement(data)
        if any(place.has_pair() for place in places):
            return places
    return []


def _beside_each_other(parent: Path, side: Split | None = None) -> list[_Place]:
    """``images`` beside ``masks``, with or without sides of the split inside both."""
    folders = _folders(parent)
    pictures = [folder for folder in folders if folder.name.lower() in IMAGE_FOLDERS]
    masks = [folder for folder in folders if folder.name.lower() in MASK_FOLDERS]
    return _choose(pictures, masks, side)


def _below_sides(data: Path) -> list[_Place]:
    """``images`` beside ``masks`` in the folder of each side."""
    return [
        place
        for folder in _folders(data)
        if folder.name.lower() in SPLIT_NAMES
        for place in _beside_each_other(folder, SPLIT_NAMES[folder.name.lower()])
    ]


def _named_after_sides(data: Path) -> list[_Place]:
    """``train`` beside ``trainannot``, and so on for each side."""
    pictures: dict[str, list[Path]] = defaultdict(list)
    masks: dict[str, list[Path]] = defaultdict(list)
    for folder in _folders(data):
        named = _SIDE_FOLDER.fullmatch(folder.name.lower())
        if named:
            (masks if named["masks"] else pictures)[named[1]].append(folder)
    return [
        place
        for name in sorted({*pictures, *masks})
        for place in _choose(pictures[name], masks[name], SPLIT_NAMES[name])
    ]


def _mixed(data: Path) -> list[_Place]:
    """``x.jpg`` beside ``x_mask.png``, in the folder of each side or in the root."""
    sides = [
        _Place(SPLIT_NAMES[folder.name.lower()], folder, folder)
        for folder in _folders(data)
        if folder.name.lower() in SPLIT_NAMES
    ]
    # Only files directly in the folders count as a sign: folders below may be classes.
    for places in (sides, [_Place(None, data, data)]):
        if any(_mask_names({path.stem for path in _pictures_in(p.pictures)}) for p in places):
            return places
    return []


def _choose(pictures: Sequence[Path], masks: Sequence[Path], side: Split | None) -> list[_Place]:
    """Of the folders that may hold pictures and masks, those in which names agree.

    Raises:
        DataError: more than one combination does.
    """
    if not (pictures and masks):
        return [_Place(side, found, None) for found in pictures] + [
            _Place(side, None, found) for found in masks
        ]
    options = [_inner_sides(p, m, side) for p, m in itertools.product(pictures, masks)]
    working = [places for places in options if any(place.has_pair() for place in places)]
    if len(working) > 1:
        names = ", ".join(path.name for path in (*pictures, *masks))
        raise DataError(
            f"{pictures[0].parent}: of the folders {names} more than one pair holds pictures and "
            "masks of the same names: leave one folder of pictures and one of masks"
        )
    return (working or options)[0]


def _inner_sides(pictures: Path, masks: Path, side: Split | None) -> list[_Place]:
    """The folders of the sides inside both, or the two folders themselves."""
    if side is not None:
        return [_Place(side, pictures, masks)]
    inner = [{folder.name.lower(): folder for folder in _folders(f)} for f in (pictures, masks)]
    names = {*inner[0], *inner[1]}
    sides = sorted(names & SPLIT_NAMES.keys())
    if not sides or ("train" not in map(SPLIT_NAMES.get, sides) and len(sides) < len(names)):
        return [_Place(None, pictures, masks)]
    return [_Place(SPLIT_NAMES[name], inner[0].get(name), inner[1].get(name)) for name in sides]


def _mask_names(names: Collection[str]) -> set[str]:
    """Of names in one folder, those that another one and a suffix make up."""
    return {name for name in names if _stem(name, _CLEAR_SUFFIX) in names}


def _stem(mask: str, suffixes: re.Pattern[str] = _SUFFIX) -> str | None:
    """The name without the suffix of a mask; None when it has none."""
    suffix = suffixes.search(mask)
    return mask[: suffix.start()] if suffix else None


def _owner(mask: str, pictures: _Names) -> str | None:
    """The name of the picture that a mask belongs to."""
    return next((name for name in (mask, _stem(mask)) if name in pictures), None)


def _match(place: _Place, data: Path) -> tuple[list[tuple[Path, Path]], list[Omission]]:
    """Pictures with their masks, and what has no partner or too many."""
    pictures, masks = place.names
    owned: dict[str, list[Path]] = defaultdict(list)
    omissions: list[Omission] = []
    for name, files in masks.items():
        owner = _owner(name, pictures)
        if owner is None:
            reason = "no picture belongs to this mask"
            omissions += [Omission(_name(path, data), reason) for path in files]
        else:
            owned[owner] += files
    pairs: list[tuple[Path, Path]] = []
    for name, files in pictures.items():
        found = sorted(owned[name])
        if len(files) == len(found) == 1:
            pairs.append((files[0], found[0]))
        else:
            reason = _reason(name, files, found, place, data)
            omissions += [Omission(_name(path, data), reason) for path in files]
    return pairs, omissions


def _reason(
    name: str, files: Sequence[Path], masks: Sequence[Path], place: _Place, data: Path
) -> str:
    """Why a picture has no mask that is certainly its own."""
    if len(masks) > 1:
        return f"it has more than one mask: {' and '.join(_name(mask, data) for mask in masks)}"
    if masks:
        shown = " and ".join(_name(path, data) for path in files)
        return f"{_name(masks[0], data)} may be the mask of any of {shown}"
    if place.masks is None:
        return "it has no mask (there is no folder of masks for it)"
    above, _, stem = name.rpartition("/")
    folder = _name(place.masks / above, data)
    wanted = f"{stem}_mask.*" if place.masks == place.pictures else f"{stem}.*"
    return f"it has no mask (looked for {wanted} in {folder})"


def _notes(places: Sequence[_Place], data: Path) -> Iterator[str]:
    for place in places:
        if place.masks is None and place.pictures:
            yield f"{_name(place.pictures, data)} has no folder of masks: its pictures are left out"
        elif place.pictures is None and place.masks:
            yield f"{_name(place.masks, data)} has no folder of pictures: its masks are left out"


def _strays(places: Sequence[_Place], data: Path) -> Iterator[Omission]:
    """Pictures outside the folders of the layout, and other files inside them."""
    folders = {
        folder.relative_to(data).parts
        for place in places
        for folder in (place.pictures, place.masks)
        if folder is not None
    }
    for path in sorted(data.rglob("*")):
        parts = path.relative_to(data).parts
        inside = any(parts[: len(folder)] == folder for folder in folders)
        hidden = any(part.startswith(".") for part in parts)
        if hidden or is_image_path(path) == inside or not path.is_file():
            continue
        if not inside:
            yield Omission(_name(path, data), "it lies beside the folders of pictures and masks")
        elif len(parts) > 1 or path.suffix.lower() not in _DESCRIPTIONS:
            yield Omission(_name(path, data), f"its ending {path.suffix!r} is not a picture's")


def _files(folder: Path | None) -> _Names:
    """Every picture below a folder."""
    found: dict[str, list[Path]] = defaultdict(list)
    if folder is not None:
        for path in iter_images(folder):
            found[path.relative_to(folder).with_suffix("").as_posix()].append(path)
    return found


def _folders(parent: Path) -> list[Path]:
    return sorted(p for p in parent.iterdir() if p.is_dir() and not p.name.startswith("."))


def _pictures_in(folder: Path | None) -> list[Path]:
    return [p for p in folder.iterdir() if is_image_path(p) and p.is_file()] if folder else []


def _name(path: Path, data: Path) -> str:
    return path.relative_to(data).as_posix()


READER = MaskFolders()
