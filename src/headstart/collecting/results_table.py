"""The table of results: one row for each URL, written as it happens, read again to go on."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO, Literal, get_args

from headstart.collecting.lists import Wanted
from headstart.errors import DataError, RunError
from headstart.storage import room_hint, write_text

Status = Literal["kept", "duplicate", "refused", "failed"]
STATUSES: tuple[Status, ...] = get_args(Status)

COLUMNS = (
    *("label", "url", "status", "reason", "final_url"),
    *("file", "sha256", "bytes", "licence", "source"),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a URL.

    Attributes:
        wanted: the entry of the list.
        status: ``kept``; ``duplicate`` of a picture that its class has; ``refused`` for good;
            ``failed`` this time.
        reason: why it was not kept.
        final_url: where redirects led.
        file: the picture, relative to the folder of the collection, with forward slashes.
        sha256: of the content, hexadecimal.
        bytes: size of the content; None without one.
    """

    wanted: Wanted
    status: Status
    reason: str = ""
    final_url: str = ""
    file: str = ""
    sha256: str = ""
    bytes: int | None = None


class ResultsTable:
    """A CSV file that a kill leaves readable: each row is added in one write.

    Args:
        path: the file; made when missing.

    Raises:
        DataError: the file is another table.
        RunError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.outcomes = {outcome.wanted.key: outcome for outcome in _read(path)}
        # Without what a kill has left of a last row.
        self._write_whole(self.outcomes.values())
        try:
            self._file: BinaryIO = path.open("ab", buffering=0)
        except OSError as error:
            raise self._complaint(error) from error

    def add(self, outcome: Outcome) -> None:
        """Adds a row.

        Raises:
            RunError: the disk is full.
        """
        try:
            self._file.write(_lines([outcome]).encode())
        except OSError as error:
            raise self._complaint(error) from error
        self.outcomes[outcome.wanted.key] = outcome

    def finish(self, wanted: Iterable[Wanted]) -> None:
        """Puts the rows into the order of the lists, each URL once, with the lists' remarks.

        Rows of earlier lists stay in front.
        """
        self._file.close()
        listed = {
            entry.key: dataclasses.replace(self.outcomes[entry.key], wanted=entry)
            for entry in wanted
            if entry.key in self.outcomes
        }
        earlier = {key: row for key, row in self.outcomes.items() if key not in listed}
        self.outcomes = {**earlier, **listed}
        self._write_whole(self.outcomes.values())

    def close(self) -> None:
        """Leaves the table as it is."""
        self._file.close()

    def _write_whole(self, outcomes: Iterable[Outcome]) -> None:
        write_text(self.path, ",".join(COLUMNS) + "\n" + _lines(outcomes))

    def _complaint(self, error: OSError) -> RunError:
        return RunError(f"cannot write {self.path}: {error.strerror or error}{room_hint(error)}")


def _lines(outcomes: Iterable[Outcome]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for outcome in outcomes:
        entry = outcome.wanted
        size = "" if outcome.bytes is None else str(outcome.bytes)
        cells = [
            *(entry.label, entry.url, outcome.status, outcome.reason, outcome.final_url),
            *(outcome.file, outcome.sha256, size, entry.licence, entry.source),
        ]
        # One line a row, so that a row that a kill has cut is known by its missing end.
        writer.writerow(" ".join(cell.split()) for cell in cells)
    return text.getvalue()


def _read(path: Path) -> list[Outcome]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RunError(f"cannot read {path}: {error.strerror or error}") from error
    whole = content[: content.rfind(b"\n") + 1].decode("utf-8-sig", errors="replace")
    reader = csv.DictReader(io.StringIO(whole))
    if tuple(reader.fieldnames or ()) != COLUMNS:
        raise DataError(
            f"{path} is no table of results (its columns must be {', '.join(COLUMNS)}): move it "
            "away, or collect into another folder"
        )
    return [_outcome(row, path, reader.line_num) for row in reader]


def _outcome(row: Mapping[str, str], path: Path, line: int) -> Outcome:
    status, size = row["status"], row["bytes"] or ""
    if status not in STATUSES or not (size.isdecimal() or not size) or None in row.values():
        raise DataError(f"{path} line {line}: not a row that collect has written; remove it")
    return Outcome(
        Wanted(row["label"], row["url"], row["licence"], row["source"]),
        status,
        row["reason"],
        row["final_url"],
        row["file"],
        row["sha256"],
        int(size) if size else None,
    )
