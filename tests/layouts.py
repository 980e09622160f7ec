"""Tiny data sets in the layouts of other programs."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pictures import KINDS, SIZE, make_picture, write_picture

Rows = Mapping[str, str]


def write_yolo(root: Path, count: int = 2, *, rows: Rows | None = None, **entries: Any) -> Path:
    """Writes ``images/<side>/*.png``, ``labels/<side>/*.txt`` and ``data.yaml``.

    Args:
        root: folder to write.
        count: pictures of each kind and side.
        rows: text of the label file by kind; None writes one box.
        entries: of ``data.yaml``, beside names and sides.
    """
    for side in ("train", "val"):
        for number, kind in enumerate(KINDS):
            text = (rows or {}).get(kind, f"{number} 0.5 0.5 0.6 0.6")
            for at in range(count):
                name = f"{side}/{kind}-{at}"
                seed = at + 100 * (side == "val")
                write_picture(root / f"images/{name}.png", make_picture(kind, seed))
                file = root / f"labels/{name}.txt"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text + "\n", encoding="utf-8")
    content = {"names": list(KINDS), "train": "images/train", "val": "images/val", **entries}
    (root / "data.yaml").write_text(json.dumps(content), encoding="utf-8")
    return root


def write_voc(root: Path, count: int = 2) -> Path:
    """Writes ``JPEGImages/*.jpg``, ``Annotations/*.xml`` and lists of the sides."""
    lists: dict[str, list[str]] = {"train": [], "val": []}
    for kind in KINDS:
        for at in range(count):
            stem = f"{kind}-{at}"
            write_picture(root / f"JPEGImages/{stem}.jpg", make_picture(kind, at))
            write_xml(root, stem, [(kind, 0)])
            lists["val" if at == count - 1 else "train"].append(stem)
    for side, stems in lists.items():
        file = root / f"ImageSets/Main/{side}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n".join(stems) + "\n", encoding="utf-8")
    return root


def write_xml(root: Path, stem: str, things: Iterable[tuple[str, int]]) -> Path:
    """Writes one annotation with objects (name, difficult)."""
    objects = "".join(
        f"<object><name>{name}</name><difficult>{hard}</difficult></object>"
        for name, hard in things
    )
    file = root / f"Annotations/{stem}.xml"
    file.parent.mkdir(parents=True, exist_ok=True)
    text = f"<annotation><filename>{stem}.jpg</filename>{objects}</annotation>"
    file.write_text(text, encoding="utf-8")
    return file


def write_coco_instances(root: Path, count: int = 2, *, outlines: bool = True) -> Path:
    """Writes ``images/*.png`` and ``instances.json`` with a square in the middle of each."""
    height, width = SIZE
    quarter = (width // 4, height // 4)
    (x, y), (right, bottom) = quarter, (width - quarter[0], height - quarter[1])
    content: dict[str, list[dict[str, Any]]] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 10 + at, "name": kind} for at, kind in enumerate(KINDS)],
    }
    for number, kind in enumerate(KINDS):
        for at in range(count):
            key = 100 * number + at
            name = f"{kind}-{at}.png"
            write_picture(root / "images" / name, make_picture(kind, at))
            content["images"].append(
                {"id": key, "file_name": name, "height": height, "width": width}
            )
            thing = {"id": key, "image_id": key, "category_id": 10 + number}
            box = {"bbox": [x, y, right - x, bottom - y], "iscrowd": 0}
            outline = {"segmentation": [[x, y, right, y, right, bottom, x, bottom]]}
            content["annotations"].append({**thing, **box, **(outline if outlines else {})})
    (root / "instances.json").write_text(json.dumps(content), encoding="utf-8")
    return root


def write_parquet(root: Path, count: int = 2) -> Path:
    """Writes ``images/*.png`` and ``pictures.parquet`` with their paths and labels."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [(f"images/{kind}-{at}.png", kind, at) for kind in KINDS for at in range(count)]
    for image, kind, at in rows:
        write_picture(root / image, make_picture(kind, at))
    columns = {"image": [image for image, _, _ in rows], "label": [kind for _, kind, _ in rows]}
    parquet.write_table(pa.table(columns), root / "pictures.parquet")
    return root


def write_hugging_face(root: Path, count: int = 2) -> Path:
    """Writes ``data/train-*.parquet`` and ``data/test-*.parquet`` as ``datasets`` 4 does."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    features = {
        "image": {"_type": "Image"},
        "label": {"names": list(KINDS), "_type": "ClassLabel"},
    }
    note = {"huggingface": json.dumps({"info": {"features": features}})}
    for number, side in enumerate(("train", "test")):
        rows = [
            {
                "image": {"bytes": png(kind, 100 * number + at), "path": None},
                "label": KINDS.index(kind),
            }
            for kind in KINDS
            for at in range(count)
        ]
        file = root / f"data/{side}-00000-of-00001.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(pa.Table.from_pylist(rows).replace_schema_metadata(note), file)
    return root


def png(kind: str, seed: int) -> bytes:
    """The bytes of a picture."""
    stream = io.BytesIO()
    Image.fromarray(make_picture(kind, seed)).save(stream, "PNG")
    return stream.getvalue()


def write_shards(root: Path, count: int = 2) -> Path:
    """Writes ``train-000.tar`` and ``test-000.tar`` with a picture and its class for each key."""
    for number, side in enumerate(("train", "test")):
        members: dict[str, bytes] = {}
        for kind in KINDS:
            for at in range(count):
                members[f"{kind}{at}.png"] = png(kind, 100 * number + at)
                members[f"{kind}{at}.cls"] = kind.encode()
        write_tar(root / f"{side}-000.tar", members)
    return root


def write_tar(file: Path, members: Mapping[str, bytes]) -> Path:
    """Writes a tar file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w") as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return file
