"""``headstart augment``: what it writes is read back, with every target where it should be."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart
from headstart import tasks
from headstart.data.manifest import look_into, parse_data
from headstart.errors import ConfigError, DataError
from headstart.progress import QuietProgress
from headstart.runtime.images import read_image
from headstart.tasks.protocol import TaskSpec
from headstart.types import Manifest, Record
from pictures import (
    write_class_folders,
    write_csv,
    write_label_table,
    write_mask_folders,
    write_number_table,
)
from poses import COLOURS, make_pose, write_coco

MOVING = "rotate,shift,shear,zoom"


def _read(data: Path) -> Manifest:
    return look_into(parse_data(data), None, QuietProgress(), across_sides=True)


def _is_copy(record: Record) -> bool:
    return "-copy-" in record.image


def _same_values(data: Path, into: Path) -> None:
    """Every picture and copy has the target of the picture that its group names."""
    before = _read(data)
    headstart.augment(data, into=into, times=2)
    after = _read(into)
    assert not after.omissions
    assert after.task == before.task
    # Schemas of numbers hold quantiles too, which repeated targets move.
    parts = tasks.spec(before.task).parts
    assert parts(after.schema) == parts(before.schema)
    targets = {record.image: record.target for record in before.records}
    assert [r.target for r in after.records] == [targets[str(r.group)] for r in after.records]
    sides = Counter(record.split for record in after.records if not _is_copy(record))
    copies = Counter(record.split for record in after.records if _is_copy(record))
    assert sides.total() == len(before.records)
    assert min(sides["val"], sides["test"]) > 0
    assert copies == {"train": 2 * sides["train"]}


def test_classes_are_read_back(tmp_path: Path) -> None:
    _same_values(write_class_folders(tmp_path / "data", 6), tmp_path / "out")


def test_numbers_are_read_back(tmp_path: Path) -> None:
    _same_values(write_number_table(tmp_path / "data").parent, tmp_path / "out")


def test_sets_of_labels_are_read_back(tmp_path: Path) -> None:
    _same_values(write_label_table(tmp_path / "data", 30).parent, tmp_path / "out")


def test_names_with_spaces_are_read_back(tmp_path: Path) -> None:
    data = write_label_table(tmp_path / "data", 30)
    data.write_text(data.read_text("utf-8").replace("disc", "red disc"), "utf-8")
    _same_values(data.parent, tmp_path / "out")


def test_masks_lie_on_what_they_mean(tmp_path: Path) -> None:
    data = write_mask_folders(tmp_path / "data", {"disc": 8, "square": 8})
    found = headstart.augment(data, into=tmp_path / "out", times=3, operations=f"{MOVING},flip")
    after = _read(found.into)
    assert after.schema.classes[:3] == ("background", "disc", "square")
    assert not after.omissions
    for record in after.records:
        indices = record.target.read(after.schema)
        pixels = read_image(record.path).astype(int)
        coloured = np.ptp(pixels, axis=2) > 60
        counted = indices != 255
        assert np.mean((indices > 0)[counted] == coloured[counted]) > 0.95, record.image
        kind = after.schema.classes.index("disc" if "disc" in record.image else "square")
        assert set(np.unique(indices)) <= {0, kind, 255}
    assert any((r.target.read(after.schema) == 255).any() for r in after.records if _is_copy(r))


def _spots(record: Record) -> list[int]:
    """Which of the colours lies under each of the points that have a label; -1 without one."""
    pixels = read_image(record.path).astype(int)
    found = []
    for (x, y), seen in zip(record.target.xy, record.target.visible, strict=True):
        colour = pixels[round(y), round(x)] if seen else None
        distances = [abs(colour - np.array(c)).sum() for c in COLOURS] if seen else []
        found.append(int(np.argmin(distances)) if distances and min(distances) < 120 else -1)
        assert not seen or min(distances) < 120, (record.image, x, y, colour)
    return found


def _write_points(root: Path, count: int = 12) -> Path:
    """A table of three points, with a picture that is stored lying on its side."""
    rows = []
    for at in range(count):
        pixels, people = make_pose(at)
        path = root / f"{at:03}.png"
        root.mkdir(exist_ok=True)
        exif = Image.Exif()
        if at == 0:
            exif[274] = 6
        Image.fromarray(pixels).save(path, exif=exif)
        names = ("a", "b", "c")
        points = {
            f"{name}_{axis}": value
            for name, point in zip(names, people[0], strict=True)
            for axis, value in zip("xy", point, strict=True)
        }
        rows.append({"image": path.name, **points})
    write_csv(root, rows)
    (root / "dataset.yaml").write_text("flip_pairs: [[0, 1]]\nnormalise_by: [0, 2]\n", "utf-8")
    return root


@pytest.mark.parametrize("chosen", [None, "keypoints"])
def test_points_lie_on_their_spots(tmp_path: Path, chosen: str | None) -> None:
    data = _write_points(tmp_path / "data")
    before = parse_data(data, task=chosen)
    found = headstart.augment(data, into=tmp_path / "out", times=3, operations=MOVING, task=chosen)
    after = _read(found.into)
    assert (after.task, after.schema) == (before.task, before.schema)
    assert len(after.records) == 12 + 3 * found.originals["train"]
    for record in after.records:
        assert _spots(record) == [0, 1, 2]


def test_pairs_change_places_in_mirrored_pictures(tmp_path: Path) -> None:
    data = _write_points(tmp_path / "data")
    found = headstart.augment(data, into=tmp_path / "out", times=2, operations="flip,rotate")
    after = _read(found.into)
    copies = [record for record in after.records if _is_copy(record)]
    assert {tuple(_spots(record)) for record in copies} == {(1, 0, 2)}


def test_boxes_are_cut_out(tmp_path: Path) -> None:
    data = write_coco(tmp_path / "data", 8, people=2)
    found = headstart.augment(data, into=tmp_path / "out", times=2, operations="rotate,zoom")
    after = _read(found.into)
    before = _read(data)
    assert after.schema == before.schema
    assert sum(found.originals.values()) == 16
    areas = [r.target.area for r in before.records]
    cut = [r for r in after.records if not _is_copy(r)]
    assert [r.target.area for r in cut] == areas
    assert all(record.box is None and record.size[1] < 128 for record in after.records)
    for record in after.records:
        spots = _spots(record)
        assert [spot for spot in spots if spot >= 0] == [
            at for at, seen in enumerate(record.target.visible) if seen
        ]


def test_files_stay_as_they_are_and_the_seed_decides_the_rest(tmp_path: Path) -> None:
    data = write_class_folders(tmp_path / "data", 5)
    contents = {path: path.read_bytes() for path in sorted(data.rglob("*")) if path.is_file()}
    first = headstart.augment(data, into=tmp_path / "1", times=2)
    headstart.augment(data, into=tmp_path / "2", times=2)
    headstart.augment(data, into=tmp_path / "3", times=2, seed=1)
    assert {path: path.read_bytes() for path in contents} == contents
    assert len([path for path in data.rglob("*") if path.is_file()]) == len(contents)
    for record in _read(first.into).records:
        if not _is_copy(record):
            assert record.path.read_bytes() == contents[data / str(record.group)]
    written = [
        {p.relative_to(root): p.read_bytes() for p in root.rglob("*.*") if p.is_file()}
        for root in (tmp_path / "1", tmp_path / "2", tmp_path / "3")
    ]
    assert written[0] == written[1]
    assert written[0].keys() == written[2].keys()
    assert written[0] != written[2]
    with Image.open(first.sheet) as sheet:
        # An original and two copies in each row.
        assert 3 * 260 < sheet.width < 4 * 260


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    data = write_class_folders(tmp_path / "data", 4)
    with pytest.raises(DataError, match="the data is not changed, say another"):
        headstart.augment(data, into=data / "more")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine", "utf-8")
    with pytest.raises(DataError, match="is not empty: nothing is overwritten"):
        headstart.augment(data, into=tmp_path / "full")
    with pytest.raises(DataError, match="is a file"):
        headstart.augment(data, into=tmp_path / "full" / "note.txt")
    with pytest.raises(ConfigError, match="--times must be between 1 and 1000, got 0"):
        headstart.augment(data, into=tmp_path / "new", times=0)
    assert not (tmp_path / "new").exists()


def test_points_without_known_pairs_are_not_mirrored(tmp_path: Path) -> None:
    data = _write_points(tmp_path / "data")
    (data / "dataset.yaml").unlink()
    with pytest.raises(ConfigError, match=r"flip_pairs in dataset\.yaml says it"):
        headstart.augment(data, into=tmp_path / "out", operations="flip,noise")
    found = headstart.augment(data, into=tmp_path / "out", times=1)
    assert "flip" not in found.operations
    assert "rotate" in found.operations


def test_every_task_says_how_its_targets_are_written() -> None:
    for name in tasks.task_names():
        spec = tasks.spec(name)
        assert type(spec).to_row is not TaskSpec.to_row
        assert type(spec).row_options is not TaskSpec.row_options
