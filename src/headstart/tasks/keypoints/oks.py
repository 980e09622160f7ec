"""Average precision by object keypoint similarity, computed by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from headstart.tasks.points import PointSchema
from headstart.types import Metric, Outputs, Record

COCO_SIGMAS = {
    "nose": 0.026,
    "eye": 0.025,
    "ear": 0.035,
    "shoulder": 0.079,
    "elbow": 0.072,
    "wrist": 0.062,
    "hip": 0.107,
    "knee": 0.087,
    "ankle": 0.089,
}
"""Half the constants of the COCO keypoint evaluation, by what the point's name ends with."""

OTHER_SIGMA = 0.079
"""For points that COCO does not have: that of a shoulder."""

FIRST_ID = 1
"""pycocotools takes 0 for 'no match'."""


def oks_ap(observed: Outputs, records: Sequence[Record], schema: PointSchema) -> dict[str, Metric]:
    """``oks_ap``, where every record has a box and an area; else nothing.

    Each box is given, so that every prediction belongs to a person: what is measured is how well
    points are placed, not how well persons are found.
    """
    if not all(record.box and record.target.area for record in records):
        return {}
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    images = {path: at for at, path in enumerate(dict.fromkeys(r.path for r in records), FIRST_ID)}
    with contextlib.redirect_stdout(io.StringIO()):
        truth, found = COCO(), COCO()
        truth.dataset = {
            "images": [{"id": at} for at in images.values()],
            "categories": [{"id": 1, "name": "object"}],
            "annotations": [_annotation(r, images, at) for at, r in enumerate(records, FIRST_ID)],
        }
        truth.createIndex()
        found = truth.loadRes(_results(observed, records, images))
        evaluation = COCOeval(truth, found, "keypoints")
        evaluation.params.kpt_oks_sigmas = np.array([_sigma(name) for name in schema.names])
        evaluation.params.maxDets = [max(20, len(records))]
        evaluation.evaluate()
        evaluation.accumulate()
    # All thresholds from 0.50 to 0.95, the one category, areas of every size.
    precision = evaluation.eval["precision"][:, :, 0, 0, 0]
    known = precision[precision > -1]
    return {"oks_ap": Metric(float(known.mean()))} if known.size else {}


def _annotation(record: Record, images: dict[Path, int], number: int) -> dict[str, object]:
    target = record.target
    points = [
        value for xy, v in zip(target.xy, target.visible, strict=True) for value in (*xy, int(v))
    ]
    return {
        "id": number,
        "image_id": images[record.path],
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": points,
        "num_keypoints": int(target.known.sum()),
        "bbox": list(record.box or ()),
        "area": target.area,
    }


def _results(
    observed: Outputs, records: Sequence[Record], images: dict[Path, int]
) -> list[dict[str, object]]:
    results = []
    for record, xy, scores in zip(records, observed["xy"], observed["scores"], strict=True):
        points = [
            v for (x, y), s in zip(xy, scores, strict=True) for v in (float(x), float(y), float(s))
        ]
        results.append(
            {
                "image_id": images[record.path],
                "category_id": 1,
                "keypoints": points,
                "score": float(scores.mean()),
            }
        )
    return results


def _sigma(name: str) -> float:
    ending = name.lower().replace(" ", "_").rpartition("_")[2]
    return COCO_SIGMAS.get(ending, OTHER_SIGMA)
