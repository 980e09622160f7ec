"""A table with one row a picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.config import DatasetOptions, dataset_options
from headstart.data import readers
from headstart.errors import DataError
from headstart.types import DataListing


def listed(
    root: Path,
    content: str | bytes,
    name: str = "labels.csv",
    options: DatasetOptions | None = None,
) -> DataListing:
    """Writes the table beside three empty pictures (readers open none) and reads it."""
    (root / "images").mkdir(exist_ok=True)
    for image in ("a.png", "b.png", "images/c.png"):
        (root / image).touch()
    raw = content if isinstance(content, bytes) else content.encode()
    (root / name).write_bytes(raw)
    return readers.read(root / name, options or DatasetOptions())


def labels(listing: DataListing) -> list[tuple[str, str]]:
    return [(a.image, a.fields["label"]) for a in listing.annotations]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_delimiters_byte_order_mark_and_line_ends(
    tmp_path: Path, delimiter: str, encoding: str, end: str
) -> None:
    lines = [("image", " label "), ("a.png", "Kätzchen"), ("images/c.png", "dog")]
    text = "".join(delimiter.join(line) + end for line in lines)
    listing = listed(tmp_path, text.encode(encoding))
    assert labels(listing) == [("a.png", "Kätzchen"), ("images/c.png", "dog")]
    assert (listing.omissions, listing.notes) == ((), ())


def test_other_delimiters_may_stand_in_values(tmp_path: Path) -> None:
    listing = listed(tmp_path, "image;label;note\na.png;x,y;1,2,3\n")
    assert listing.annotations[0].fields == {"label": "x,y", "note": "1,2,3"}


def test_a_quoted_value_may_hold_delimiter_quote_and_newline(tmp_path: Path) -> None:
    text = 'image,label,note\na.png,"big, ""red"" cat","two\nlines"\nlost.png,dog,\n'
    listing = listed(tmp_path, text)
    assert labels(listing) == [("a.png", 'big, "red" cat')]
    assert listing.annotations[0].fields["note"] == "two\nlines"
    assert listing.omissions[0].reason == "labels.csv line 4: no such file"


def test_a_label_of_several_lines_is_an_open_quotation_mark(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels\.csv: a value ends at line 3 .*mark open"):
        listed(tmp_path, 'image,label\na.png,"dog\nb.png,"cat\n')


def test_rows_that_contradict_each_other_are_named(tmp_path: Path) -> None:
    listing = listed(tmp_path, "image,label\na.png,dog\na.png,cat\na.png,dog\n")
    assert any(
        "1 rows contradict others, such as: a.png is 'dog' in line 2 and 'cat' in 3" in n
        for n in listing.notes
    )


def test_a_folder_with_one_table_is_read_even_if_its_pictures_lie_in_folders(
    tmp_path: Path,
) -> None:
    listed(tmp_path, "image,label\nimages/c.png,dog\n")
    (tmp_path / "notes.csv").write_text("day,rain\n1,2\n", encoding="utf-8")
    listing = readers.read(tmp_path, DatasetOptions())
    assert (listing.layout, labels(listing)) == ("csv", [("images/c.png", "dog")])


def test_two_tables_are_ambiguous(tmp_path: Path) -> None:
    listed(tmp_path, "image,label\na.png,dog\n")
    (tmp_path / "more.tsv").write_text('"image"\tlabel\nb.png\tcat\n', encoding="utf-8")
    (reader,) = (found for found in readers.readers() if found.name == "csv")
    assert not reader.claims(tmp_path)
    assert labels(readers.read(tmp_path / "more.tsv", DatasetOptions())) == [("b.png", "cat")]
    with pytest.raises(DataError, match="holds no CSV file with a column 'image'"):
        reader.read(tmp_path, DatasetOptions())


def test_rows_without_a_file_are_counted_with_their_line(tmp_path: Path) -> None:
    long = "x" * 5000
    text = f"image,label\na.png,cat\nlost.png,cat\n\n,dog\nimages,dog\n{long},dog\n"
    listing = listed(tmp_path, text)
    assert labels(listing) == [("a.png", "cat")]
    assert [(o.image, o.reason) for o in listing.omissions] == [
        ("lost.png", "labels.csv line 3: no such file"),
        ("labels.csv line 5", "labels.csv line 5: no such file"),
        ("images", "labels.csv line 6: no such file"),
        (long, "labels.csv line 7: no such file"),
    ]


@pytest.mark.parametrize(
    ("text", "side"),
    [
        ("train", "train"),
        (" Training ", "train"),
        ("val", "val"),
        ("VALID", "val"),
        ("validation", "val"),
        ("test", "test"),
        ("", None),
    ],
)
def test_words_for_sides(tmp_path: Path, text: str, side: str | None) -> None:
    listing = listed(tmp_path, f"image,label,split\na.png,cat,{text}\n")
    assert listing.annotations[0].split == side
    assert listing.annotations[0].fields == {"label": "cat"}


@pytest.mark.parametrize(
    ("header", "option", "group"),
    [
        ("image,label,group", None, "p1"),
        ("image,label,person", "person", "p1"),
        ("image,label,person", None, None),
    ],
)
def test_groups(tmp_path: Path, header: str, option: str | None, group: str | None) -> None:
    if option:
        (tmp_path / "dataset.yaml").write_text(f"group: {option}\n", encoding="utf-8")
    text = f"{header}\na.png,cat, p1 \nb.png,dog,\n"
    listing = listed(tmp_path, text, options=dataset_options(tmp_path))
    assert [found.group for found in listing.annotations] == [group, None]
    fields = {"label": "cat"} if group else {"label": "cat", "person": " p1 "}
    assert listing.annotations[0].fields == fields


def test_windows_separators_are_understood(tmp_path: Path) -> None:
    assert labels(listed(tmp_path, "image,label\nimages\\c.png,dog\n")) == [("images/c.png", "dog")]


def test_missing_values_are_empty(tmp_path: Path) -> None:
    listing = listed(tmp_path, "image,label,note\na.png\n")
    assert listing.annotations[0].fields == {"label": "", "note": ""}


def test_row_numbers_of_pandas_are_ignored_and_it_is_said(tmp_path: Path) -> None:
    listing = listed(tmp_path, ",image,label\n0,a.png,cat\n1,b.png,dog\n")
    assert labels(listing) == [("a.png", "cat"), ("b.png", "dog")]
    assert listing.annotations[0].fields == {"label": "cat"}
    assert listing.notes == (f"{tmp_path / 'labels.csv'}: the column without a name is ignored",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file,label\na.png,x\n", "labels.csv: the column 'image' is missing; found file, label"),
        ("Image,label\na.png,x\n", "labels.csv: the column 'image' is missing; found Image, label"),
        ("image,label,label\na.png,x,y\n", "two columns have the same name; found image, label"),
        ("image,label\na.png,x\nb.png,y,z\n", "labels.csv line 3: more values than the 2 columns"),
        (
            "image,label,split\na.png,x,train\nb.png,y,dev\n",
            (
                "labels.csv line 3: split must be one of train, training, val, valid, validation, "
                "test or empty, got 'dev'"
            ),
        ),
        ("", "labels.csv is empty"),
        (" \n\n", "labels.csv is empty"),
        (b"image,label\na.png,\xff\n", "labels.csv cannot be read as UTF-8 text: "),
        ("image,label\nlost.png,x\nlost2.png,y\n", "none of its 2 rows names a file that exists"),
        ("image,label\n", "none of its 0 rows names a file that exists"),
        (
            'image,label\na.png,"' + "x\n" * 70_000,
            (
                "labels.csv after line 1: field larger than field limit (131072); "
                "is a quotation mark open?"
            ),
        ),
    ],
)
def test_a_broken_table_says_where(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        listed(tmp_path, content)
    assert message in str(caught.value)


def test_a_group_column_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"labels\.csv: the group column 'person' is missing; found image, label"
    ):
        listed(tmp_path, "image,label\na.png,x\n", options=DatasetOptions(group="person"))


@pytest.mark.parametrize(
    ("text", "side"),
    [("True", "val"), ("false", "train"), ("1", "val"), ("0", "train"), ("", None)],
)
def test_the_validation_column_of_fastai(tmp_path: Path, text: str, side: str | None) -> None:
    listing = listed(tmp_path, f"image,label,is_valid\na.png,cat,{text}\n")
    (annotation,) = listing.annotations
    assert annotation.split == side
    assert annotation.fields.keys() == {"label"}
    (given,) = listed(tmp_path, f"image,label,split,is_valid\na.png,cat,test,{text}\n").annotations
    assert given.split == "test"


def test_a_validation_column_with_other_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 2: is_valid must be true or false, got 'maybe'"):
        listed(tmp_path, "image,label,is_valid\na.png,cat,maybe\n")
