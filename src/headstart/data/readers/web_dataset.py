"""WebDataset shards: tar files whose neighbouring members of one name are one sample."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from headstart.config import DatasetOptions
from headstart.data.originals import Originals
from headstart.data.readers import side_in
from headstart.errors import DataError
from headstart.runtime.images import is_image_path
from headstart.tasks.protocol import NO_OPTIONS
from headstart.types import Annotation, DataListing, Omission, Split

LABEL = "label"
LABEL_ENDING = "cls"
FIELDS_ENDING = "json"

Sample = dict[str, bytes]
"""Content by ending."""


class WebDataset:
    """``train-000.tar`` with ``a.jpg`` and ``a.cls`` or ``a.json``.

    ``cls`` holds the class, as a number or a name; values of ``json`` are fields.
    """

    name = "web-dataset"
    priority = 51
    layout = "WebDataset shards: .tar files with a.jpg and a.cls or a.json"

    def claims(self, data: Path, options: DatasetOptions = NO_OPTIONS) -> bool:
        """A tar file, or a folder with some."""
        return bool(_shards(data))

    def read(self, data: Path, options: DatasetOptions) -> DataListing:
        """Lists every sample with a picture; the picture is written into the cache."""
        originals = Originals(data)
        annotations: list[Annotation] = []
        omissions: list[Omission] = []
        shards = _shards(data)
        for shard in shards:
            side = side_in(shard.stem) if len(shards) > 1 else None
            for key, sample in _samples(shard):
                try:
                    annotations.append(_annotation(key, sample, side, originals))
                except DataError as error:
                    omissions.append(Omission(f"{shard.name}/{key}", str(error)))
        if not annotations:
            reasons = "; ".join(f"{o.image}: {o.reason}" for o in omissions[:3]) or "no samples"
            raise DataError(f"{data} holds no picture that can be used ({reasons})")
        return DataListing(originals.folder, self.name, tuple(annotations), tuple(omissions))


def _shards(data: Path) -> list[Path]:
    if data.is_file():
        return [data] if data.suffix.lower() == ".tar" else []
    return sorted(data.glob("*.tar")) if data.is_dir() else []


def _samples(shard: Path) -> Iterator[tuple[str, Sample]]:
    """Samples in their order; members are read in memory and never unpacked to their own paths.

    Raises:
        DataError: the shard is damaged.
    """
    key, sample = "", Sample()
    try:
        with tarfile.open(shard) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                name = PurePosixPath(member.name)
                if content is None or name.name.startswith("."):
                    continue
                stem, _, ending = name.name.partition(".")
                found = (name.parent / stem).as_posix()
                if found != key and sample:
                    yield key, sample
                    sample = Sample()
                key = found
                sample[ending.lower()] = content.read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(
            f"{shard} is no readable tar file ({error}): it may be cut off; fetch it again"
        ) from error
    if sample:
        yield key, sample


def _annotation(key: str, sample: Sample, side: Split | None, originals: Originals) -> Annotation:
    """One sample.

    Raises:
        DataError: it has no picture, several, or a description that cannot be read.
    """
    pictures = [ending for ending in sample if is_image_path(Path(f"a.{ending}"))]
    if len(pictures) != 1:
        raise DataError(f"it has {len(pictures)} pictures; its members are {', '.join(sample)}")
    fields: dict[str, str] = {}
    try:
        if FIELDS_ENDING in sample:
            fields.update(_fields(json.loads(sample[FIELDS_ENDING])))
        if LABEL_ENDING in sample:
            fields[LABEL] = sample[LABEL_ENDING].decode().strip()
    except ValueError as error:
        raise DataError(f"its description cannot be read: {error}") from error
    if not fields:
        raise DataError("it has neither cls nor json")
    name = f"{key.rpartition('/')[2]}.{pictures[0]}"
    path = originals.keep_picture(name, sample[pictures[0]])
    return Annotation(path, path.name, fields, side)


def _fields(value: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(value, dict):
        raise ValueError(f"json must hold names and values, got {type(value).__name__}")
    for name, entry in value.items():
        if isinstance(entry, list):
            yield name, "|".join(map(str, entry))
        elif not isinstance(entry, dict):
            yield name, "" if entry is None else str(entry)


READER = WebDataset()
