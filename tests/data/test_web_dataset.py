"""WebDataset shards."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.config import DatasetOptions
from headstart.data.readers.web_dataset import READER
from headstart.errors import DataError
from headstart.storage import cache_dir
from layouts import png, write_shards, write_tar
from pictures import KINDS

PNG = png("disc", 1)


def read(data: Path):
    return READER.read(data, DatasetOptions())


def test_shards_are_sides_and_keys_are_samples(tmp_path: Path) -> None:
    listing = read(write_shards(tmp_path, 2))
    found = [(a.fields["label"], a.split) for a in listing.annotations]
    assert found == [(kind, s) for s in ("test", "train") for kind in KINDS for _ in range(2)]
    assert listing.root.is_relative_to(cache_dir())


def test_json_holds_fields(tmp_path: Path) -> None:
    text = b'{"labels": ["a", "b"], "score": 1, "none": null, "deep": {"x": 1}}'
    file = write_tar(tmp_path / "a.tar", {"x/1.jpg": PNG, "x/1.json": text, "x/2.txt": b"?"})
    listing = read(file)
    (found,) = listing.annotations
    assert found.fields == {"labels": "a|b", "score": "1", "none": ""}
    assert [(o.image, o.reason) for o in listing.omissions] == [
        ("a.tar/x/2", "it has 0 pictures; its members are txt")
    ]


def test_names_that_point_elsewhere_or_differ_in_case_stay_apart_in_the_cache(
    tmp_path: Path,
) -> None:
    members = {
        "../../evil.png": PNG,
        "../../evil.cls": b"a",
        "A.png": png("disc", 2),
        "A.cls": b"a",
        "a.png": png("disc", 3),
        "a.cls": b"b",
    }
    listing = read(write_tar(tmp_path / "a.tar", members))
    names = {annotation.path.name.lower() for annotation in listing.annotations}
    assert len(names) == 3
    for annotation in listing.annotations:
        assert annotation.path.resolve().is_relative_to(cache_dir().resolve())


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"a.png": PNG}, "it has neither cls nor json"),
        ({"a.png": PNG, "a.jpg": PNG, "a.cls": b"x"}, "it has 2 pictures"),
        ({"a.png": PNG, "a.json": b"{"}, "its description cannot be read: Expecting"),
        ({"a.png": PNG, "a.json": b"[]"}, "json must hold names and values, got list"),
        ({"a.png": PNG, "a.cls": b"\xff"}, "its description cannot be read: 'utf-8'"),
    ],
)
def test_a_broken_sample_is_named(tmp_path: Path, members: dict, reason: str) -> None:
    good = {"z.png": PNG, "z.cls": b"x"}
    (omission,) = read(write_tar(tmp_path / "s.tar", {**members, **good})).omissions
    assert omission.image == "s.tar/a"
    assert reason in omission.reason


def test_a_shard_that_is_cut_off_is_said(tmp_path: Path) -> None:
    file = write_tar(tmp_path / "s.tar", {"a.png": PNG, "a.cls": b"x"})
    file.write_bytes(file.read_bytes()[:700])
    with pytest.raises(DataError, match=r"s\.tar is no readable tar file"):
        read(file)
