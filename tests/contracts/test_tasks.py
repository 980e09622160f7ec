"""What every task must do, whatever it predicts. The list of tasks is read from the package."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from exporting.tiny import CHANNELS, TINY_SIZE, deployed, random_inputs, tiny_network
from headstart import tasks
from headstart.config import DatasetOptions
from headstart.data.augment import plain_view
from headstart.errors import ConfigError, DataError, ModelError
from headstart.evaluation.scoring import Scored, evaluate_records
from headstart.exporting.graph import export_graph, set_constant
from headstart.models.heads import Head
from headstart.progress import QuietProgress
from headstart.runtime.backends.onnx import OnnxBackend
from headstart.runtime.preprocess import Preprocess
from headstart.tasks.drawing import readable
from headstart.tasks.learning import HeadOptions, Objective
from headstart.types import Annotation, Frame, Geometry, Metric, Outputs, Record
from pictures import write_mask, write_picture

COUNT = 30


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of data set that some task learns from.

    Attributes:
        fields: of ``COUNT`` annotations, all of them usable.
        useless: of a data set in which every target is the same, and how the error names it; None
            where that is legal.
        blank: fields that hold no target, or None where they do.
        foreign: fields that no model trained on ``fields`` knows, and how its reason names them.
    """

    fields: tuple[Mapping[str, str], ...]
    useless: tuple[Mapping[str, str], str] | None
    blank: Mapping[str, str] | None
    foreign: tuple[Mapping[str, str], str]


def _all(entries: Callable[[int], Mapping[str, str]]) -> tuple[Mapping[str, str], ...]:
    return tuple(entries(at) for at in range(COUNT))


# Each is the data of the task that claims it most; a new kind of target needs one more entry.
KINDS: Mapping[str, Kind] = {
    "words": Kind(
        _all(lambda at: {"label": ("ant", "bee", "wasp")[at % 3]}),
        ({"label": "ant"}, "ant"),
        {"label": "  "},
        ({"label": "nothing known"}, "'nothing known'"),
    ),
    "numbers": Kind(
        _all(lambda at: {"value": f"{0.5 + at % 7 / 4}"}),
        ({"value": "0.5"}, "0.5"),
        {"value": ""},
        ({"value": "nothing known"}, "'nothing known'"),
    ),
    "sets": Kind(
        _all(lambda at: {"labels": ("ant", "ant|bee", "", "bee|wasp", "wasp|?ant")[at % 5]}),
        ({"labels": "ant"}, "ant"),
        None,
        ({"labels": "ant|moth"}, "'moth'"),
    ),
    "masks": Kind(
        _all(lambda at: {"mask": f"{at % 6}.png"}),
        ({"mask": "plain.png"}, "class 0"),
        {"mask": " "},
        ({"mask": "foreign.png"}, "77"),
    ),
}

KINDS = {
    **KINDS,
    "several numbers": Kind(
        _all(lambda at: {"width": f"{at % 7}", "height": f"{3 * at % 11}.5"}),
        ({"width": "3", "height": "4"}, "every"),
        {"width": "3", "height": ""},
        ({"width": "wide", "height": "4"}, "'wide'"),
    ),
    "coordinates": Kind(
        _all(
            lambda at: {
                "x0": f"{5 + at % 13}",
                "y0": f"{5 + at % 7}.25",
                "x1": "30",
                "y1": f"{4 + at % 11}",
            }
        ),
        None,
        {"x0": "", "y0": "", "x1": "nan", "y1": ""},
        ({"x0": "", "y0": "", "x1": "", "y1": ""}, "none of its points"),
    ),
    "poses": Kind(
        _all(lambda at: {"points": f"{5 + at % 13},{5 + at % 7}.25,2 30,{4 + at % 11},1 0,0,0"}),
        None,
        {"points": "0,0,0 0,0,0 0,0,0"},
        ({"points": "1,1,2"}, "1 points instead of 3"),
    ),
}

FRAME = Frame((24, 32))
PLACE = Preprocess(TINY_SIZE).place(FRAME.size)
"""How pictures of that size lie in the input: with bars above and below."""

