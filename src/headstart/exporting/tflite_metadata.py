"""Metadata of ``.tflite`` files, as MediaPipe Tasks and Android's metadata library read it.

A flatbuffer with the identifier ``M001`` in the model's own table of metadata says how to feed the
file; what it names lies in a zip archive behind the model. The tables are those of
``metadata_schema.fbs`` (The TensorFlow Authors, Apache License 2.0), written here field by field:
numbers are the slots of the schema's fields, in its order. Its generated Python module would be ten
times as long, and comes with packages that bring another OpenCV.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headstart.errors import ModelError

if TYPE_CHECKING:
    import flatbuffers

IDENTIFIER = b"M001"
ENTRY = b"TFLITE_METADATA"
"""Name of the metadata in the model's table."""

PARSER_VERSION = "1.0.0"
"""Of the first readers of the schema: nothing newer than that is used."""

OURS = "model.json"
"""In the archive: what ``headstart.exporting.metadata`` makes."""

LABELS = "labels.txt"
"""In the archive: one class a line, in the order of the output's channels."""

ALIGNMENT = 16
"""Bytes, of the tensors in a file."""

# Members of the schema's unions and enumerations.
IMAGE_PROPERTIES = 2
FEATURE_PROPERTIES = 1
RGB = 1
NORMALIZATION = 1
TENSOR_AXIS_LABELS = 2

Offset = int


def pack(model: bytes, metadata: Mapping[str, Any], outputs: Sequence[str]) -> bytes:
    """A model with metadata inside and the files it names behind it.

    Args:
        model: the file's content, without metadata.
        metadata: made by ``headstart.exporting.metadata``.
        outputs: names of the file's outputs, in the order of the file.
    """
    labels = [str(name) for name in metadata.get("classes", [])]
    described = _described(metadata, outputs, LABELS if labels else None)
    files = {OURS: json.dumps(metadata, ensure_ascii=False, indent=2)}
    if labels:
        files[LABELS] = "".join(f"{label}\n" for label in labels)
    return _with_metadata(model, described) + _archive(files)


def unpack(path: Path) -> dict[str, Any]:
    """What ``pack`` was given as metadata; needs neither LiteRT nor TensorFlow.

    Raises:
        ModelError: the file holds none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = json.loads(archive.read(OURS))
    except (OSError, ValueError, LookupError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{path.name} carries no metadata of headstart ({error}): export it with headstart"
        ) from error
    if not isinstance(found, dict):
        raise ModelError(f"{path.name} carries no metadata of headstart: {OURS} holds no object")
    return found


def _archive(files: Mapping[str, str]) -> bytes:
    """Files as a zip archive: not compressed, because readers map them into memory."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            # With a time of its own, so that the same export is the same file.
            archive.writestr(zipfile.ZipInfo(name), text)
    return content.getvalue()


def _with_metadata(model: bytes, metadata: bytes) -> bytes:
    """Adds an entry to a model's table of metadata.

    Reading resolves tensors that lie behind the flatbuffer, where the quantiser puts them, and
    writing puts them inside: their places would move, and the archive must come last.
    """
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    found = flatbuffer_utils.read_model_from_bytearray(model)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(metadata, np.uint8)
    entry.name, entry.buffer = ENTRY, len(found.buffers)
    found.buffers.append(buffer)
    found.metadata = [*(found.metadata or []), entry]
    for held in found.buffers:
        if held.data is not None:
            held.data = np.frombuffer(held.data, np.uint8)
            held.Pack = _aligned(held.Pack, held.data.size)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(found))


def _aligned(pack: Callable[[Any], Offset], size: int) -> Callable[[Any], Offset]:
    """Puts the bytes of a buffer where the schema wants them, which its Python module forgets."""

    def packed(builder: flatbuffers.Builder) -> Offset:
        builder.Prep(ALIGNMENT, size)
        return pack(builder)

    return packed


