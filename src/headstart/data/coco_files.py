"""What readers of COCO files share: finding them, and their three lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.data.poses import begins_with_any, find_picture, load_json
from headstart.data.readers import side_in
from headstart.errors import DataError
from headstart.types import Split

LISTS = ("images", "annotations", "categories")

MAX_FILES = 50
"""A folder with more JSON files has one for each picture, which is another layout."""

EXAMPLES = 3


def coco_files(folder: Path, wanted: Callable[[Path], bool]) -> list[Path]:
    """JSON files of one kind in the folder, or in its folder ``annotations``."""
    if not folder.is_dir():
        return []
    for place in (folder, folder / "annotations"):
        files = sorted(place.glob("*.json"))
        found = [path for path in files if wanted(path)] if len(files) <= MAX_FILES else []
        if found:
            return found
    return []


def is_coco(data: Path, wanted: Callable[[Path], bool]) -> bool:
    """Whether the data is a JSON file of one kind, or a folder with some."""
    if data.is_file():
        return data.suffix.lower() == ".json" and wanted(data)
    return bool(coco_files(data, wanted))


def looks_like_coco(file: Path) -> bool:
    """Whether a name of the three lists stands at an end of the file."""
    return begins_with_any(file, [f'"{name}"'.encode() for name in LISTS], end=True)


def is_cut_off(file: Path) -> bool:
    """Whether a file of one JSON object does not end with a bracket."""
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - 16))
            return not stream.read().rstrip().endswith(b"}")
    except OSError:
        return False


def root_of(data: Path) -> Path:
    """The folder that names of pictures are relative to, of a folder or of one file."""
    root = data if data.is_dir() else data.parent
    return root.parent if data.is_file() and root.name == "annotations" else root


def picture_paths(root: Path, file: Path, names: Mapping[Any, str]) -> dict[Any, Path | None]:
    """Where the pictures of a file lie, by their ids; None for one that is not there."""
    places = (".", "images", file.stem.rpartition("_")[2])
    folders = (*places, f"images/{places[-1]}")
    return {key: find_picture(root, name, folders) for key, name in names.items()}


def load_coco(file: Path) -> Mapping[str, Any]:
    """The content, with its three lists and an id for each image.

    Raises:
        DataError: it is no JSON, lacks a list, or an id cannot be one.
    """
    content = load_json(file)
    lists = content if isinstance(content, dict) else {}
    missing = [
        name
        for name in LISTS
        if not isinstance(lists.get(name), list)
        or not all(isinstance(entry, dict) for entry in lists[name])
    ]
    if missing:
        raise DataError(f"{file} lacks the lists {', '.join(missing)} of a COCO file")
    if any(key_of(entry.get("id")) is None for entry in lists["images"]):
        raise DataError(f"{file}: an image has no id")
    if any("id" in entry and key_of(entry["id"]) is None for entry in lists["annotations"]):
        raise DataError(f"{file}: the id of an annotation is neither a number nor a text")
    return lists


def key_of(value: Any) -> int | float | str | None:
    """An id; None for what cannot be one."""
    return value if isinstance(value, int | float | str) else None


def check_unique(file: Path, kind: str, keys: Sequence[Any]) -> None:
    """Raises a ``DataError`` where an id of images or annotations occurs twice."""
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        shown = ", ".join(map(str, twice[:EXAMPLES]))
        raise DataError(f"{file}: {len(twice)} {kind} ids occur more than once, such as {shown}")


def file_sides(root: Path, files: Sequence[Path]) -> dict[Path, Split | None]:
    """The side of each file by its name; a file alone has none.

    Raises:
        DataError: there is no file, or several whose names do not say which side each is.
    """
    if len(files) == 1:
        return {files[0]: None}
    if not files:
        raise DataError(f"{root} holds no COCO file")
    sides = {file: side_in(file.stem) for file in files}
    if None in sides.values() or len(set(sides.values())) < len(files):
        names = ", ".join(file.name for file in files)
        raise DataError(
            f"{root} holds several COCO files ({names}), whose names do not all say a side "
            "of the split, or say one twice: give the path of one of them"
        )
    return sides