FILES = Path(tempfile.gettempdir()) / f"headstart-contracts-{uuid.uuid4().hex}"
"""Not made here: all processes that collect tests import this, and one runs them."""


def write_masks() -> None:
    """Masks of 3 classes and the ignored index; ``plain`` holds one class, ``foreign`` a new id."""
    random = np.random.default_rng(0)
    blocks = random.integers(0, 3, (6, 3, 4), dtype=np.uint8)
    for number, block in enumerate(blocks):
        values = block.repeat(8, axis=0).repeat(8, axis=1)
        values[0, :5] = 255
        write_mask(FILES / f"{number}.png", values)
    write_mask(FILES / "plain.png", np.zeros(FRAME.size, np.uint8))
    write_mask(FILES / "foreign.png", np.full(FRAME.size, 77, np.uint8))


TASKS = tasks.task_names()
TASK_OF = {
    name: max(TASKS, key=lambda task: tasks.spec(task).claims(kind.fields))
    for name, kind in KINDS.items()
}


def annotations_of(fields: Sequence[Mapping[str, str]]) -> list[Annotation]:
    return [Annotation(FILES / f"{at}.jpg", f"{at}.jpg", entry) for at, entry in enumerate(fields)]


def records_of(targets: Sequence[Any], group: str | None = None) -> list[Record]:
    return [
        Record(
            *(FILES / f"{at}.jpg", f"{at}.jpg", f"{at:032x}", f"{at:032x}"),
            *(target, "test", group, FRAME.size),
        )
        for at, target in enumerate(targets)
    ]


class Case:
    """A task with parsed targets, a head with random weights, and outputs for every target."""

    def __init__(self, kind: str) -> None:
        task = TASK_OF[kind]
        self.name = task
        self.spec, self.scorer, self.learner = (
            tasks.spec(task),
            tasks.scorer(task),
            tasks.learner(task),
        )
        self.kind = KINDS[kind]
        self.fields = self.kind.fields
        parsed = self.spec.parse(annotations_of(self.fields))
        self.schema = parsed.schema
        self.targets = [self.spec.fit(t, FRAME, DatasetOptions()) for t in parsed.targets]
        self.network = tiny_network(task, self.schema, self.targets)
        self.whole = deployed(task, self.network)
        self.outputs = self.run(random_inputs(COUNT))
        self.observed = self.observe(COUNT)
        self.calibration = self.calibrate(COUNT, self.targets)

    def run(self, images: np.ndarray) -> Outputs:
        with torch.inference_mode():
            found = self.whole(torch.from_numpy(images))
        return {n: t.numpy() for n, t in zip(self.spec.outputs, found, strict=True)}

    def first(self, count: int) -> Outputs:
        return {name: values[:count] for name, values in self.outputs.items()}

    def observe(self, count: int, targets: Sequence[Any] = ()) -> Outputs:
        records = records_of(targets or self.targets[:count])
        answers = self.decode(count, {})
        return self.scorer.observe(self.first(count), answers, records, self.schema)

    def calibrate(self, count: int, targets: Sequence[Any]) -> Mapping[str, float]:
        return self.scorer.calibrate(self.observe(count, targets), targets, self.schema, "f1")

    def decode(self, count: int, calibration: Any = None, top_k: int | None = None) -> list[Any]:
        return self.spec.decode(
            self.first(count),
            self.schema,
            self.calibration if calibration is None else calibration,
            geometries=[PLACE] * count,
            top_k=top_k,
        )

    def encoded(self, targets: Sequence[Any]) -> torch.Tensor:
        found = []
        for target in targets:
            placed = None
            if self.learner.moves(self.schema):
                whole = Geometry(FRAME.size, (1.0, 1.0), (0.0, 0.0), FRAME.size)
                tensor = self.learner.place(target, self.schema, whole)
                pixels = np.zeros((*FRAME.size, 3), np.uint8)
                _, placed = plain_view(pixels, tensor, Preprocess(TINY_SIZE))
            found.append(self.learner.encode(target, placed, self.schema))
        return torch.stack(found)

    def raw(self, count: int) -> torch.Tensor:
        return self.network(torch.from_numpy(random_inputs(count)))


