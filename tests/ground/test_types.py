"""Records that pass between the stages."""

from __future__ import annotations

import json
from pathlib import Path

from headstart.types import Finding, Manifest, Metric, Record, Split


def record(image: str, split: Split | None = None, group: str | None = None) -> Record:
    return Record(Path(image), image, f"hash-of-{image}", f"hash-of-{image}", 0, split, group)


def test_a_picture_without_a_group_is_its_own_group() -> None:
    assert record("a").group_key == "hash-of-a"
    assert record("a", group="p1").group_key == "group:p1"
    assert record("a", group="").group_key == "group:"


def test_records_of_sides_keep_the_order_of_the_manifest() -> None:
    records = (record("c", "val"), record("a", "train"), record("b", "val"), record("d"))
    manifest = Manifest(Path("root"), "any", None, records)
    assert [found.image for found in manifest.on("train", "val")] == ["c", "a", "b"]
    assert manifest.on("test") == ()


def test_metric_and_finding_are_plain_json() -> None:
    metric = Metric(0.5, 0.25, 0.75, "lower")
    assert json.loads(json.dumps(metric.to_json())) == {
        "value": 0.5,
        "low": 0.25,
        "high": 0.75,
        "better": "lower",
    }
    finding = Finding("Worst", "text", ("a",), ((1,),), images=(("a.png", "caption"),))
    assert json.loads(json.dumps(finding.to_json())) == {
        "title": "Worst",
        "text": "text",
        "columns": ["a"],
        "rows": [[1]],
        "shaded": False,
        "images": [["a.png", "caption"]],
        "compared": [],
        "bars": [],
        "spoken": False,
    }