def _described(metadata: Mapping[str, Any], outputs: Sequence[str], labels: str | None) -> bytes:
    """The flatbuffer ``ModelMetadata``.

    Args:
        metadata: see ``pack``.
        outputs: see ``pack``; the first one has the classes.
        labels: name of the file with their names.
    """
    write = _Writer()
    inputs = [_input(write, metadata["input"])]
    given = [
        _output(write, name, labels if number == 0 else None) for number, name in enumerate(outputs)
    ]
    graph = write.table({2: write.tables(inputs), 3: write.tables(given)}, count=10)
    ours = write.table({0: write.text(OURS)}, count=5)
    return write.finish(
        write.table(
            {
                0: write.text(f"headstart {metadata['task']}"),
                1: write.text("Takes RGB pixels from 0 to 255; model.json inside says the rest."),
                2: write.text(str(metadata.get("headstart_version", ""))),
                3: write.tables([graph]),
                5: write.text(str(metadata.get("weights", {}).get("license", ""))),
                6: write.tables([ours]),
                7: write.text(PARSER_VERSION),
            },
            count=8,
        )
    )


def _input(write: _Writer, given: Mapping[str, Any]) -> Offset:
    """``TensorMetadata`` of the picture: pixels as they are, for normalisation is in the graph."""
    height, width = given["size"]
    size = write.table({}, count=2, integers={0: width, 1: height})
    image = write.table({1: size}, count=2, bytes_={0: RGB})
    content = write.table({1: image}, count=3, bytes_={0: IMAGE_PROPERTIES})
    options = write.table({0: write.floats([0.0]), 1: write.floats([1.0])}, count=2)
    unit = write.table({1: options}, count=2, bytes_={0: NORMALIZATION})
    stats = write.table({0: write.floats([255.0]), 1: write.floats([0.0])}, count=2)
    name = write.text(given["name"])
    return write.table({0: name, 3: content, 4: write.tables([unit]), 5: stats}, count=7)


def _output(write: _Writer, name: str, labels: str | None) -> Offset:
    """``TensorMetadata`` of an output."""
    feature = write.table({}, count=0)
    content = write.table({1: feature}, count=3, bytes_={0: FEATURE_PROPERTIES})
    fields = {0: write.text(name), 3: content}
    if labels is not None:
        file = write.table(
            {0: write.text(labels), 1: write.text("Names of the classes.")},
            count=5,
            bytes_={2: TENSOR_AXIS_LABELS},
        )
        fields[6] = write.tables([file])
    return write.table(fields, count=7)


class _Writer:
    """Writes tables from the inside out, as flatbuffers are."""

    def __init__(self) -> None:
        import flatbuffers

        self._builder: flatbuffers.Builder = flatbuffers.Builder(1024)

    def text(self, value: str) -> Offset:
        return int(self._builder.CreateString(value))

    def floats(self, values: Sequence[float]) -> Offset:
        return int(self._builder.CreateNumpyVector(np.array(values, np.float32)))

    def tables(self, offsets: Sequence[Offset]) -> Offset:
        self._builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._builder.PrependUOffsetTRelative(offset)
        return int(self._builder.EndVector())

    def table(
        self,
        parts: Mapping[int, Offset],
        count: int,
        bytes_: Mapping[int, int] | None = None,
        integers: Mapping[int, int] | None = None,
    ) -> Offset:
        """A table of ``count`` fields; those that are not given by their slots have defaults."""
        self._builder.StartObject(count)
        for slot, offset in parts.items():
            self._builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        for slot, value in (integers or {}).items():
            self._builder.PrependUint32Slot(slot, value, 0)
        for slot, value in (bytes_ or {}).items():
            self._builder.PrependUint8Slot(slot, value, 0)
        return int(self._builder.EndObject())

    def finish(self, root: Offset) -> bytes:
        self._builder.Finish(root, file_identifier=IDENTIFIER)
        return bytes(self._builder.Output())
