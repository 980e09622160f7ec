"""``.tflite`` files: metadata behind every kind of model, and maps of classes for each pixel."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from exporting.samples import make_sample
from exporting.tiny import random_inputs
from headstart.errors import ModelError
from headstart.exporting.formats import export_format
from headstart.exporting.metadata import export_metadata
from headstart.exporting.tflite_metadata import LABELS, OURS, pack, unpack
from headstart.runtime.backends.litert import STRIDE, LiteRtBackend, as_before, interpolation

pytest.importorskip("litert_torch")

METADATA = {"task": "t", "classes": ["ant", "wäsp"], "input": {"name": "image", "size": [32, 48]}}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found, folder = export_format("litert"), tmp_path_factory.mktemp("numbers")
    sample = make_sample("numbers", folder)
    path = folder / "model.tflite"
    found.convert(sample.source, "fp32", path, export_metadata(sample.description, found, "fp32"))
    return path


def flatbuffer_of(path: Path) -> bytes:
    """Without the archive behind it."""
    with zipfile.ZipFile(path) as archive:
        return path.read_bytes()[: archive.infolist()[0].header_offset]


def with_tensors_outside(model: bytes) -> bytes:
    """As the quantiser writes large models: a table of places, and the tensors behind it."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    found = flatbuffer_utils.read_model_from_bytearray(model)
    contents = [None if b.data is None else bytes(b.data) for b in found.buffers]
    size = 0
    # The length of the table does not depend on the numbers in it once they are not zero.
    for _ in range(2):
        place = size + 16
        for buffer, content in zip(found.buffers, contents, strict=True):
            if content is not None:
                buffer.data, buffer.offset, buffer.size = None, place, len(content)
                place += -(-len(content) // 16) * 16
        table = bytes(flatbuffer_utils.convert_object_to_bytearray(found))
        size = -(-len(table) // 16) * 16
    whole = bytearray(table.ljust(size + 16, b"\0"))
    for content in contents:
        if content is not None:
            whole += content.ljust(-(-len(content) // 16) * 16, b"\0")
    assert schema.Model.GetRootAs(bytes(whole), 0).BuffersLength() == len(contents)
    return bytes(whole)


def test_the_archive_holds_description_and_labels(exported: Path, tmp_path: Path) -> None:
    path = tmp_path / "packed.tflite"
    path.write_bytes(pack(flatbuffer_of(exported), METADATA, ["probabilities"]))
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [OURS, LABELS]
        assert archive.read(LABELS).decode() == "ant\nwäsp\n"
        assert json.loads(archive.read(OURS)) == METADATA
        # Readers on phones map the files: a compressed one would be no text.
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
    assert unpack(path) == METADATA


def test_the_same_model_is_packed_the_same(exported: Path) -> None:
    model = flatbuffer_of(exported)
    assert pack(model, METADATA, ["values"]) == pack(model, METADATA, ["values"])


def test_tensors_outside_the_flatbuffer_stay_right(exported: Path, tmp_path: Path) -> None:
    expected = LiteRtBackend(exported).run(random_inputs(3))
    outside = with_tensors_outside(flatbuffer_of(exported))
    for name, content in (("plain", outside), ("packed", pack(outside, METADATA, ["values"]))):
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        found = LiteRtBackend(path).run(random_inputs(3))
        assert expected.keys() == found.keys() == {"values"}
        np.testing.assert_array_equal(found["values"], expected["values"])


def test_tensors_lie_where_processors_want_them(exported: Path) -> None:
    from ai_edge_litert import schema_py_generated as schema

    content = np.frombuffer(flatbuffer_of(exported), np.uint8)
    model = schema.Model.GetRootAs(content, 0)
    start = content.__array_interface__["data"][0]
    buffers = [model.Buffers(number) for number in range(model.BuffersLength())]
    places = [
        buffer.DataAsNumpy().__array_interface__["data"][0] - start
        for buffer in buffers
        if buffer.DataLength()
    ]
    assert len(places) >= 5
    assert [place % 16 for place in places] == [0] * len(places)


@pytest.mark.parametrize("content", [b"", b"TFL3", b"PK\x05\x06" + bytes(18)])
def test_files_without_our_metadata_are_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"^other\.tflite carries no metadata of headstart"):
        unpack(path)


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.tflite"
    path.write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"^LiteRT cannot load other\.tflite: "):
        LiteRtBackend(path)


@pytest.mark.parametrize("side", [4, 8, 12, 36])
def test_interpolation_is_that_of_torch(side: int) -> None:
    line = torch.from_numpy(np.random.default_rng(0).normal(size=(1, 1, side // STRIDE)))
    expected = functional.interpolate(line, side, mode="linear", align_corners=False)
    found = interpolation(side) @ line[0, 0].numpy()
    np.testing.assert_allclose(found, expected[0, 0].numpy(), atol=1e-6)


def test_enlarged_maps_come_back() -> None:
    logits = torch.from_numpy(np.random.default_rng(1).normal(scale=5, size=(1, 4, 9, 6))).float()
    before = torch.softmax(logits, dim=1)
    logs = functional.interpolate(torch.log(before), (36, 24), mode="bilinear", align_corners=False)
    enlarged = torch.softmax(logs.permute(0, 2, 3, 1), dim=-1).numpy()
    found = as_before(enlarged).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, before.numpy(), atol=2e-5)
