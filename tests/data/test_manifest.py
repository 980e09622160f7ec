"""What becomes of a data set: records, what is left out, and why."""

from __future__ import annotations

import dataclasses
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.config import DatasetOptions
from headstart.data.fingerprints import fingerprint
from headstart.data.image_cache import ImageCache
from headstart.data.manifest import ParsedData, build_manifest, parse_data
from headstart.errors import ConfigError, DataError
from headstart.progress import QuietProgress
from headstart.types import SPLITS, Annotation, Manifest
from pictures import (
    make_picture,
    write_class_folders,
    write_csv,
    write_number_table,
    write_picture,
    write_split_folders,
)


def built(data: Path, **options: Any) -> Manifest:
    return build_manifest(data, progress=QuietProgress(), **options)


def left_out(manifest: Manifest) -> list[tuple[str, str]]:
    return [(omission.image, omission.reason) for omission in manifest.omissions]


def test_records_of_class_folders(picture_folder: Path) -> None:
    manifest = built(picture_folder)
    assert (manifest.task, manifest.schema.classes) == (
        "classification",
        ("disc", "square", "stripes"),
    )
    assert Counter(record.target for record in manifest.records) == {0: 12, 1: 12, 2: 12}
    assert (manifest.omissions, manifest.notes, manifest.white_level) == ((), (), 65535)
    first = manifest.records[0]
    assert (first.image, first.split, first.group) == ("disc/000.png", None, None)
    assert first.fingerprint == first.pixels == fingerprint(first.path.read_bytes())


def test_sides_and_groups_come_from_the_layout(tmp_path: Path) -> None:
    for at in range(4):
        write_picture(tmp_path / f"{at}.png", make_picture("disc", at))
    rows = [
        {"image": f"{at}.png", "label": "ab"[at % 2], "split": side, "group": f"g{at // 2}"}
        for at, side in enumerate(("train", "train", "test", ""))
    ]
    manifest = built(write_csv(tmp_path, rows))
    assert [(r.split, r.group) for r in manifest.records] == [
        ("train", "g0"),
        ("train", "g0"),
        ("test", "g1"),
        (None, "g1"),
    ]
    assert [record.image for record in manifest.on("train")] == ["0.png", "1.png"]


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        (("train", "val", "test"), {"2.png"}),
        (("train", "test", "test"), {"1.png", "2.png"}),
        (("train", "val", "val"), {"1.png", "2.png"}),
        (("train", "", "test"), {"2.png"}),
        (("train", "train", "train"), set()),
        (("", "", ""), set()),
    ],
)
def test_the_given_sides_say_what_is_only_tested(
    tmp_path: Path, sides: Sequence[str], expected: set[str]
) -> None:
    for at in range(3):
        write_picture(tmp_path / f"{at}.png", make_picture("disc", at))
    rows = [
        {"image": f"{at}.png", "label": "ab"[at % 2], "split": side}
        for at, side in enumerate(sides)
    ]
    found = parse_data(write_csv(tmp_path, rows)).only_tested()
    assert {path.name for path in found} == expected


def test_a_picture_with_something_on_each_side_is_not_only_tested(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "0.png", make_picture("disc", 0))
    things = [(Annotation(path, "0.png", {}, split=side), None) for side in SPLITS]
    parsed = ParsedData(tmp_path, "", None, DatasetOptions(), tuple(things), (), ())
    assert parsed.only_tested() == frozenset()
    tested = dataclasses.replace(parsed, entries=(things[2], things[2]))
    assert tested.only_tested() == {path}


def test_unreadable_pictures_are_named_with_the_reason(picture_folder: Path) -> None:
    (picture_folder / "disc" / "000.png").write_bytes(b"")
    (picture_folder / "square" / "001.png").write_text("hello", encoding="utf-8")
    (picture_folder / "square" / "notes.txt").touch()
    manifest = built(picture_folder)
    assert len(manifest.records) == 34
    assert left_out(manifest) == [
        ("square/notes.txt", "its ending '.txt' is not a picture's"),
        ("disc/000.png", "the file is empty"),
        ("square/001.png", "cannot be decoded (not a picture of a known format)"),
    ]


@pytest.mark.parametrize(("broken", "stops"), [(2, False), (3, True)])
def test_too_many_unreadable_pictures_stop(tmp_path: Path, broken: int, stops: bool) -> None:
    write_class_folders(tmp_path, 4)  # 12 pictures: 20 % are 2.4
    for at in range(broken):
        (tmp_path / "disc" / f"00{at}.png").write_bytes(b"")
    if not stops:
        assert len(built(tmp_path).records) == 12 - broken
        return
    with pytest.raises(DataError) as caught:
        built(tmp_path)
    assert str(caught.value) == (
        "3 of 12 pictures cannot be used (more than 20%): disc/000.png (the file is empty), "
        "disc/001.png (the file is empty), disc/002.png (the file is empty)"
    )


