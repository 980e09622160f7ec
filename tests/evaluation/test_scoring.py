"""Scores are of the original files, in the order of the records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from headstart.errors import ModelError, UnreadableImageError
from headstart.evaluation.scoring import Scored, evaluate_records, metric_text, observe
from headstart.progress import QuietProgress
from headstart.runtime.backends import Backend
from headstart.runtime.preprocess import Preprocess
from headstart.tasks.regression.numbers import NumberSchema
from headstart.types import ImageArray, Metric, Record
from pictures import write_picture

SCHEMA = NumberSchema(("brightness",), (0.5,))


class Brightness:
    """Answers with the mean of the pixels: what a graph of one layer would say."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def run(self, batch: ImageArray) -> dict[str, np.ndarray]:
        self.sizes.append(len(batch))
        return {"values": batch.mean(axis=(1, 2, 3), dtype=np.float32)[:, None]}


def scored(backend: Backend) -> Scored:
    return Scored(backend, "regression", SCHEMA, Preprocess((16, 16), "squash"))


def records_of(folder: Path, levels: list[int]) -> list[Record]:
    records = []
    for at, level in enumerate(levels):
        path = write_picture(folder / f"{at:02}.png", np.full((20, 30, 3), level, dtype=np.uint8))
        records.append(Record(path, path.name, str(at), str(at), (float(level),), "test"))
    return records


def test_outputs_are_in_the_order_of_the_records_over_all_batches(tmp_path: Path) -> None:
    levels = [int(level) for level in np.random.default_rng(0).permutation(40)]
    backend = Brightness()
    records = records_of(tmp_path, levels)
    model = scored(backend)
    found = observe(model, records, "", QuietProgress())
    assert found["values"][:, 0].tolist() == levels
    assert len(backend.sizes) > 1
    assert sum(backend.sizes) == 40
    evaluation = evaluate_records(model, records, {}, QuietProgress())
    assert evaluation.headline[0] == "mae"
    assert evaluation.headline[1].value == 0.0
    assert [answer["value"] for answer in evaluation.answers] == levels


def test_a_picture_that_became_unreadable_is_named(tmp_path: Path) -> None:
    records = records_of(tmp_path, [1, 2, 3])
    records[1].path.write_bytes(b"gone")
    with pytest.raises(UnreadableImageError, match=r"01\.png cannot be decoded"):
        observe(scored(Brightness()), records, "", QuietProgress())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    class Broken:
        def run(self, batch: ImageArray) -> dict[str, np.ndarray]:
            return {"values": np.array([[1.0], [value], [value]], dtype=np.float32)}

    records = records_of(tmp_path, [1, 2, 3])
    message = r"the model's output 'values' is not finite, first for 01\.png"
    with pytest.raises(ModelError, match=message):
        evaluate_records(scored(Broken()), records, {}, QuietProgress())
    with pytest.raises(ModelError, match=message):
        observe(scored(Broken()), records, "", QuietProgress())


def test_a_metric_is_written_with_its_interval_when_it_has_one() -> None:
    assert metric_text("mae", Metric(0.5)) == "mae 0.5"
    text = metric_text("accuracy", Metric(0.91234, 0.88, 0.93))
    assert text == "accuracy 0.9123 (95 % interval 0.88 to 0.93)"
