"""Faults of a data set: each has one clear sentence, and what is left out is listed and counted."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

from headstart.config import DatasetOptions
from headstart.data import readers
from headstart.data.manifest import build_manifest
from headstart.data.split import assign_splits
from headstart.errors import DataError
from headstart.progress import QuietProgress
from headstart.types import Manifest
from pictures import make_picture, write_class_folders, write_picture

QUIET = QuietProgress()


def built(data: Path) -> Manifest:
    return build_manifest(data, progress=QUIET)


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bomb() -> bytes:
    """A whole PNG of 30,000x30,000 black pixels in a few bytes."""
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 1, 0, 0, 0, 0)
    line = b"\0" * (1 + 30_000 // 8)
    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(line) for _ in range(30_000)) + packer.flush()
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_every_kind_of_bad_picture_is_left_out_listed_and_counted(tmp_path: Path) -> None:
    data = write_class_folders(tmp_path / "photos", 12)
    folder = data / "disc"
    whole = write_picture(tmp_path / "whole.jpg", make_picture("disc", 99)).read_bytes()
    (folder / "bad-bomb.png").write_bytes(bomb())
    (folder / "bad-empty.png").touch()
    write_picture(folder / "bad-one.png", np.zeros((1, 1, 3), np.uint8))
    (folder / "bad-text.jpg").write_text("hello", encoding="utf-8")
    (folder / "bad-cut.jpg").write_bytes(whole[: len(whole) // 2])
    found = built(data)
    reasons = {omission.image: omission.reason for omission in found.omissions}
    assert len(found.records) == 36
    assert sorted(reasons) == [
        f"disc/bad-{name}" for name in ("bomb.png", "cut.jpg", "empty.png", "one.png", "text.jpg")
    ]
    assert "900000000 pixels" in reasons["disc/bad-bomb.png"]
    assert "truncated" in reasons["disc/bad-cut.jpg"]
    assert reasons["disc/bad-empty.png"] == "the file is empty"
    assert reasons["disc/bad-one.png"] == "it has a single pixel"
    assert reasons["disc/bad-text.jpg"] == "cannot be decoded (not a picture of a known format)"


def test_too_many_bad_pictures_stop_with_a_list(tmp_path: Path) -> None:
    data = write_class_folders(tmp_path / "photos", 2)
    for at in range(25):
        (data / "disc" / f"bad-{at:02}.png").touch()
    with pytest.raises(DataError) as caught:
        built(data)
    message = str(caught.value)
    assert message.startswith("25 of 31 pictures cannot be used (more than 20%): disc/bad-00.png")
    assert message.count("the file is empty") == 20
    assert message.endswith("and 5 more")


def test_a_folder_without_pictures_says_so(tmp_path: Path) -> None:
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    with pytest.raises(DataError, match=r"photos has no layout that is known and holds no picture"):
        readers.read(tmp_path / "photos", DatasetOptions())


def test_classes_with_one_or_two_pictures_stay_and_are_named(tmp_path: Path) -> None:
    data = write_class_folders(tmp_path / "photos", {"disc": 12, "square": 2, "stripes": 1})
    found = assign_splits(built(data))
    assert len(found.records) == 15
    assert found.schema.classes == ("disc", "square", "stripes")
    notes = [note for note in found.notes if "add pictures" in note]
    missing = {
        side: {
            name
            for at, name in enumerate(found.schema.classes)
            if not any(record.target == at for record in found.on(side))
        }
        for side in ("train", "val", "test")
    }
    # Three pictures on three sides: at least one of both classes lacks a side.
    assert sum(map(len, missing.values())) >= 3
    expected = [
        f"no picture of {', '.join(sorted(names))} is on the {side} side: add pictures"
        for side, names in missing.items()
        if names
    ]
    assert notes == expected


def test_classes_that_differ_in_letter_case_only_are_refused(tmp_path: Path) -> None:
    table = write_class_folders(tmp_path, {"disc": 2, "square": 2}) / "labels.csv"
    table.write_text(
        "image,label\ndisc/000.png,Cat\ndisc/001.png,cat\nsquare/000.png,dog\n", encoding="utf-8"
    )
    with pytest.raises(DataError, match="'Cat' and 'cat' differ only in letter case: rename"):
        built(table)


def test_names_of_other_alphabets_and_long_ones_reach_the_manifest(tmp_path: Path) -> None:
    names = ("Ünïcode 猫 🐈", "x" * 200)
    for at, name in enumerate(names):
        for number in range(3):
            picture = make_picture("disc", 10 * at + number)
            write_picture(tmp_path / name / f"{name} {number}.png", picture)
    found = built(tmp_path)
    assert found.schema.classes == tuple(sorted(names))
    assert {record.image for record in found.records} == {
        f"{name}/{name} {number}.png" for name in names for number in range(3)
    }
