"""What travels inside every exported file: enough to use it without anything beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from headstart.errors import ModelError
from headstart.exporting.formats.protocol import Format
from headstart.runtime.model_folder import ModelDescription

PREFIX = "headstart."
"""Of the entries in formats whose metadata is a table of texts."""

OF_THE_FOLDER = frozenset({"files", "seen", "exports"})
"""Entries of ``model.json`` that speak of the folder: they belong into no copy of a file."""


def model_metadata(description: ModelDescription) -> dict[str, Any]:
    """What is in ``model.onnx``: ``model.json`` without what speaks of the folder.

    Task, classes, resize rule, thresholds, version, licence of the weights and the rest, as plain
    values.
    """
    content = description.to_json().items()
    found: dict[str, Any] = _plain({k: v for k, v in content if k not in OF_THE_FOLDER})
    return found


def export_metadata(
    description: ModelDescription, file_format: Format, precision: str
) -> dict[str, Any]:
    """What is in an exported file: the same, with its own kind of input and what it is."""
    found = model_metadata(description)
    found["input"] = {**found["input"], **_plain(file_format.takes)}
    found["export"] = {"format": file_format.name, "precision": precision}
    return found


def to_entries(metadata: Mapping[str, Any]) -> dict[str, str]:
    """Metadata as a table of texts: all is JSON but text that reads as none."""
    return {
        f"{PREFIX}{key}": value
        if isinstance(value, str) and _from_text(value) == value
        else json.dumps(value, ensure_ascii=False)
        for key, value in metadata.items()
    }


def from_entries(entries: Mapping[str, str], name: str) -> dict[str, Any]:
    """Reads what ``to_entries`` made; entries of others are passed over.

    Args:
        entries: of the file.
        name: of the file, for the error.

    Raises:
        ModelError: no entry is headstart's.
    """
    found = {
        key.removeprefix(PREFIX): _from_text(text)
        for key, text in entries.items()
        if key.startswith(PREFIX)
    }
    if not found:
        raise ModelError(f"{name} carries no metadata of headstart: export it with headstart")
    return found


def _from_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _plain(value: Any) -> Any:
    """As JSON would read it back: lists instead of tuples."""
    return json.loads(json.dumps(value))
