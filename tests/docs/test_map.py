"""The map of the code lists every room, in the order that the imports follow."""

from __future__ import annotations

import re

from architecture.test_import_order import ROOMS
from docs.pages import ROOT, pages

MAP = "docs/explanation/map.md"


def listed_rooms() -> list[str]:
    """The names in the first column of the table of rooms, in order."""
    table = pages()[MAP].partition("| room |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines()[2:]]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row)]


def existing_rooms() -> list[str]:
    """Modules and packages right below the package, by name."""
    package = ROOT / "src" / "headstart"
    folders = [path.parent.name for path in package.glob("*/__init__.py")]
    return folders + [path.stem for path in package.glob("[a-z]*.py")]


def test_every_room_is_on_the_map() -> None:
    existing = existing_rooms()
    assert len(existing) >= 10
    assert sorted(name for name in listed_rooms() if "*" not in name) == sorted(existing)


def test_the_map_follows_the_order_of_imports() -> None:
    existing = existing_rooms()
    order = [name for room in ROOMS for name in room if name in existing or "*" in name]
    assert listed_rooms() == order
