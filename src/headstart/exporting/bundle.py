"""Writes the model folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from PIL import Image

from headstart.exporting.graph import set_metadata
from headstart.exporting.metadata import model_metadata
from headstart.runtime.backends import Backend
from headstart.runtime.model_folder import (
    CARD,
    DESCRIPTION,
    GOLDEN,
    GRAPH,
    WEIGHTS,
    ModelDescription,
)
from headstart.storage import write_json
from headstart.training.checkpoints import save_state
from headstart.types import ImageArray

MAX_JSON_VALUES = 1000
"""Golden outputs with more values are raw files: as text they would be ten times larger."""


def write_model_folder(
    folder: Path,
    description: ModelDescription,
    graph: onnx.ModelProto,
    state: Mapping[str, torch.Tensor],
    card: str,
    golden: tuple[Backend, Sequence[ImageArray]],
) -> ModelDescription:
    """Writes every file of a model beside its place and moves the folder there when complete.

    Args:
        folder: where it shall lie; an incomplete one of an earlier attempt is replaced.
        description: of the model; the hashes of its files are added.
        graph: ``model.onnx`` without metadata.
        state: the network's tensors, float32.
        card: text of the model card.
        golden: what runs the graph, and the inputs whose outputs are kept as examples.

    Returns:
        The description with the hashes.
    """
    building = folder.with_name(f".{folder.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    (building / GOLDEN).mkdir(parents=True)
    save_state(building / WEIGHTS, dict(state))
    set_metadata(graph, model_metadata(description))
    (building / GRAPH).write_bytes(graph.SerializeToString())
    (building / CARD).write_text(card, encoding="utf-8")
    _write_golden(building / GOLDEN, *golden)
    files = {
        path.relative_to(building).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(building.rglob("*"))
        if path.is_file()
    }
    complete = dataclasses.replace(description, files=files)
    write_json(building / DESCRIPTION, complete.to_json())
    if folder.exists():
        shutil.rmtree(folder)
    building.rename(folder)
    return complete


def _write_golden(folder: Path, backend: Backend, inputs: Sequence[ImageArray]) -> None:
    """Inputs as lossless pictures, outputs as JSON or raw float32: every platform can read both."""
    expected = []
    for number, pixels in enumerate(inputs):
        name = f"input-{number}.png"
        Image.fromarray(pixels).save(folder / name)
        outputs: dict[str, Any] = {}
        for key, values in backend.run(pixels[None]).items():
            if values[0].size <= MAX_JSON_VALUES:
                outputs[key] = values[0].tolist()
                continue
            file = f"output-{number}-{key}.f32"
            (folder / file).write_bytes(values[0].astype("<f4").tobytes())
            outputs[key] = {"file": file, "shape": list(values[0].shape), "dtype": "float32, <"}
        expected.append({"input": name, "outputs": outputs})
    text = json.dumps({"tolerance": 1e-3, "examples": expected}, indent=1)
    (folder / "expected.json").write_text(text + "\n", encoding="utf-8")
