"""Whether a model may be run in bfloat16: the rules, with engines that stand in for OpenVINO."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from headstart.errors import MissingExtraError, ModelError
from headstart.exporting import verify
from headstart.exporting.verify import Decoding, verify_bfloat16
from headstart.runtime.predictor import Input
from headstart.tasks.classification.spec import ClassSchema
from headstart.types import Geometry, ImageArray, Outputs

SCHEMA = ClassSchema(("ant", "bee", "wasp"))
DECODING = Decoding("classification", SCHEMA, {"unknown_threshold": 1e9})
COUNT = 20

Scores = npt.NDArray[np.float32]


class Known:
    """An engine whose first class is as probable as the first pixel is bright."""

    def run(self, batch: ImageArray) -> Outputs:
        first = 0.05 + 0.9 * batch[:, 0, 0, 0].astype(np.float32) / 255
        scores = np.stack([first, (1 - first) * 0.75, (1 - first) * 0.25], axis=1)
        return {"probabilities": scores, "unknown_score": np.ones(len(batch), np.float32)}


def pictures() -> list[Input]:
    whole = Geometry((8, 8), (1.0, 1.0), (0.0, 0.0), (8, 8))
    levels = np.linspace(0, 255, COUNT).astype(np.uint8)
    return [(np.full((8, 8, 3), level, np.uint8), whole) for level in levels]


def in_bfloat16(monkeypatch: pytest.MonkeyPatch, change: Callable[[Scores], Scores]) -> None:
    """What OpenVINO gives is what the known engine gives, changed."""

    class Changed(Known):
        def __init__(self, graph: bytes, *, bfloat16: bool) -> None:
            assert (graph, bfloat16) == (b"graph", True)

        def run(self, batch: ImageArray) -> Outputs:
            found = super().run(batch)
            return {**found, "probabilities": change(found["probabilities"])}

    monkeypatch.setattr(verify, "OpenVinoBackend", Changed)


def test_small_differences_are_allowed_and_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    in_bfloat16(monkeypatch, lambda scores: scores + np.float32([0.0004, 0, 0]))
    monkeypatch.setattr(type(verify.FORMAT), "checked_by", "openvino 1.2")
    found = verify_bfloat16(b"graph", Known(), DECODING, pictures())
    assert found is not None
    assert found.checked_by == "openvino 1.2 in bfloat16"
    assert (found.n_images, found.answers) == (COUNT, 1.0)
    assert found.max_difference == pytest.approx(0.0004, abs=1e-5)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda scores: scores[:, ::-1], id="other answers"),
        pytest.param(lambda scores: 1.2 * scores, id="a wrong temperature"),
        pytest.param(lambda scores: scores * np.nan, id="no number"),
        pytest.param(lambda scores: scores[:, :2], id="another shape"),
    ],
)
def test_what_differs_is_not_listed(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[Scores], Scores]
) -> None:
    in_bfloat16(monkeypatch, change)
    assert verify_bfloat16(b"graph", Known(), DECODING, pictures()) is None


@pytest.mark.parametrize(
    "error",
    [
        MissingExtraError("Running OpenVINO files", "openvino", "openvino"),
        ModelError("OpenVINO cannot load the graph"),
        RuntimeError("an operation that OpenVINO does not have"),
    ],
)
def test_nothing_is_listed_where_it_cannot_run(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And training goes on."""

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(verify, "OpenVinoBackend", refuse)
    assert verify_bfloat16(b"graph", Known(), DECODING, pictures()) is None
    in_bfloat16(monkeypatch, refuse)
    assert verify_bfloat16(b"graph", Known(), DECODING, pictures()) is None