@pytest.fixture(scope="module", autouse=True)
def _files() -> Iterator[None]:
    FILES.mkdir()
    write_masks()
    yield
    shutil.rmtree(FILES)


@pytest.fixture(scope="module", params=list(KINDS))
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def test_there_are_tasks() -> None:
    assert TASKS
    assert list(TASKS) == sorted(set(TASKS))
    assert set(TASK_OF.values()) == set(TASKS), "each task needs annotations in KINDS"


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=rf"task must be one of {', '.join(TASKS)}, got 'clasify'"
    ):
        tasks.spec("clasify")


def test_each_task_is_inferred_from_its_own_annotations(case: Case) -> None:
    assert tasks.infer(annotations_of(case.fields)) == case.name


def test_fields_that_no_task_knows_are_named() -> None:
    strange = annotations_of([{"left": "1", "right": "x"}])
    with pytest.raises(DataError, match=r"cannot tell the task from the fields left, right: "):
        tasks.infer(strange)
    with pytest.raises(DataError, match=r"from the fields \(none\)"):
        tasks.infer([])


@pytest.mark.parametrize(
    "fields", [[], [{}], [{"": ""}], [{"a": ""}, {"b": ""}]], ids=["empty", "bare", "blank", "torn"]
)
def test_claims_are_shares_also_for_garbage(case: Case, fields: list[dict[str, str]]) -> None:
    assert 0.0 <= case.spec.claims(fields) <= 1.0


def test_the_name_is_that_of_the_folder_and_outputs_are_named(case: Case) -> None:
    assert case.spec.name == case.name
    assert case.spec.outputs
    assert len(set(case.spec.outputs)) == len(case.spec.outputs)


def test_parse_gives_a_target_for_each_annotation(case: Case) -> None:
    parsed = case.spec.parse(annotations_of(case.fields))
    assert len(parsed.targets) == COUNT
    assert None not in parsed.targets
    assert parsed.omissions == ()


def test_parse_refuses_no_annotations(case: Case) -> None:
    with pytest.raises(DataError, match=r"none|needed|got 0"):
        case.spec.parse([])


def test_parse_refuses_targets_that_are_all_the_same_and_says_which(case: Case) -> None:
    if case.kind.useless is None:
        pytest.skip("equal targets are legal")
    fields, named = case.kind.useless
    with pytest.raises(DataError, match=re.escape(named)):
        case.spec.parse(annotations_of([fields] * 5))


def test_parse_leaves_out_and_counts_what_has_no_target(case: Case) -> None:
    if case.kind.blank is None:
        pytest.skip("a blank is a target")
    blank = case.kind.blank
    parsed = case.spec.parse(annotations_of([*case.fields, blank, blank]))
    assert parsed.targets[-2:] == (None, None)
    assert [omission.image for omission in parsed.omissions] == [f"{COUNT}.jpg", f"{COUNT + 1}.jpg"]
    assert all(omission.reason for omission in parsed.omissions)
    assert len(parsed.targets) == COUNT + 2
    assert len([t for t in parsed.targets if t is not None]) + len(parsed.omissions) == COUNT + 2


def test_parse_refuses_when_nothing_has_a_target(case: Case) -> None:
    blank = dict.fromkeys(case.fields[0], "")
    with pytest.raises(DataError):
        case.spec.parse(annotations_of([blank, dict.fromkeys(blank, " ")]))


def test_parse_with_a_models_schema_keeps_it(case: Case) -> None:
    parsed = case.spec.parse(annotations_of(case.fields[:1]), schema=case.schema)
    assert parsed.schema == case.schema
    (target,) = parsed.targets
    assert case.spec.fit(target, FRAME, DatasetOptions()) == case.targets[0]


def test_parse_with_a_models_schema_counts_foreign_targets(case: Case) -> None:
    foreign, named = case.kind.foreign
    annotations = annotations_of([case.fields[0], foreign])
    parsed = case.spec.parse(annotations, schema=case.schema)
    assert parsed.targets[0] is not None
    assert parsed.targets[1] is None
    (omission,) = parsed.omissions
    assert omission.image == "1.jpg"
    assert named in omission.reason


