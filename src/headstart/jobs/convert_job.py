"""Writes a data set in the format of other programs."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart import tasks
from headstart.config import train_config
from headstart.data.manifest import ParsedData, parse_data
from headstart.data.placing import LINKS, Folder, check_new_folder
from headstart.data.writers import Content, Thing, writers
from headstart.errors import ConfigError, DataError, UnreadableImageError
from headstart.progress import Progress, QuietProgress
from headstart.runtime.images import measure
from headstart.types import Annotation, Frame, Omission


@dataclasses.dataclass(frozen=True)
class ConvertResult:
    """What was written.

    Attributes:
        into: the folder.
        format: name of the format.
        task: name of the task whose targets were written.
        pictures: how many.
        pictures_are: copy, hardlink or symlink.
        losses: sentences about what the format cannot hold.
        notes: sentences that the person should read.
        omissions: pictures that were left out, and why.
    """

    into: Path
    format: str
    task: str
    pictures: int
    pictures_are: str
    losses: tuple[str, ...]
    notes: tuple[str, ...]
    omissions: tuple[Omission, ...]

    def to_json(self) -> dict[str, Any]:
        """What ``convert --json`` prints."""
        return {**dataclasses.asdict(self), "into": str(self.into)}


def convert(
    data: str | Path,
    *,
    to: str,
    into: str | Path,
    pictures: str = "copy",
    task: str | None = None,
    group: str | None = None,
    progress: Progress | None = None,
) -> ConvertResult:
    """Writes a data set in the format of other programs. The data itself is not changed.

    What the format cannot hold is said before anything is written. Pictures that EXIF turns are
    saved upright where masks, points or boxes are written; all others stay as they are.

    Args:
        data: folder or file in any known layout.
        to: ``coco``, ``csv``, ``voc`` or ``yolo``.
        into: folder to write; must be new or empty, and not lie in the data.
        pictures: ``copy``, ``hardlink`` or ``symlink``.
        task: whose targets are written; None infers it.
        group: what stays on one side, as for ``train``; only tables keep groups.
        progress: told what happens; None is silent.

    Raises:
        ConfigError: there is no such format or way to get pictures there.
        DataError: the format has no place for the targets, or ``into`` is taken.
        RunError: the disk is full, or knows no links.
    """
    shown, known = progress or QuietProgress(), writers()
    problems = []
    if to not in known:
        problems.append(f"--to must be one of {', '.join(known)}, got {to!r}")
    link = next((way for way in LINKS if way == pictures), None)
    if link is None:
        problems.append(f"--pictures must be one of {', '.join(LINKS)}, got {pictures!r}")
    if problems or link is None:
        raise ConfigError(problems)
    config = train_config({"data": Path(data), "task": task, "group": group})
    check_new_folder(Path(into), config.data)
    parsed = parse_data(config.data, task=config.task, group=config.group)
    omissions = list(parsed.omissions)
    content = _content(parsed, omissions, shown)
    losses = [*known[to].losses(content), *_turned(content)]
    for loss in losses:
        shown.say(f"{loss}.")
    known[to].write(content, Folder(Path(into), link, content))
    return ConvertResult(
        into=Path(into),
        format=to,
        task=parsed.task,
        pictures=len(content.pictures()),
        pictures_are=link,
        losses=tuple(losses),
        notes=parsed.notes,
        omissions=tuple(omissions),
    )


def _content(parsed: ParsedData, omissions: list[Omission], progress: Progress) -> Content:
    spec = tasks.spec(parsed.task)
    things = []
    frames: dict[Path, Frame | str] = {}
    with progress.bar("measure", len(parsed.entries)) as advance:
        for annotation, wanted in parsed.entries:
            advance(1)
            frame = _frame(annotation.path, frames)
            try:
                if isinstance(frame, str):
                    raise DataError(frame)
                target = spec.fit(wanted, frame, parsed.options)
            except DataError as error:
                omissions.append(Omission(annotation.image, str(error)))
                continue
            row = functools.partial(spec.to_row, parsed.schema, target)
            things.append(_thing(annotation, frame, row))
    if not things:
        reasons = "; ".join(f"{o.image}: {o.reason}" for o in omissions[:3])
        raise DataError(f"{parsed.root} holds no picture that can be written ({reasons})")
    options: Mapping[str, Any] = spec.row_options(parsed.schema)
    return Content(
        things=tuple(things),
        fields=_fields(things),
        parts=spec.parts(parsed.schema),
        options={"task": parsed.task, **options},
    )


def _fields(things: Sequence[Thing]) -> frozenset[str]:
    first = things[0].row()
    if not all(isinstance(value, str) for value in first.values()):
        return frozenset(first)  # what is read from files has the same names everywhere
    return frozenset(name for thing in things for name in thing.row())


def _frame(path: Path, known: dict[Path, Frame | str]) -> Frame | str:
    """How a picture lies in its file, or why it cannot be read."""
    if path not in known:
        try:
            known[path] = measure(path)
        except UnreadableImageError as error:
            known[path] = str(error)
    return known[path]


def _thing(annotation: Annotation, frame: Frame, row: Any) -> Thing:
    upright = frame.box_to_upright
    return Thing(
        path=annotation.path,
        image=annotation.image,
        frame=frame,
        row=row,
        split=annotation.split,
        group=annotation.group,
        box=upright(annotation.box) if annotation.box else None,
        boxes=tuple((name, upright(box)) for name, box in annotation.boxes),
    )


def _turned(content: Content) -> list[str]:
    turned = {thing.path for thing in content.things if thing.frame.orientation != 1}
    if not (turned and content.placed):
        return []
    return [f"{len(turned)} pictures that EXIF turns are saved upright as PNG"]
