"""A CSV file with one row a picture: a column ``image`` and the fields of the task."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from headstart.config import DatasetOptions
from headstart.data.readers import SPLIT_NAMES
from headstart.errors import DataError
from headstart.tasks.protocol import NO_OPTIONS
from headstart.types import Annotation, DataListing, Omission, Split

IMAGE = "image"
SPLIT = "split"
GROUP = "group"
IS_VALID = "is_valid"
"""As fastai writes it: true for validation pictures, false for training pictures."""

TRUTHS: dict[str, Split | None] = {
    **dict.fromkeys(("true", "1", "1.0", "yes"), "val"),
    **dict.fromkeys(("false", "0", "0.0", "no"), "train"),
    "": None,
}
LABELS = ("label", "labels")

DELIMITERS = ",;\t|"


class CsvTable:
    """``labels.csv`` with ``image`` and further columns.

    Optional are ``split`` (or ``is_valid``) and ``group``.
    """

    name = "csv"
    # Above folders: a table that names the pictures says more than the folders they lie in.
    priority = 20
    layout = "a CSV file (or a folder with one) with a column 'image' and one for the target"

    def claims(self, data: Path, options: DatasetOptions = NO_OPTIONS) -> bool:
        """A CSV file, or a folder with exactly one that has a column ``image``."""
        if data.is_file():
            return data.suffix.lower() in (".csv", ".tsv")
        return _only_table(data) is not None

    def read(self, data: Path, options: DatasetOptions) -> DataListing:
        """Lists every row; columns other than image, split and group are fields."""
        table = data if data.is_file() else _only_table(data)
        if table is None:
            raise DataError(f"{data} holds no CSV file with a column 'image'")
        root = table.parent
        rows = table_rows(table)
        header = rows[0][1].keys() if rows else ()
        group_column = options.group or (GROUP if GROUP in header else None)
        if group_column and group_column not in header:
            raise DataError(
                f"{table}: the group column {group_column!r} is missing; found {', '.join(header)}"
            )
        # Tables written with row numbers have a first column without a name.
        special = {"", IMAGE, SPLIT, IS_VALID, group_column}
        annotations: list[Annotation] = []
        omissions: list[Omission] = []
        for line, row in rows:
            image = row[IMAGE].strip().replace("\\", "/")
            path = root / image
            if not image or not _is_file(path):
                shown = image or f"{table.name} line {line}"
                omissions.append(Omission(shown, f"{table.name} line {line}: no such file"))
                continue
            fields = {name: text for name, text in row.items() if name not in special}
            side = _side(row, table, line)
            group = row[group_column].strip() or None if group_column else None
            annotations.append(Annotation(path, image, fields, side, group))
        if not annotations:
            raise DataError(f"{table}: none of its {len(rows)} rows names a file that exists")
        notes = [f"{table}: the column without a name is ignored"] if "" in header else []
        notes += contradictions(table, rows)
        return DataListing(
            root, self.name, tuple(annotations), tuple(omissions), tuple(notes), ("group",)
        )


def table_text(table: Path) -> str:
    """The text of a table, without the mark that spreadsheet programs put at its start.

    Raises:
        DataError: it cannot be read, or is empty.
    """
    try:
        text = table.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{table} cannot be read as UTF-8 text: {error}") from error
    if not text.strip():
        raise DataError(f"{table} is empty")
    return text


def table_rows(table: Path, needed: str = IMAGE) -> list[tuple[int, dict[str, str]]]:
    """Rows with their line numbers; the delimiter is the one that the header uses most.

    Args:
        table: a CSV file.
        needed: column that must be there.

    Raises:
        DataError: it cannot be read as a table, or the column is missing.
    """
    text = table_text(table)
    first = text.splitlines()[0]
    delimiter = max(DELIMITERS, key=first.count)
    reader = csv.DictReader(io.StringIO(text), delimiter=delimiter, restval="")
    header = [name.strip() for name in reader.fieldnames or ()]
    if needed not in header:
        raise DataError(f"{table}: the column {needed!r} is missing; found {', '.join(header)}")
    if len(set(header)) < len(header):
        raise DataError(f"{table}: two columns have the same name; found {', '.join(header)}")
    reader.fieldnames = header
    rows = []
    try:
        for row in reader:
            if None in row:
                raise DataError(
                    f"{table} line {reader.line_num}: more values than the {len(header)} columns"
                )
            if any("\n" in (row.get(name) or "") for name in (needed, *LABELS)):
                # All rows up to the next quotation mark have become one value.
                raise DataError(
                    f"{table}: a value ends at line {reader.line_num} and began before it; "
                    "is a quotation mark open?"
                )
            rows.append((reader.line_num, {name: row[name] or "" for name in header}))
    except csv.Error as error:
        raise DataError(
            f"{table} after line {reader.line_num}: {error}; is a quotation mark open?"
        ) from error
    return rows


def why_unread(folder: Path) -> str | None:
    """What is wrong with the only table of a folder, where it is none that can be read."""
    tables = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in (".csv", ".tsv")]
    if len(tables) != 1:
        return None
    try:
        table_rows(tables[0])
    except DataError as error:
        return str(error)
    return None


def contradictions(table: Path, rows: Sequence[tuple[int, Mapping[str, str]]]) -> list[str]:
    """A sentence where pictures have several rows that say different labels."""
    first: dict[tuple[str, str], tuple[int, str]] = {}
    found = []
    for line, row in rows:
        for column in LABELS:
            label = row.get(column, "").strip()
            before, other = first.setdefault((row[IMAGE], column), (line, label))
            if label != other:
                found.append(f"{row[IMAGE]} is {other!r} in line {before} and {label!r} in {line}")
    if not found:
        return []
    return [f"{table}: {len(found)} rows contradict others, such as: {found[0]}"]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long for the system
        return False


def _side(row: Mapping[str, str], table: Path, line: int) -> Split | None:
    text = row.get(SPLIT, "")
    name = text.strip().lower()
    valid = row.get(IS_VALID, "").strip().lower()
    if valid not in TRUTHS:
        raise DataError(f"{table} line {line}: is_valid must be true or false, got {valid!r}")
    if not name and valid:
        return TRUTHS[valid]
    if not name:
        return None
    if name not in SPLIT_NAMES:
        raise DataError(
            f"{table} line {line}: split must be one of {', '.join(SPLIT_NAMES)} or empty, "
            f"got {text!r}"
        )
    return SPLIT_NAMES[name]


def _only_table(folder: Path) -> Path | None:
    if not folder.is_dir():
        return None
    tables = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in (".csv", ".tsv")]
    with_image = [path for path in tables if IMAGE in _header(path)]
    return with_image[0] if len(with_image) == 1 else None


def _header(table: Path) -> tuple[str, ...]:
    try:
        with table.open(encoding="utf-8-sig") as file:
            first = file.readline().strip()
    except (OSError, UnicodeDecodeError):
        return ()
    delimiter = max(DELIMITERS, key=first.count)
    return tuple(name.strip().strip('"') for name in first.split(delimiter))


READER = CsvTable()