def test_rows_that_the_task_cannot_use_are_left_out_without_opening_them(tmp_path: Path) -> None:
    table = write_number_table(tmp_path, 10)
    lines = table.read_text(encoding="utf-8").splitlines()
    image, _, _ = lines[3].partition(",")
    lines[3] = f"{image},much"
    table.write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / image).write_bytes(b"")
    manifest = built(tmp_path, task="regression")
    assert len(manifest.records) == 9
    assert left_out(manifest) == [(image, "brightness is no number: 'much'")]


def copy(root: Path, source: str, target: str) -> None:
    (root / target).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(root / source, root / target)


def test_of_copies_on_one_side_the_first_stays(tmp_path: Path) -> None:
    write_class_folders(tmp_path, 3)
    copy(tmp_path, "disc/001.png", "disc/900.png")
    copy(tmp_path, "disc/001.png", "disc/901.png")
    manifest = built(tmp_path)
    assert len(manifest.records) == 9
    assert left_out(manifest) == [
        ("disc/900.png", "the same file as disc/001.png"),
        ("disc/901.png", "the same file as disc/001.png"),
    ]


def test_copies_with_different_targets_stay_each_once(tmp_path: Path) -> None:
    write_class_folders(tmp_path, 3)
    copy(tmp_path, "disc/001.png", "square/900.png")
    copy(tmp_path, "disc/001.png", "square/901.png")
    manifest = built(tmp_path)
    images = [record.image for record in manifest.records]
    assert {"disc/001.png", "square/900.png"} <= set(images)
    assert left_out(manifest) == [("square/901.png", "the same file as square/900.png")]


@pytest.mark.parametrize("other_class", ["disc", "square"])
@pytest.mark.parametrize(
    ("first", "second", "stays"),
    [("train", "test", "test"), ("train", "val", "val"), ("val", "test", "test")],
)
def test_of_copies_on_two_sides_the_tested_one_stays(
    tmp_path: Path, first: str, second: str, stays: str, other_class: str
) -> None:
    write_split_folders(tmp_path, {"train": 2, "val": 2, "test": 2})
    copy(tmp_path, f"{first}/disc/000.png", f"{second}/{other_class}/900.png")
    manifest = built(tmp_path)
    assert stays == second
    assert left_out(manifest) == [
        (f"{first}/disc/000.png", f"the same file is {second}/{other_class}/900.png in {second}")
    ]
    assert len(manifest.records) == 18


def table_of_copies(root: Path, rows: list[tuple[str, str, str]]) -> Path:
    write_picture(root / "a.png", make_picture("disc", 1))
    shutil.copy(root / "a.png", root / "a2.png")
    write_picture(root / "b.png", make_picture("square", 1))
    keys = ("image", "label", "split")
    return write_csv(root, [dict(zip(keys, row, strict=True)) for row in rows])


@pytest.mark.parametrize(
    ("rows", "kept", "reasons"),
    [
        pytest.param(
            [("a.png", "x", ""), ("a.png", "x", ""), ("b.png", "y", "")],
            [("a.png", None), ("b.png", None)],
            ["the same file as a.png"],
            id="a row twice",
        ),
        pytest.param(
            [("a.png", "x", "train"), ("a.png", "x", "test"), ("b.png", "y", "train")],
            [("a.png", "test"), ("b.png", "train")],
            ["the same file is a.png in test"],
            id="a file on two sides",
        ),
        pytest.param(
            [("a.png", "x", ""), ("a2.png", "x", "train"), ("b.png", "y", "train")],
            [("a.png", None), ("b.png", "train")],
            ["the same file as a.png"],
            id="no side is train",
        ),
        pytest.param(
            [("a.png", "x", ""), ("a2.png", "y", "train"), ("b.png", "y", "train")],
            [("a.png", None), ("a2.png", "train"), ("b.png", "train")],
            [],
            id="different targets",
        ),
    ],
)
def test_copies_in_a_table(
    tmp_path: Path,
    rows: list[tuple[str, str, str]],
    kept: list[tuple[str, str | None]],
    reasons: list[str],
) -> None:
    manifest = built(table_of_copies(tmp_path, rows))
    assert [(record.image, record.split) for record in manifest.records] == kept
    assert [reason for _, reason in left_out(manifest)] == reasons


def test_limit_takes_from_every_class_in_proportion(tmp_path: Path) -> None:
    write_class_folders(tmp_path, {"disc": 20, "square": 10, "stripes": 10})
    manifest = built(tmp_path, limit=12)
    assert Counter(record.target for record in manifest.records) == {0: 6, 1: 3, 2: 3}
    assert manifest.notes == ("--limit: 12 pictures are used",)
    images = [record.image for record in manifest.records]
    assert images == sorted(images)
    assert [record.image for record in built(tmp_path, limit=12).records] == images
    # A larger limit adds to a smaller one, and it is a choice, not the first ones.
    assert set(images) < {record.image for record in built(tmp_path, limit=20).records}
    assert [image for image in images if image.startswith("square")] != [
        f"square/{at:03}.png" for at in range(3)
    ]