def test_a_target_is_kept_or_refused_by_its_pictures_frame(case: Case) -> None:
    """Whatever lies in the picture has to fit into it; everything else does not care."""
    (target, *_) = case.spec.parse(annotations_of(case.fields)).targets
    if not case.learner.moves(case.schema):
        assert case.spec.fit(target, Frame((7, 9), 6), DatasetOptions()) == target
        return
    turned = case.spec.fit(target, Frame((32, 24), 6), DatasetOptions())
    assert turned != case.targets[0]
    with pytest.raises(DataError, match=r"32x24 pixels and the picture 2x1|outside the picture"):
        case.spec.fit(
            case.spec.fit(target, Frame((24, 32)), DatasetOptions()),
            Frame((1, 2)),
            DatasetOptions(),
        )


def test_the_schema_survives_json(case: Case) -> None:
    text = json.dumps(case.spec.schema_to_json(case.schema), allow_nan=False)
    assert case.spec.schema_from_json(json.loads(text)) == case.schema


def test_strata_and_summary_are_text(case: Case) -> None:
    found = [case.spec.strata(case.schema, target) for target in case.targets]
    assert all(found)
    strata = {name for names in found for name in names}
    assert strata
    assert all(isinstance(stratum, str) for stratum in strata)
    rows = case.spec.summarise(case.schema, case.targets)
    assert rows
    assert all(isinstance(cell, str) and cell for row in rows for cell in row)
    assert case.spec.summarise(case.schema, case.targets[:1])


def test_targets_are_plain_json_and_tell_each_other_apart(case: Case) -> None:
    texts = {
        target: json.dumps(case.spec.target_to_json(case.schema, target), allow_nan=False)
        for target in case.targets
    }
    assert len(set(texts.values())) == len(texts) > 1


def test_views_are_computed_anew_for_another_target_alone(case: Case) -> None:
    if not case.learner.moves(case.schema):
        pytest.skip("the target is not stored with the views")
    keys = {
        target: json.dumps(case.learner.identity(target, case.schema)) for target in case.targets
    }
    assert len(set(keys.values())) == len(keys) > 1
    renamed = dict(case.spec.schema_to_json(case.schema))
    for name in ("classes", "points"):
        if name in renamed:
            renamed[name] = [f"new {text}" for text in renamed[name]]
    schema = case.spec.schema_from_json(renamed)
    assert schema != case.schema
    assert all(json.dumps(case.learner.identity(t, schema)) == key for t, key in keys.items())


def test_a_target_in_a_view_can_be_drawn(case: Case) -> None:
    encoded = case.encoded(case.targets[:1])[0]
    if not case.learner.moves(case.schema):
        pytest.skip("the target has no place in the view")
    pixels = np.full((*TINY_SIZE, 3), 100, np.uint8)
    shown = case.learner.in_view(encoded, case.schema, TINY_SIZE)
    image = np.asarray(case.spec.draw(pixels, shown, case.schema)[""])
    height = readable(pixels).height  # below is the legend
    assert (image[:height] != 100).any(), "nothing was drawn over the picture"


def test_a_target_can_be_drawn_and_agrees_with_itself_alone(case: Case) -> None:
    pixels = np.full((*FRAME.size, 3), 100, np.uint8)
    before = pixels.copy()
    first, second = (case.spec.truth(case.schema, target) for target in case.targets[:2])
    assert case.spec.agreement(first, first) == 1.0
    assert 0.0 <= case.spec.agreement(first, second) < 1.0
    drawn = case.spec.draw(pixels, first, case.schema)
    assert "" in drawn
    assert all(image.width >= FRAME.size[1] for image in drawn.values())
    assert np.array_equal(pixels, before)
    (answer, *_) = case.decode(1)
    assert case.spec.draw(pixels, answer, case.schema).keys() == drawn.keys()


