"""Sides that a person gives in a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.data.manifest import ParsedData, look_into, parse_data
from headstart.data.split import assign_splits
from headstart.data.split_table import apply_table, give_sides, splits_table, summary_rows
from headstart.errors import DataError
from headstart.progress import QuietProgress
from headstart.storage import write_text
from headstart.types import Manifest, Split
from pictures import write_class_folders


@pytest.fixture
def parsed(tmp_path: Path) -> ParsedData:
    return parse_data(write_class_folders(tmp_path / "photos", 12))


def manifest_of(parsed: ParsedData) -> Manifest:
    return look_into(parsed, None, QuietProgress(), across_sides=True)


def sides(manifest: Manifest) -> dict[str, Split | None]:
    return {record.image: record.split for record in manifest.records}


def test_what_split_writes_train_takes(parsed: ParsedData, tmp_path: Path) -> None:
    first = assign_splits(manifest_of(parsed))
    table = tmp_path / "splits.csv"
    text = splits_table(first)
    # Another decision than the ledger's: every picture moves on by one side.
    turned = text.replace(",val\n", ",x\n").replace(",train\n", ",val\n")
    write_text(table, turned.replace(",test\n", ",train\n").replace(",x\n", ",test\n"))
    second = assign_splits(manifest_of(give_sides(parsed, table)))
    following = {"train": "val", "val": "test", "test": "train"}
    assert sides(second) == {image: following[str(side)] for image, side in sides(first).items()}


def test_pictures_without_a_side_are_left_out(parsed: ParsedData, tmp_path: Path) -> None:
    first = assign_splits(manifest_of(parsed))
    text = splits_table(first)
    gone = next(record for record in first.records if record.split == "train")
    lines = [
        line.rpartition(",")[0] + "," if line.startswith(f"{gone.image},") else line
        for line in text.splitlines()
    ]
    write_text(tmp_path / "splits.csv", "\n".join(lines))
    again = assign_splits(manifest_of(give_sides(parsed, tmp_path / "splits.csv")))
    assert gone.image not in sides(again)
    assert (gone.image, "splits.csv leaves it out") in [
        (o.image, o.reason) for o in again.omissions
    ]


def test_pictures_that_the_split_withheld_are_known_to_a_resumed_run(
    parsed: ParsedData, tmp_path: Path
) -> None:
    whole = manifest_of(parsed)
    first = assign_splits(whole)
    ones = {side: first.on(side)[0] for side in ("train", "test")}
    again = assign_splits(whole, [(ones["train"].path, ones["test"].path)])
    assert [record.image for record in again.withheld] == [ones["train"].image]
    write_text(tmp_path / "splits.csv", splits_table(again))
    resumed = apply_table(whole, tmp_path / "splits.csv")
    assert resumed.records == again.records
    assert [record.image for record in resumed.withheld] == [ones["train"].image]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image,side\n", "the column 'split' is missing; found image, side"),
        ("image,split\nx.png,train\n", "names none of the 36 pictures"),
        ("image,split\nx.png,training\n", "line 2: split must be train, val, test or empty"),
        ("image,split\nx.png,train\nx.png,val\n", "line 3: x.png has two sides"),
        (None, "cannot be read"),
    ],
)
def test_a_damaged_table_is_said(
    parsed: ParsedData, tmp_path: Path, text: str | None, message: str
) -> None:
    if text is not None:
        write_text(tmp_path / "splits.csv", text)
    with pytest.raises(DataError, match=message):
        give_sides(parsed, tmp_path / "splits.csv")


def test_the_summary_counts_classes_by_side(parsed: ParsedData) -> None:
    rows = summary_rows(assign_splits(manifest_of(parsed)))
    assert rows[0] == ("pictures", "25", "7", "4") or sum(map(int, rows[0][1:])) == 36
    assert [name for name, *_ in rows[1:]] == ["disc", "square", "stripes"]
    for name, *counts in rows[1:]:
        assert sum(map(int, counts)) == 12, name
