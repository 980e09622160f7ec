"""Data sets written in other formats: what is read again is what was read before."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart import tasks
from headstart.data.manifest import ParsedData, parse_data
from headstart.data.outlines import outlines
from headstart.data.shapes import Shape, draw_mask
from headstart.data.writers import writers
from headstart.errors import ConfigError, DataError
from headstart.jobs import convert
from headstart.runtime.images import measure, read_image
from layouts import write_voc, write_xml, write_yolo
from pictures import KINDS, make_picture, write_mask_folders, write_picture, write_split_folders
from poses import write_coco

Read = dict[tuple[str, str], Any]


def write_tags(root: Path) -> Path:
    """A table with labels that are present, absent and not known, sides and groups."""
    rows = ["image,labels,split,group"]
    texts = ("disc|square", "", "stripes|?disc", "square", "disc", "stripes")
    for at, text in enumerate(texts):
        write_picture(root / f"in/{at}.png", make_picture("disc", at))
        rows.append(f"in/{at}.png,{text},{'val' if at % 3 == 2 else 'train'},g{at // 2}")
    (root / "labels.csv").write_text("\n".join([*rows, ""]), encoding="utf-8")
    return root


def write_numbers(root: Path) -> Path:
    for at in range(6):
        write_picture(root / f"{at}.png", make_picture("disc", at))
    lines = ["image,angle", *(f"{at}.png,{at * 1.25}" for at in range(6)), ""]
    (root / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    return root


def write_ignored(root: Path) -> Path:
    """Masks of three classes without a background, with pixels that count for nothing and holes."""
    for at in range(4):
        name = f"{at}.png"
        write_picture(root / "images" / name, make_picture("disc", at, (40, 50)))
        random = np.random.default_rng(at)
        mask = np.kron(random.integers(0, 3, (8, 10)), np.ones((5, 5))).astype(np.uint8)
        mask[:4] = 255
        mask[20:26, 20:28], mask[22:24, 22:25] = 1, 0
        mask[35, 45] = 2
        (root / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(root / "masks" / name)
    (root / "classes.txt").write_text("road\nhouse\nsky\n", encoding="utf-8")
    return root


SOURCES: dict[str, Callable[[Path], Path]] = {
    "classes": lambda root: write_split_folders(root, {"train": 3, "val": 2, "test": 2}),
    "tags": write_tags,
    "numbers": write_numbers,
    "masks": lambda root: write_mask_folders(root, 2),
    "ignored": write_ignored,
    "people": lambda root: write_coco(root, 4, people=2),
    "boxes": lambda root: write_yolo(root, 2),
}
HELD = [
    (source, to)
    for source in SOURCES
    for to in ("coco", "csv", "voc", "yolo")
    if not (source == "numbers" and to != "csv") and not (source == "people" and to == "voc")
]


def targets(parsed: ParsedData) -> Read:
    """Fields of each thing by the picture's pixels and the box, in words that formats share."""
    spec = tasks.spec(parsed.task)
    found: Read = {}
    for annotation, wanted in parsed.entries:
        frame = measure(annotation.path)
        row = dict(spec.to_row(parsed.schema, spec.fit(wanted, frame, parsed.options)))
        row["side"] = annotation.split
        if isinstance(row.get("labels"), str):
            separator = spec.row_options(parsed.schema)["separator"]
            row["labels"] = set(filter(None, str(row["labels"]).split(separator)))
        if isinstance(row.get("points"), str):
            numbers = re.split("[ ,]", str(row["points"]))
            row["points"] = np.array([float(number) for number in numbers])
        box = frame.box_to_upright(annotation.box) if annotation.box else ()
        pixels = read_image(annotation.path).tobytes()
        found[str(hash(pixels)), " ".join(f"{side:.2f}" for side in box)] = row
    return found


def assert_same(before: Read, after: Read, unsaid: bool = False) -> None:
    assert len(before) >= 4
    assert set(before) == set(after)
    for key, row in before.items():
        for name, value in row.items():
            other = after[key].get(name)
            if name == "points":
                np.testing.assert_allclose(other, value, atol=1e-3)
            elif isinstance(value, np.ndarray):
                np.testing.assert_array_equal(other, value)
            elif name == "labels" and unsaid:
                assert other == {label for label in value if not label.startswith("?")}
            else:
                assert other == value, name


@pytest.mark.parametrize(("source", "to"), HELD)
def test_what_is_read_again_is_what_was_read(source: str, to: str, tmp_path: Path) -> None:
    data = SOURCES[source](tmp_path / "data")
    result = convert(data, to=to, into=tmp_path / "out")
    before, after = parse_data(data), parse_data(tmp_path / "out")
    assert not result.omissions
    assert after.task == before.task == result.task
    spec = tasks.spec(before.task)
    assert spec.parts(after.schema) == spec.parts(before.schema)
    wanted = targets(before)
    for row in wanted.values():
        lost_area = to == "yolo" and row.pop("area", None)
        assert not lost_area or any("no area" in loss for loss in result.losses)
        if to == "yolo" and row["side"] is None and "label" not in row:
            assert any("all pictures become training" in loss for loss in result.losses)
            row["side"] = "train"
    assert_same(wanted, targets(after), unsaid=to in ("coco", "yolo"))


