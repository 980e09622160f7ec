"""Parquet tables: paths or URIs of pictures, or the pictures themselves (Hugging Face)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from headstart.config import DatasetOptions
from headstart.data.originals import Originals
from headstart.data.poses import is_file
from headstart.data.readers import SPLIT_NAMES, side_in
from headstart.errors import DataError, needing_extra
from headstart.storage import content_key
from headstart.tasks.protocol import NO_OPTIONS
from headstart.types import Annotation, DataListing, Omission, Split

IMAGE, SPLIT, GROUP = "image", "split", "group"
BATCH = 64
"""Rows that are in memory at a time: pictures may be in them."""


class Parquet:
    """A table with a column ``image``; the others are fields.

    The column holds paths relative to the table, URIs that fsspec opens, bytes, or structs of bytes
    and path as ``datasets`` of Hugging Face writes them; numbers of its class labels become names.
    """

    name = "parquet"
    priority = 50
    layout = "Parquet files with a column 'image' (paths, URIs or pictures), as of Hugging Face"

    def claims(self, data: Path, options: DatasetOptions = NO_OPTIONS) -> bool:
        """A Parquet file, or a folder with some in it or in ``data``."""
        return bool(_files(data))

    def read(self, data: Path, options: DatasetOptions) -> DataListing:
        """Lists every row; columns other than image, split and group are fields."""
        originals = Originals(data)
        annotations: list[Annotation] = []
        omissions: list[Omission] = []
        files = _files(data)
        for file in files:
            # A file alone is no side: it may be called like one all the same.
            side = side_in(file.stem) if len(files) > 1 else None
            for named, row in _rows(file):
                try:
                    annotations.append(_annotation(file, named, row, side, originals, options))
                except DataError as error:
                    omissions.append(Omission(named, str(error)))
        if not annotations:
            reasons = "; ".join(f"{o.image}: {o.reason}" for o in omissions[:3]) or "no rows"
            raise DataError(f"{data} holds no picture that can be used ({reasons})")
        here = data.parent if data.is_file() else data
        inside = any(annotation.path.is_relative_to(here) for annotation in annotations)
        root = here if inside else originals.folder
        return DataListing(
            root, self.name, tuple(annotations), tuple(omissions), options=("group",)
        )


def _files(data: Path) -> list[Path]:
    if data.is_file():
        return [data] if data.suffix.lower() == ".parquet" else []
    for folder in (data, data / "data"):
        found = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
        if found:
            return found
    return []


def _rows(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Rows with their names in messages; class labels have their names.

    Raises:
        DataError: the file is damaged, or has no column ``image``.
        MissingExtraError: pyarrow is not installed.
    """
    with needing_extra("Reading Parquet files", "parquet"):
        import pyarrow as pa
        from pyarrow import parquet
    try:
        with parquet.ParquetFile(file) as table:
            columns = table.schema_arrow.names
            if IMAGE not in columns:
                found = ", ".join(columns)
                raise DataError(f"{file}: the column 'image' is missing; found {found}")
            labels = _class_labels(table.schema_arrow.metadata or {})
            number = 0
            for batch in table.iter_batches(batch_size=BATCH):
                for row in batch.to_pylist():
                    number += 1
                    names = {k: _named(labels[k], v) for k, v in row.items() if k in labels}
                    yield f"{file.name} row {number}", {**row, **names}
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{file} is no readable Parquet file ({reason}): it may be cut off; fetch it again"
        ) from error


def _class_labels(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    """Names of the classes by column, as Hugging Face's ``datasets`` writes them."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        plain = {name: f.get("feature", f) for name, f in features.items() if isinstance(f, dict)}
        return {name: f["names"] for name, f in plain.items() if f.get("_type") == "ClassLabel"}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _named(names: list[str], value: Any) -> Any:
    if isinstance(value, list):
        return [_named(names, entry) for entry in value]
    # datasets writes -1 for a label that is not known.
    inside = isinstance(value, int) and 0 <= value < len(names)
    return names[value] if inside else ""


def _annotation(
    file: Path,
    named: str,
    row: Mapping[str, Any],
    side: Split | None,
    originals: Originals,
    options: DatasetOptions,
) -> Annotation:
    """One row.

    Raises:
        DataError: its picture cannot be had, or its side is none.
    """
    group_column = options.group or GROUP
    if options.group and options.group not in row:
        raise DataError(f"the group column {options.group!r} is missing")
    path, image = _picture(file, named, row[IMAGE], originals)
    text = str(row.get(SPLIT) or "").strip().lower()
    if text and text not in SPLIT_NAMES:
        raise DataError(f"split must be one of {', '.join(SPLIT_NAMES)} or empty, got {text!r}")
    special = {IMAGE, SPLIT, group_column}
    fields = {name: _text(value) for name, value in row.items() if name not in special}
    group = _text(row.get(group_column)).strip() or None
    return Annotation(path, image, fields, SPLIT_NAMES.get(text, side), group)


def _picture(file: Path, named: str, value: Any, originals: Originals) -> tuple[Path, str]:
    """Path and name of a row's picture."""
    content, name = value, ""
    if isinstance(value, dict):
        content, name = value.get("bytes"), str(value.get("path") or "")
        content = name if content is None else content
    if isinstance(content, bytes) and content:
        path = originals.keep_picture(name or named, content)
        return path, path.name
    if not isinstance(content, str) or not content:
        raise DataError("it has no picture")
    if "://" in content:
        path = _fetched(content, originals)
        return path, path.name
    image = content.strip().replace("\\", "/")
    path = file.parent / image
    if not is_file(path):
        raise DataError(f"no such file: {image}")
    return path, image


def _fetched(uri: str, originals: Originals) -> Path:
    """A picture at a URI, fetched unless it is there already and did not change."""
    with needing_extra("Reading pictures at URIs", "parquet"):
        import fsspec
    try:
        system, place = fsspec.core.url_to_fs(uri)
        key = content_key(uri, system.ukey(place))
        return originals.keep(place.rpartition("/")[2], key, lambda: bytes(system.cat_file(place)))
    except (OSError, ValueError, ImportError) as error:
        raise DataError(
            f"{uri} cannot be fetched ({str(error) or type(error).__name__})"
        ) from error


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "|".join(map(_text, value))
    return "" if value is None else str(value)


READER = Parquet()