@pytest.mark.parametrize("count", [1, 2, COUNT])
def test_every_loss_is_finite_and_reaches_every_parameter_of_the_head(
    case: Case, count: int
) -> None:
    encoded = case.encoded(case.targets[:count])
    assert case.learner.losses
    for loss in case.learner.losses:
        case.network.zero_grad()
        value = case.learner.loss(case.network.head, case.raw(count), encoded, Objective(loss, 0.1))
        assert value.ndim == 0
        assert torch.isfinite(value), loss
        value.backward()
        parameters = list(case.network.head.parameters())
        assert parameters
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in parameters), loss


def test_every_loss_is_lower_for_better_outputs(case: Case) -> None:
    """Follows the gradient of the raw outputs: the loss must measure them."""
    encoded = case.encoded(case.targets)
    for name in case.learner.losses:
        objective = Objective(name)
        raw = case.raw(COUNT).detach()
        # Random weights give outputs so large that a sigmoid has no slope.
        raw = (2.0 * raw / raw.abs().max()).requires_grad_()
        before = case.learner.loss(case.network.head, raw, encoded, objective)
        (slope,) = torch.autograd.grad(before, raw)
        step = slope / slope.abs().max() * raw.detach().abs().max() / 10
        after = case.learner.loss(case.network.head, (raw - step).detach(), encoded, objective)
        assert after.item() < before.detach().item(), name


def test_a_loss_from_outside_is_given_the_outputs_of_each_picture(case: Case) -> None:
    raw = case.raw(3).detach().requires_grad_()
    encoded = case.encoded(case.targets[:3])
    outputs, wanted = case.learner.comparable(case.network.head, raw, encoded)
    assert len(outputs) == len(wanted) == 3
    assert outputs.dtype == torch.float32
    (slope,) = torch.autograd.grad(outputs[1].square().sum(), raw)
    assert slope[1].abs().sum() > 0
    assert slope[::2].abs().sum() == 0


@pytest.mark.parametrize("count", [1, COUNT])
def test_the_epoch_metric_is_finite_with_its_error_and_does_not_depend_on_batches(
    case: Case, count: int
) -> None:
    encoded, raw = case.encoded(case.targets[:count]), case.raw(count).detach()
    head = case.network.head
    whole = case.learner.statistics(head, raw, encoded)
    assert len(whole) == count
    metric, error = case.learner.epoch_metric(whole)
    assert np.isfinite([metric, error]).all()
    assert error >= 0
    parts = [
        case.learner.statistics(head, raw[at : at + 7], encoded[at : at + 7])
        for at in range(0, count, 7)
    ]
    assert case.learner.epoch_metric(torch.cat(parts)) == pytest.approx((metric, error), abs=1e-6)


def reduced_head(case: Case, targets: Sequence[Any]) -> Head:
    head = case.learner.head(case.network.backbone.outputs, case.schema, targets, HeadOptions())
    assert isinstance(head, Head)
    if head.reduce is None:
        pytest.skip("the head takes whole maps")
    return head


def test_the_convex_start_lowers_the_loss_and_repeats_exactly(case: Case) -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(2, COUNT, CHANNELS)).astype(np.float32)
    features[:, :, 0] = np.argsort(np.argsort([str(target) for target in case.targets]))
    encoded = case.encoded(case.targets)

    def start() -> Head:
        head = reduced_head(case, case.targets).eval()
        case.learner.initialise(head, features.copy(), case.targets, case.schema)
        return head

    new = reduced_head(case, case.targets).eval()
    first, second = start(), start()
    objective = Objective(case.learner.losses[0])
    with torch.inference_mode():
        plain = torch.from_numpy(features[0])
        losses = [
            float(case.learner.loss(head, head.predict(plain), encoded, objective))
            for head in (new, first)
        ]
    assert losses[1] < losses[0]
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


@pytest.mark.parametrize("count", [1, 4])
def test_the_convex_start_takes_few_or_equal_targets(case: Case, count: int) -> None:
    targets = [case.targets[0]] * count
    features = np.random.default_rng(1).normal(size=(3, count, CHANNELS)).astype(np.float32)
    head = reduced_head(case, targets)
    case.learner.initialise(head, features.copy(), targets, case.schema)
    assert all(torch.isfinite(tensor).all() for tensor in head.state_dict().values())