def test_groups_and_unknown_labels_are_kept_or_said(tmp_path: Path) -> None:
    data = write_tags(tmp_path / "data")
    said = {to: convert(data, to=to, into=tmp_path / to).losses for to in ("csv", "voc", "coco")}
    assert said["csv"] == ()
    assert {a.group for a, _ in parse_data(tmp_path / "csv").entries} == {"g0", "g1", "g2"}
    groups = "has no groups: 3 are lost, keep the data itself"
    assert said["voc"] == (
        f"Pascal VOC {groups}",
        "7 labels have no box: theirs is the whole picture",
    )
    assert said["coco"][:2] == (f"COCO {groups}", "1 labels that are not known become absent")


def test_boxes_of_things_reach_other_programs(tmp_path: Path) -> None:
    data = write_yolo(tmp_path / "data", 1, rows={KINDS[0]: "0 .25 .5 .5 .5\n1 .75 .5 .25 .25"})
    convert(data, to="coco", into=tmp_path / "coco")
    convert(tmp_path / "coco", to="voc", into=tmp_path / "voc")
    convert(tmp_path / "voc", to="yolo", into=tmp_path / "yolo")
    content = json.loads((tmp_path / "coco/annotations/instances_val.json").read_bytes())
    assert [thing["bbox"] for thing in content["annotations"][:2]] == [
        [0, 12, 32, 24],
        [40, 18, 16, 12],
    ]
    text = (tmp_path / "yolo/labels/val/val_disc-0.txt").read_text(encoding="utf-8")
    assert text.split() == ["0", "0.25", "0.5", "0.5", "0.5", "1", "0.75", "0.5", "0.25", "0.25"]


def test_a_turned_picture_is_saved_upright_with_its_points(tmp_path: Path) -> None:
    data = write_coco(tmp_path / "data", 4)
    for at, path in enumerate(sorted((data / "images").iterdir())):
        exif = Image.Exif()
        exif[0x0112] = 5 + at
        with Image.open(path) as image:
            image.save(path, exif=exif)
    result = convert(data, to="yolo", into=tmp_path / "out")
    assert "4 pictures that EXIF turns are saved upright as PNG" in result.losses
    rows = targets(parse_data(data))
    for row in rows.values():
        row["side"] = "train"
        del row["area"]
    assert_same(rows, targets(parse_data(tmp_path / "out")))


@pytest.mark.parametrize("way", ["copy", "hardlink", "symlink"])
def test_pictures_are_copied_or_linked(way: str, tmp_path: Path) -> None:
    data = write_split_folders(tmp_path / "data", {"train": 2, "val": 1})
    before = {path: path.read_bytes() for path in data.rglob("*.*")}
    assert before
    convert(data, to="csv", into=tmp_path / "out", pictures=way)
    written = list((tmp_path / "out/pictures").rglob("*.png"))
    assert len(written) == len(before)
    for path in written:
        assert path.is_symlink() == (way == "symlink")
        assert (path.stat().st_nlink > 1) == (way == "hardlink")
    assert {path: path.read_bytes() for path in data.rglob("*.*")} == before


def test_pictures_of_the_same_name_in_two_folders_stay_two(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for at, name in enumerate(("a/x.png", "a_x.png", "A_X.jpg", "b/x.png")):
        write_picture(data / name, make_picture("disc", at))
    rows = ["image,labels", "a/x.png,disc", "a_x.png,", "A_X.jpg,disc", "b/x.png,", ""]
    (data / "labels.csv").write_text("\n".join(rows), encoding="utf-8")
    convert(data, to="voc", into=tmp_path / "out")
    names = [path.stem.casefold() for path in (tmp_path / "out/JPEGImages").iterdir()]
    assert len(names) == len(set(names)) == 4


def test_what_a_format_has_no_place_for_is_refused(tmp_path: Path) -> None:
    data = write_numbers(tmp_path / "data")
    with pytest.raises(DataError, match="COCO has no place for angle: say --to csv"):
        convert(data, to="coco", into=tmp_path / "out")
    with pytest.raises(DataError, match=r"Pascal VOC has no place for .*points"):
        convert(write_coco(tmp_path / "poses", 4), to="voc", into=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_mistakes_are_said_before_anything_is_written(tmp_path: Path) -> None:
    data = write_voc(tmp_path / "data")
    with pytest.raises(ConfigError) as caught:
        convert(data, to="tfrecord", into=tmp_path / "out", pictures="move")
    assert "--to must be one of coco, csv, voc, yolo, got 'tfrecord'" in str(caught.value)
    assert "--pictures must be one of copy, hardlink, symlink, got 'move'" in str(caught.value)
    with pytest.raises(DataError, match="the data is not changed"):
        convert(data, to="csv", into=data / "new")
    with pytest.raises(DataError, match="is not empty"):
        convert(data, to="csv", into=tmp_path)
    write_xml(data, "disc-0", [("a|b", 0)])
    convert(data, to="csv", into=tmp_path / "table")


def test_outlines_along_pixels_give_the_same_pixels() -> None:
    random = np.random.default_rng(3)
    for size in ((7, 9), (24, 31), (60, 45)):
        for share in (0.1, 0.5, 0.9):
            plane = random.random(size) < share
            drawn = np.zeros(size, bool)
            for outline in outlines(plane):
                drawn |= draw_mask(size, [Shape(1, [outline.ravel().tolist()])]) == 1
            np.testing.assert_array_equal(drawn, plane)


def test_every_format_is_tested() -> None:
    assert {to for _, to in HELD} == set(writers())
