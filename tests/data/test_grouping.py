"""Groups by folder, by name and by capture time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from headstart.config import train_config
from headstart.data.grouping import grouped
from headstart.data.manifest import parse_data
from headstart.errors import ConfigError, DataError
from headstart.types import Annotation
from pictures import write_class_folders, write_class_table


def annotations(*names: str, root: Path = Path("photos")) -> list[Annotation]:
    return [Annotation(root / name, name, {}) for name in names]


def groups(names: list[str], rule: str) -> list[str | None]:
    return [annotation.group for annotation in grouped(annotations(*names), rule)[0]]


NAMES = ["a/anna/1.jpg", "b/anna/2.jpg", "a/ben/3.jpg", "a/4.jpg"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("folder:1", ["a", "b", "a", "a"]),
        ("folder:2", ["anna", "anna", "ben", None]),
        ("folder:-1", ["anna", "anna", "ben", "a"]),
        ("folder:-2", ["a", "b", "a", None]),
        ("name:[12]", ["1", "2", None, None]),
        (r"name:^(\d)\.jpg$", ["1", "2", "3", "4"]),
    ],
)
def test_rules(rule: str, expected: list[str | None]) -> None:
    assert groups(NAMES, rule) == expected


def test_what_was_found_is_said() -> None:
    _, notes = grouped(annotations(*NAMES), "folder:2")
    assert notes == (
        "--group folder:2: 3 pictures are in 2 groups",
        "1 pictures have no folder at this level and stand alone",
    )


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("folder:3", "--group folder:3: no picture has a folder at this level"),
        ("name:zebra", "--group name:zebra: no picture has a name in which the expression"),
        ("burst:2", "--group burst:2: no picture has a capture time in its EXIF data"),
    ],
)
def test_a_rule_that_finds_nothing_is_refused(rule: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        grouped(annotations(*NAMES), rule)


@pytest.mark.parametrize("rule", ["folder:0", "folder:x", "name:(", "burst:0", "burst:soon"])
def test_a_rule_that_is_none_is_refused(rule: str) -> None:
    with pytest.raises(ConfigError, match="--group must be folder:N"):
        train_config({"data": Path("x"), "group": rule})


def shot(path: Path, taken: str, camera: str = "one", part: str | None = None) -> None:
    image = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = camera
    detail = exif.get_ifd(ExifTags.IFD.Exif)
    detail[ExifTags.Base.DateTimeOriginal] = taken
    if part is not None:
        detail[ExifTags.Base.SubsecTimeOriginal] = part
    image.save(path, exif=exif)


def test_bursts_are_chains_of_one_camera(tmp_path: Path) -> None:
    shot(tmp_path / "a.jpg", "2026:01:01 10:00:00")
    shot(tmp_path / "b.jpg", "2026:01:01 10:00:02")
    shot(tmp_path / "c.jpg", "2026:01:01 10:00:04")
    shot(tmp_path / "d.jpg", "2026:01:01 10:00:04", part="9")
    shot(tmp_path / "e.jpg", "2026:01:01 10:00:07")
    shot(tmp_path / "f.jpg", "2026:01:01 10:00:02", camera="two")
    shot(tmp_path / "g.jpg", "0000:00:00 00:00:00")
    names = [f"{letter}.jpg" for letter in "abcdefg"]
    found, notes = grouped(annotations(*names, root=tmp_path), "burst:2")
    assert [annotation.group for annotation in found] == [*["a.jpg"] * 4, "e.jpg", "f.jpg", None]
    assert "--group burst:2: 6 pictures are in 3 groups" in notes


def test_the_rule_reaches_the_pictures(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "photos", 3)
    parsed = parse_data(root, group="name:^00([01])")
    assert {a.group for a, _ in parsed.entries} == {"0", "1", None}
    (root / "dataset.yaml").write_text("group: folder:1\n", encoding="utf-8")
    parsed = parse_data(root)
    assert {a.group for a, _ in parsed.entries} == {"disc", "square", "stripes"}
    assert not any("no effect" in note for note in parsed.notes)


def test_a_column_is_the_tables(tmp_path: Path) -> None:
    table = write_class_table(tmp_path / "table", 2)
    lines = table.read_text(encoding="utf-8").splitlines()
    rows = [f"{line},{'person' if at == 0 else at % 2}" for at, line in enumerate(lines)]
    table.write_text("\n".join(rows), encoding="utf-8")
    for rule in ("person", "column:person"):
        parsed = parse_data(table, group=rule)
        assert [a.group for a, _ in parsed.entries] == ["1", "0"] * 3
    with pytest.raises(DataError, match="the group column 'persons' is missing"):
        parse_data(table, group="persons")
    with pytest.raises(DataError, match=r"--group person names a column, and .* is no table"):
        parse_data(write_class_folders(tmp_path / "photos", 1), group="person")
