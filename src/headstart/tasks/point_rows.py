"""Points as rows of a table, and what ``dataset.yaml`` says about them."""

from __future__ import annotations

from typing import Any

from headstart.tasks.points import FIELD, PointSchema, PointsTarget


def points_row(target: PointsTarget) -> dict[str, str]:
    """The fields that ``parse_points`` reads: all points in one text, and lengths where known."""
    triples = zip(target.xy, target.visible, strict=True)
    texts = [f"{x:.8g},{y:.8g},{v}" if v else "0,0,0" for (x, y), v in triples]
    sizes = {"area": target.area, "head": target.head}
    known = {name: repr(float(size)) for name, size in sizes.items() if size is not None}
    return {FIELD: " ".join(texts), **known}


def points_options(schema: PointSchema) -> dict[str, Any]:
    """Entries of ``dataset.yaml``: what points are called, and how they belong together."""
    skeleton = schema.skeleton
    options: dict[str, Any] = {
        "points": list(skeleton.names),
        "bones": [list(bone) for bone in skeleton.bones],
        "flip_pairs": [list(pair) for pair in skeleton.flip_pairs],
    }
    if schema.normalise_by is not None:
        options["normalise_by"] = list(schema.normalise_by)
    return options
