"""Writers: one module for each format, found by listing this package; the readers' mirror.

A writer knows fields and files, not tasks: what a task says about a picture comes to it as the
fields that readers give. Its module holds one object ``WRITER`` that fulfils ``Writer``.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from headstart.errors import DataError
from headstart.tasks.fields import Row
from headstart.types import Box, Frame, Split

if TYPE_CHECKING:
    from headstart.data.placing import Folder

LABEL = "label"
LABELS = "labels"
MASK = "mask"
POINTS = "points"

BACKGROUND = "background"
VOID = "void"
"""A class of this name counts for nothing, where pixels are that no outline covers."""

JOINED = "|"
"""What stands between labels in every layout but tables."""


@dataclasses.dataclass(frozen=True)
class Thing:
    """What is said about a picture, or about one thing in it.

    Attributes:
        path: where the picture lies.
        image: its path relative to the root of the data.
        frame: how it lies in its file.
        row: gives the target as fields; masks and points are those of the upright picture.
        split: the side that the data gives.
        group: what it belongs to.
        box: around the thing, in the upright picture.
        boxes: class and box of each thing that the picture shows, in the upright picture.
    """

    path: Path
    image: str
    frame: Frame
    row: Callable[[], Row]
    split: Split | None = None
    group: str | None = None
    box: Box | None = None
    boxes: tuple[tuple[str, Box], ...] = ()


@dataclasses.dataclass(frozen=True)
class Content:
    """A data set, as writers see it.

    Attributes:
        things: in the order of the data.
        fields: names of what is said about them.
        parts: names of the classes or points, in order.
        options: entries of ``dataset.yaml``.
    """

    things: tuple[Thing, ...]
    fields: frozenset[str]
    parts: tuple[str, ...]
    options: Mapping[str, Any]

    @property
    def placed(self) -> bool:
        """Whether something is said about places in the pictures."""
        if self.fields & {MASK, POINTS}:
            return True
        return any(thing.box or thing.boxes for thing in self.things)

    @property
    def sides(self) -> tuple[Split, ...]:
        """Sides that occur; where some do, a picture without one trains."""
        found = {thing.split for thing in self.things}
        if found == {None}:
            return ()
        given = {side or "train" for side in found}
        return tuple(side for side in ("train", "val", "test") if side in given)

    def pictures(self) -> dict[Path, list[Thing]]:
        """The things of each picture."""
        found: dict[Path, list[Thing]] = {}
        for thing in self.things:
            found.setdefault(thing.path, []).append(thing)
        return found


class Writer(Protocol):
    """Writes one format."""

    name: str
    """What ``--to`` calls it."""

    def losses(self, content: Content) -> list[str]:
        """What the format cannot hold, a sentence each, without a full stop.

        Raises:
            DataError: it can hold nothing of the targets.
        """

    def write(self, content: Content, folder: Folder) -> None:
        """Writes all pictures and what is said about them."""


def writers() -> Mapping[str, Writer]:
    """All writers by their names."""
    modules = (
        importlib.import_module(f"{__name__}.{entry.name}")
        for entry in pkgutil.iter_modules(__path__)
    )
    found: list[Writer] = [module.WRITER for module in modules]
    return {writer.name: writer for writer in sorted(found, key=lambda writer: writer.name)}


def labels_of(thing: Thing, content: Content) -> tuple[list[str], list[str]]:
    """Names of the classes that a picture shows, and of those that are not known."""
    row = thing.row()
    if LABEL in row:
        return [str(row[LABEL])], []
    separator = content.options.get("separator", JOINED)
    names = [name for name in str(row[LABELS]).split(separator) if name]
    unknown = [name[1:] for name in names if name.startswith("?")]
    return [name for name in names if not name.startswith("?")], unknown


def boxed_labels(thing: Thing, content: Content) -> list[tuple[str, Box, bool]]:
    """Class, box and whether it is not known; a class without a box gets the whole picture."""
    present, unknown = labels_of(thing, content)
    height, width = thing.frame.size
    whole = (0.0, 0.0, float(width), float(height))
    found = []
    for names, hidden in ((present, False), (unknown, True)):
        for name in names:
            boxes = [box for named, box in thing.boxes if named == name]
            found += [(name, box, hidden) for box in boxes or [whole]]
    return found


def common_losses(content: Content, format_name: str, *, hides_unknown: bool) -> list[str]:
    """Sentences about groups, sides, unknown labels and boxes, for formats other than tables."""
    found = []
    groups = {thing.group for thing in content.things} - {None}
    if groups:
        found.append(f"{format_name} has no groups: {len(groups)} are lost, keep the data itself")
    without = sum(thing.split is None for thing in content.things)
    if content.sides and without:
        found.append(f"{without} pictures without a side of the split become training pictures")
    if not content.fields & {LABEL, LABELS}:
        return found
    things = [(thing, *labels_of(thing, content)) for thing in content.things]
    unknown = sum(len(hidden) for _, _, hidden in things)
    if unknown and hides_unknown:
        found.append(f"{unknown} labels that are not known become absent")
    bare = sum(
        name not in {named for named, _ in thing.boxes}
        for thing, present, hidden in things
        for name in (*present, *hidden)
    )
    if bare:
        found.append(f"{bare} labels have no box: theirs is the whole picture")
    return found


def refuse_numbers(content: Content, format_name: str, held: Sequence[str]) -> None:
    """Raises a ``DataError`` where none of the fields is one that the format holds."""
    if not content.fields & set(held):
        raise DataError(
            f"{format_name} has no place for {', '.join(sorted(content.fields))}: say --to csv"
        )


def layout_options(content: Content) -> dict[str, Any]:
    """Entries of ``dataset.yaml`` beside layouts in which labels are joined by ``JOINED``.

    Raises:
        DataError: a class has a name that would be taken for two.
    """
    options = dict(content.options)
    if not content.fields & {LABEL, LABELS}:
        return options
    odd = [name for name in content.parts if JOINED in name or name.startswith("?")]
    if odd:
        raise DataError(
            f"the name {odd[0]!r} holds '{JOINED}' or begins with '?': rename the class, "
            "or say --to csv"
        )
    if "separator" in options:
        options["separator"] = JOINED
    return options


def mask_classes(content: Content) -> tuple[list[str], list[str], int]:
    """How outlines stand for the classes of masks.

    Returns:
        Names of what has outlines; all classes of the masks that a reader draws, the first one
        where there is no outline; and what is added to a class for its number in those masks.
    """
    classes = list(content.parts)
    if classes[0] == BACKGROUND:
        return classes[1:], classes, 0
    return classes, [VOID, *classes], 1