def test_finish_names_what_decode_takes(case: Case) -> None:
    found = case.learner.finish(case.network.head)(case.raw(2))
    assert isinstance(found, tuple)
    assert len(found) == len(case.spec.outputs)
    assert all(len(tensor) == 2 for tensor in found)


@pytest.mark.parametrize("count", [0, 1, COUNT])
def test_decode_gives_plain_values_with_the_promised_keys(case: Case, count: int) -> None:
    answers = case.decode(count)
    assert len(answers) == count
    for answer in answers:
        value = answer.to_json()
        assert {"label", "score", "scores", "unknown"} <= value.keys()
        assert not value.keys() & {"image", "task", "error"}
        assert json.loads(json.dumps(value, allow_nan=False)) == value
        assert answer.headline


def test_decode_keeps_the_best_entries(case: Case) -> None:
    (whole,) = case.decode(1)
    (short,) = case.decode(1, top_k=1)
    if whole.to_json()["score"] is None:
        pytest.skip("these answers have no scores to rank")
    assert len(short.to_json()["scores"]) == 1
    best, alone = (next(iter(a.to_json()["scores"].items())) for a in (whole, short))
    assert best == alone


def test_decode_works_without_calibration(case: Case) -> None:
    assert len(case.decode(3, {})) == 3


def test_calibration_is_finite_also_for_one_picture_and_one_value(case: Case) -> None:
    one_value = [case.targets[0]] * COUNT
    for targets in (case.targets, case.targets[:1], one_value):
        found = case.calibrate(len(targets), targets)
        assert all(np.isfinite(value) for value in found.values())
        assert found.keys() == case.calibration.keys()


def test_every_calibrated_constant_of_the_graph_can_be_set(case: Case) -> None:
    """``finish`` names its buffers as ``calibrate`` does its numbers; the exporter keeps them."""
    graph = export_graph(case.whole, case.spec.outputs, TINY_SIZE)
    inputs = random_inputs(4)
    buffers = {n: b for n, b in case.whole.finish.named_buffers() if not b.ndim}
    shared = buffers.keys() & case.calibration.keys()
    for name in shared:
        neutral = float(buffers[name])
        set_constant(graph, name, 2.0)
        buffers[name].fill_(2.0)
        changed = case.run(inputs)
        found = OnnxBackend(graph.SerializeToString()).run(inputs)
        buffers[name].fill_(neutral)
        set_constant(graph, name, neutral)
        before = case.run(inputs)
        assert any(not np.allclose(changed[key], before[key]) for key in changed), name
        for key, values in changed.items():
            np.testing.assert_allclose(found[key], values, atol=1e-5, err_msg=f"{name}, {key}")
    onnx.checker.check_model(graph)
    found = OnnxBackend(graph.SerializeToString()).run(inputs)
    assert list(found) == list(case.spec.outputs)
    for key, values in case.run(inputs).items():
        np.testing.assert_allclose(found[key], values, atol=1e-5, rtol=1e-5, err_msg=key)


def _check(metrics: Mapping[str, Metric]) -> None:
    assert metrics
    for name, metric in metrics.items():
        assert np.isfinite(metric.value), name
        assert metric.better in ("higher", "lower"), name
        assert (metric.low is None) == (metric.high is None), name
        if metric.low is not None and metric.high is not None:
            assert metric.low <= metric.value + 1e-9, name
            assert metric.value <= metric.high + 1e-9, name
    json.dumps({name: metric.to_json() for name, metric in metrics.items()}, allow_nan=False)


def test_the_monitored_metric_comes_first_in_its_direction(case: Case) -> None:
    records = records_of(case.targets)
    found = case.scorer.score(case.observed, records, case.schema, case.calibration)
    (first, *_) = found.values()
    assert first.better == ("higher" if case.learner.higher_is_better else "lower")
    assert first.low is not None
    _check(found)