@pytest.mark.parametrize("limit", [36, 37, None])
def test_a_limit_that_is_not_reached_changes_nothing(
    picture_folder: Path, limit: int | None
) -> None:
    assert built(picture_folder, limit=limit).records == built(picture_folder).records


def test_sixteen_bit_pictures_share_one_white_level(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for kind, top in (("dark", 900), ("bright", 4000)):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for at in range(3):
            values = random.integers(0, top, (40, 50)).astype(np.uint16)
            values[0, 0] = top
            Image.fromarray(values).save(tmp_path / "photos" / kind / f"{at}.png")
    cache = ImageCache(tmp_path / "cache", (32, 32))
    manifest = built(tmp_path / "photos", cache=cache)
    assert manifest.white_level == 4095
    assert len(manifest.records) == 6
    for record in manifest.records:
        assert record.pixels == f"{record.fingerprint}@4095"
        assert cache.get(record.pixels).shape[2] == 3
    means = [cache.get(record.pixels).mean() for record in manifest.records]
    # Records come bright first; half of 4000 and of 900, of 4095, by hand.
    assert means == pytest.approx([124.5] * 3 + [28.0] * 3, rel=0.05)


def test_dataset_yaml_orders_the_classes_and_limits_them(picture_folder: Path) -> None:
    (picture_folder / "dataset.yaml").write_text("classes: [stripes, disc]\n", encoding="utf-8")
    manifest = built(picture_folder)
    assert manifest.schema.classes == ("stripes", "disc")
    assert Counter(record.target for record in manifest.records) == {0: 12, 1: 12}
    assert len(manifest.omissions) == 12
    assert manifest.omissions[0].reason == "its class 'square' is not one of the classes"


def test_the_schema_of_a_model_wins_over_dataset_yaml(picture_folder: Path) -> None:
    schema = built(picture_folder).schema
    (picture_folder / "dataset.yaml").write_text("classes: [stripes, disc]\n", encoding="utf-8")
    assert built(picture_folder, schema=schema).schema == schema


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        (
            {"task": "juggling"},
            ConfigError,
            "task must be one of .*, got 'juggling'",
        ),
        ({"task": "regression"}, DataError, "no picture has a number in the column 'label'"),
    ],
)
def test_a_task_that_does_not_fit_is_said(
    picture_folder: Path, options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        built(picture_folder, **options)


def test_a_single_class_is_refused(tmp_path: Path) -> None:
    write_class_folders(tmp_path, {"disc": 2})
    with pytest.raises(DataError, match=r"at least two classes are needed, got 1 \(disc\)"):
        built(tmp_path)


def test_the_odd_format_is_named_and_used(tmp_path: Path) -> None:
    for at in range(100):
        write_picture(tmp_path / "ab"[at % 2] / f"{at:03}.png", make_picture("disc", at, (16, 16)))
    Image.fromarray(make_picture("square", 0, (16, 16))).save(tmp_path / "a" / "stray.gif")
    manifest = built(tmp_path)
    assert len(manifest.records) == 101
    assert manifest.notes == (
        "of another format than the rest, look whether they belong: a/stray.gif",
    )


def test_what_is_known_of_points_holds_for_every_task_with_points(tmp_path: Path) -> None:
    for at in range(6):
        write_picture(tmp_path / f"{at}.png", make_picture("disc", at))
    rows = [{"image": f"{at}.png", "x0": 5, "y0": 6, "x1": 20 + at, "y1": 9} for at in range(6)]
    write_csv(tmp_path, rows)
    said = "task: regression\nflip_pairs: [[0, 1]]\nnormalise_by: [0, 1]\nrange: [0, 9]\n"
    (tmp_path / "dataset.yaml").write_text(said, encoding="utf-8")
    schema = built(tmp_path / "labels.csv", task="keypoints").schema
    assert schema.skeleton.flip_pairs == ((0, 1),)
    assert schema.normalise_by == (0, 1)


def test_the_classes_of_another_task_are_not_taken(tmp_path: Path) -> None:
    for at in range(6):
        write_picture(tmp_path / f"{at}.png", make_picture("disc", at))
    rows = [{"image": f"{at}.png", "labels": "ant bee" if at % 2 else "ant"} for at in range(6)]
    write_csv(tmp_path, rows)
    said = "task: segmentation\nclasses: [road, sky]\n"
    (tmp_path / "dataset.yaml").write_text(said, encoding="utf-8")
    assert built(tmp_path / "labels.csv", task="multilabel").schema.classes == ("ant", "bee")
