"""Pictures that show a target beside the prediction, for the report."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from headstart import tasks
from headstart.evaluation.scoring import Scored
from headstart.runtime.images import read_image
from headstart.runtime.predictor import load_input
from headstart.storage import write_bytes
from headstart.tasks.drawing import beside
from headstart.tasks.protocol import Calibration
from headstart.types import Finding, Record

SIDE = 640
"""Longest side of each of the two pictures, in pixels."""


def draw_comparisons(
    model: Scored,
    calibration: Calibration,
    records: Sequence[Record],
    findings: Sequence[Finding],
    folder: Path,
) -> dict[str, str]:
    """Draws every picture that some finding compares.

    Args:
        model: that is scored.
        calibration: of the model.
        records: the scored pictures.
        findings: of the same pictures.
        folder: where the drawn pictures go; made when there is one.

    Returns:
        Names of files in the folder by ``Record.image``: left the target, right the prediction.
    """
    by_image = {record.image: record for record in records}
    wanted = dict.fromkeys(image for finding in findings for image, _ in finding.compared)
    names = {}
    for number, image in enumerate(wanted):
        names[image] = f"{number:02}-{Path(image).stem}.jpg"
        buffer = io.BytesIO()
        _compare(model, calibration, by_image[image]).save(buffer, "JPEG", quality=88)
        write_bytes(folder / names[image], buffer.getvalue())
    return names


def _compare(model: Scored, calibration: Calibration, record: Record) -> Image.Image:
    spec, schema = tasks.spec(model.task), model.schema
    inputs, geometry = load_input(record.path, model.preprocess, record.box)
    outputs = model.backend.run(inputs[None])
    (found,) = spec.decode(outputs, schema, calibration, geometries=[geometry])
    pixels = read_image(record.path, white_level=model.preprocess.white_level)
    drawn = []
    for answer in (spec.truth(schema, record.target), found):
        image = spec.draw(np.ascontiguousarray(pixels), answer, schema)[""]
        image.thumbnail((SIDE, SIDE))
        drawn.append(image)
    return beside(drawn)