def test_the_headline_is_the_first_metric_of_any_pictures(case: Case) -> None:
    records = records_of(case.targets)
    headline = case.scorer.headline(case.observed, records, case.schema, case.calibration)
    for chosen in (np.arange(COUNT), np.arange(5, 25)):
        observed = {name: values[chosen] for name, values in case.observed.items()}
        some = [records[at] for at in chosen]
        name, metric = next(
            iter(case.scorer.score(observed, some, case.schema, case.calibration).items())
        )
        assert headline.name == name
        assert headline.better == metric.better
        assert headline.of(chosen) == pytest.approx(metric.value, nan_ok=True)
    assert headline.unit > 0


def test_the_head_gives_one_output_for_each_named_part(case: Case) -> None:
    parts = case.spec.parts(case.schema)
    assert len(set(parts)) == len(parts) == case.raw(2).shape[1]


@pytest.mark.parametrize("data", ["one picture", "one value", "one group"])
def test_scores_and_findings_of_thin_data(case: Case, data: str) -> None:
    count = 1 if data == "one picture" else COUNT
    targets = case.targets[:1] * count if data == "one value" else case.targets[:count]
    records = records_of(targets, group="all" if data == "one group" else None)
    outputs = case.observe(count, targets)
    found = case.scorer.score(outputs, records, case.schema, case.calibration)
    _check(found)
    findings = case.scorer.analyse(outputs, records, case.schema, case.calibration, found)
    json.dumps([finding.to_json() for finding in findings], allow_nan=False)


def test_findings_have_rows_as_wide_as_their_header_and_name_pictures(case: Case) -> None:
    records = records_of(case.targets)
    scores = case.scorer.score(case.observed, records, case.schema, case.calibration)
    findings = case.scorer.analyse(case.observed, records, case.schema, case.calibration, scores)
    assert findings
    assert any(finding.spoken and finding.text for finding in findings)
    names = {record.image for record in records}
    for finding in findings:
        assert finding.title
        assert all(len(row) == len(finding.columns) for row in finding.rows), finding.title
        shown = [*finding.images, *finding.compared]
        assert all(image in names for image, _ in shown), finding.title
        assert all(0.0 <= share <= 1.0 for _, share, _ in finding.bars), finding.title
        json.dumps(finding.to_json(), allow_nan=False)


def test_out_of_fold_is_left_out_for_too_few_pictures(case: Case) -> None:
    features = np.zeros((4, CHANNELS), dtype=np.float32)
    records = records_of(case.targets[:4])
    assert case.scorer.out_of_fold(features, records, case.schema, 0) is None
    grouped = records_of(case.targets, group="all")
    features = np.zeros((COUNT, CHANNELS), dtype=np.float32)
    assert case.scorer.out_of_fold(features, grouped, case.schema, 0) is None


def test_out_of_fold_gives_the_monitored_metric(case: Case) -> None:
    features = np.random.default_rng(0).normal(size=(COUNT, CHANNELS)).astype(np.float32)
    found = case.scorer.out_of_fold(features, records_of(case.targets), case.schema, 0)
    if case.network.head.reduce is None:
        assert found is None
        return
    assert found is not None
    name, metric = found
    scores = case.scorer.score(
        case.observed, records_of(case.targets), case.schema, case.calibration
    )
    assert name == next(iter(scores))
    _check({name: metric})


def test_outputs_that_are_no_numbers_are_refused(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def run(self, batch: np.ndarray) -> Outputs:
            broken = {name: values.copy() for name, values in case.first(len(batch)).items()}
            broken[case.spec.outputs[0]][3] = np.nan
            return broken

    records = []
    for record in records_of(case.targets[:5]):
        path = write_picture(tmp_path / record.path.name, np.zeros((*FRAME.size, 3), np.uint8))
        records.append(dataclasses.replace(record, path=path))
    model = Scored(Broken(), case.name, case.schema, Preprocess(TINY_SIZE))
    with pytest.raises(ModelError, match=r"3\.jpg"):
        evaluate_records(model, records, case.calibration, QuietProgress())
