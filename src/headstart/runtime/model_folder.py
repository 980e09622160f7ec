"""The model folder: what lies in it, and how it is read without torch."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart import tasks
from headstart.errors import ConfigError, ModelError
from headstart.runtime.preprocess import Preprocess
from headstart.storage import read_json

SCHEMA_VERSION = 1
DESCRIPTION = "model.json"
GRAPH = "model.onnx"
WEIGHTS = "weights.safetensors"
CARD = "card.md"
GOLDEN = "golden"


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """``model.json`` as a record.

    Attributes:
        task: name of the task.
        schema: the task's description of its targets.
        preprocess: the resize rule.
        calibration: numbers fitted on validation.
        backbone: name of the backbone.
        head: kind of the head; None in models of before it was written down.
        outputs: names of the graph's outputs.
        seen: fingerprints of the pictures used for training and validation, by side.
        files: SHA-256 of the folder's other files, by name.
        details: everything else that is worth knowing: licence of the weights, versions, scores.
        tta: mirror images over which the graph averages, see ``TrainConfig.tta``.
    """

    task: str
    schema: Any
    preprocess: Preprocess
    calibration: Mapping[str, float]
    backbone: str
    head: str | None
    outputs: tuple[str, ...]
    seen: Mapping[str, tuple[str, ...]]
    files: Mapping[str, str]
    details: Mapping[str, Any]
    tta: str = "none"

    def to_json(self) -> dict[str, Any]:
        """The content of ``model.json``."""
        return {
            "schema_version": SCHEMA_VERSION,
            "task": self.task,
            **tasks.spec(self.task).schema_to_json(self.schema),
            "backbone": self.backbone,
            "head": self.head,
            "input": {
                "name": "image",
                "layout": "NHWC",
                "dtype": "uint8",
                "range": [0, 255],
                "color": "RGB",
                "batch": "free",
                **self.preprocess.to_json(),
            },
            "outputs": list(self.outputs),
            "tta": self.tta,
            "calibration": dict(self.calibration),
            **self.details,
            "files": dict(self.files),
            "seen": {side: list(found) for side, found in self.seen.items()},
        }


_KNOWN_KEYS = frozenset(
    {
        "schema_version",
        "task",
        "backbone",
        "head",
        "input",
        "outputs",
        "tta",
        "calibration",
        "files",
        "seen",
    }
)


def read_description(folder: Path) -> ModelDescription:
    """Reads ``model.json``.

    Raises:
        ModelError: the folder or the file is missing, damaged, or of a newer version.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        hint = ""
        if (folder / "model" / DESCRIPTION).is_file():
            hint = f"; did you mean {folder / 'model'}?"
        raise ModelError(f"{folder} is not a model folder: {DESCRIPTION} is missing{hint}")
    try:
        value = read_json(path)
        version = value["schema_version"]
        if version != SCHEMA_VERSION:
            raise ModelError(
                f"{path} has schema version {version}, this headstart reads {SCHEMA_VERSION}: "
                "update headstart"
            )
        schema = tasks.spec(value["task"]).schema_from_json(value)
        return ModelDescription(
            task=value["task"],
            schema=schema,
            preprocess=Preprocess.from_json(value["input"]),
            calibration=value["calibration"],
            backbone=value["backbone"],
            head=value.get("head"),
            outputs=tuple(value["outputs"]),
            seen={side: tuple(found) for side, found in value["seen"].items()},
            files=value["files"],
            tta=value.get("tta", "none"),
            details={key: item for key, item in value.items() if key not in _KNOWN_KEYS},
        )
    except (ConfigError, AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        raise ModelError(f"{path} cannot be read: {type(error).__name__}: {error}") from error


def checked_bytes(folder: Path, description: ModelDescription, name: str) -> bytes:
    """A file of the folder, after its hash was compared with ``model.json``.

    Raises:
        ModelError: the file is missing or was altered.
    """
    path = folder / name
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    if hashlib.sha256(content).hexdigest() != description.files.get(name):
        raise ModelError(f"{path} was altered: its SHA-256 is not the one in {DESCRIPTION}")
    return content
