"""Which pictures belong together: by folder, by name, or taken in one burst."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Callable, Sequence

from headstart.errors import DataError
from headstart.parallel import map_ahead
from headstart.runtime.images import capture_time
from headstart.types import Annotation

Rule = Callable[[Sequence[Annotation], str], list[str | None]]


def column_of(rule: str | None) -> str | None:
    """The column that a rule names; None where it says how groups are made."""
    if rule is None or (":" in rule and rule.partition(":")[0] in RULES):
        return None
    return rule.removeprefix("column:")


def grouped(
    annotations: Sequence[Annotation], rule: str
) -> tuple[tuple[Annotation, ...], tuple[str, ...]]:
    """Puts pictures into groups that stay on one side of the split.

    Args:
        annotations: of one data set.
        rule: ``folder:N``: the N-th folder of the picture's path below the root, from 1; from the
            picture upwards with -1 for the folder that it lies in. ``name:REGEX``: what the first
            bracket (or all) of the expression finds in the file's name. ``burst:SECONDS``: pictures
            of one camera, each at most so long after the one before.

    Returns:
        The annotations with their groups, and sentences for the person.

    Raises:
        DataError: no picture has a group.
    """
    kind, _, argument = rule.partition(":")
    groups = RULES[kind](annotations, argument)
    without = groups.count(None)
    if without == len(annotations):
        raise DataError(f"--group {rule}: no picture has {_MISSING[kind]}")
    found = tuple(
        dataclasses.replace(annotation, group=group)
        for annotation, group in zip(annotations, groups, strict=True)
    )
    counted = len(set(groups) - {None})
    notes = [f"--group {rule}: {len(annotations) - without} pictures are in {counted} groups"]
    if without:
        notes.append(f"{without} pictures have {_NONE[kind]} and stand alone")
    return found, tuple(notes)


def _by_folder(annotations: Sequence[Annotation], argument: str) -> list[str | None]:
    level = int(argument)
    groups: list[str | None] = []
    for annotation in annotations:
        folders = annotation.image.split("/")[:-1]
        at = level - 1 if level > 0 else len(folders) + level
        groups.append(folders[at] if 0 <= at < len(folders) else None)
    return groups


def _by_name(annotations: Sequence[Annotation], argument: str) -> list[str | None]:
    expression = re.compile(argument)
    groups: list[str | None] = []
    for annotation in annotations:
        found = expression.search(annotation.image.rpartition("/")[2])
        groups.append((found[1] if expression.groups else found[0]) if found else None)
    return groups


def _by_burst(annotations: Sequence[Annotation], argument: str) -> list[str | None]:
    """A burst is named after its first picture."""
    by_camera: dict[str, list[tuple[float, int]]] = defaultdict(list)
    taken = map_ahead(lambda annotation: capture_time(annotation.path), annotations)
    for at, found in enumerate(taken):
        if found is not None:
            by_camera[found[0]].append((found[1], at))
    groups: list[str | None] = [None] * len(annotations)
    for shots in by_camera.values():
        before, name = float("-inf"), ""
        for seconds, at in sorted(shots):
            if seconds - before > float(argument):
                name = annotations[at].image
            groups[at], before = name, seconds
    return groups


RULES: dict[str, Rule] = {"folder": _by_folder, "name": _by_name, "burst": _by_burst}

_MISSING = {
    "folder": "a folder at this level",
    "name": "a name in which the expression is found",
    "burst": "a capture time in its EXIF data",
}
_NONE = {
    "folder": "no folder at this level",
    "name": "no such name",
    "burst": "no capture time",
}
