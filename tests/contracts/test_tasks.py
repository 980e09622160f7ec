"""What every task must do, whatever it predicts. The list of tasks is read from the package."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from export.tiny import CHANNELS, TINY_SIZE, deployed, random_inputs, tiny_network
from headstart import tasks
from headstart.errors import ConfigError, DataError, ModelError
from headstart.evaluation.scoring import evaluate_outputs
from headstart.export.formats.onnx import export_graph, set_constant
from headstart.runtime.backends.onnx import OnnxBackend
from headstart.types import Annotation, Metric, Outputs, Record

COUNT = 30

# One list of fields for each kind of data set that some task learns from. A task is tested with the
# kind that it claims most; a new kind of target needs one more entry here.
KINDS: Mapping[str, tuple[Mapping[str, str], ...]] = {
    "words": tuple({"label": ("ant", "bee", "wasp")[at % 3]} for at in range(COUNT)),
    "numbers": tuple({"value": f"{0.5 + at % 7 / 4}"} for at in range(COUNT)),
}

TASKS = tasks.task_names()


def annotations_of(fields: Sequence[Mapping[str, str]]) -> list[Annotation]:
    return [
        Annotation(Path(f"{at}.png"), f"{at}.png", entry, None) for at, entry in enumerate(fields)
    ]


def fields_of(task: str) -> tuple[Mapping[str, str], ...]:
    spec = tasks.spec(task)
    best = max(KINDS.values(), key=spec.claims)
    assert spec.claims(best) > 0, f"add annotations that {task} claims to KINDS"
    return best


def records_of(targets: Sequence[Any], group: str | None = None) -> list[Record]:
    return [
        Record(Path(f"{at}.png"), f"{at}.png", f"{at:032x}", f"{at:032x}", target, "test", group)
        for at, target in enumerate(targets)
    ]


class Case:
    """A task with parsed targets, a head with random weights, and outputs for every target."""

    def __init__(self, task: str) -> None:
        self.name = task
        self.spec, self.scorer, self.learner = (
            tasks.spec(task),
            tasks.scorer(task),
            tasks.learner(task),
        )
        self.fields = fields_of(task)
        parsed = self.spec.parse(annotations_of(self.fields))
        self.schema, self.targets = parsed.schema, list(parsed.targets)
        self.network = tiny_network(task, self.schema, self.targets)
        self.whole = deployed(task, self.network)
        self.outputs = self.run(random_inputs(COUNT))
        self.calibration = self.scorer.calibrate(self.outputs, self.targets, self.schema)

    def run(self, images: np.ndarray) -> Outputs:
        with torch.inference_mode():
            found = self.whole(torch.from_numpy(images))
        return {n: t.numpy() for n, t in zip(self.spec.outputs, found, strict=True)}

    def first(self, count: int) -> Outputs:
        return {name: values[:count] for name, values in self.outputs.items()}

    def raw(self, count: int) -> torch.Tensor:
        return self.network(torch.from_numpy(random_inputs(count)))


@pytest.fixture(scope="module", params=TASKS)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def test_there_are_tasks() -> None:
    assert TASKS
    assert list(TASKS) == sorted(set(TASKS))


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


def test_parse_refuses_one_single_value_and_says_which(case: Case) -> None:
    fields = [case.fields[0]] * 5
    (value,) = case.fields[0].values()
    with pytest.raises(DataError, match=re.escape(value)):
        case.spec.parse(annotations_of(fields))


def test_parse_leaves_out_and_counts_what_has_no_target(case: Case) -> None:
    (column,) = case.fields[0]
    fields = [*case.fields, {column: "   "}, {column: ""}]
    parsed = case.spec.parse(annotations_of(fields))
    assert parsed.targets[-2:] == (None, None)
    assert [omission.image for omission in parsed.omissions] == [f"{COUNT}.png", f"{COUNT + 1}.png"]
    assert all(omission.reason for omission in parsed.omissions)
    assert len(parsed.targets) == COUNT + 2
    assert len([t for t in parsed.targets if t is not None]) + len(parsed.omissions) == COUNT + 2


def test_parse_refuses_when_nothing_has_a_target(case: Case) -> None:
    (column,) = case.fields[0]
    with pytest.raises(DataError):
        case.spec.parse(annotations_of([{column: ""}, {column: " "}]))


def test_parse_with_a_models_schema_keeps_it(case: Case) -> None:
    parsed = case.spec.parse(annotations_of(case.fields[:1]), schema=case.schema)
    assert parsed.schema == case.schema
    assert parsed.targets == (case.targets[0],)


def test_parse_with_a_models_schema_counts_foreign_targets(case: Case) -> None:
    (column,) = case.fields[0]
    fields = [case.fields[0], {column: "nothing known"}]
    parsed = case.spec.parse(annotations_of(fields), schema=case.schema)
    assert parsed.targets == (case.targets[0], None)
    (omission,) = parsed.omissions
    assert omission.image == "1.png"
    assert "'nothing known'" in omission.reason


def test_the_schema_survives_json(case: Case) -> None:
    text = json.dumps(case.spec.schema_to_json(case.schema), allow_nan=False)
    assert case.spec.schema_from_json(json.loads(text)) == case.schema


def test_strata_and_summary_are_text(case: Case) -> None:
    strata = {case.spec.stratum(case.schema, target) for target in case.targets}
    assert len(strata) > 1
    assert all(isinstance(stratum, str) for stratum in strata)
    rows = case.spec.summarise(case.schema, case.targets)
    assert rows
    assert all(isinstance(cell, str) and cell for row in rows for cell in row)
    assert case.spec.summarise(case.schema, case.targets[:1])


def test_encode_gives_one_row_a_target(case: Case) -> None:
    for count in (0, 1, COUNT):
        assert len(case.learner.encode(case.targets[:count], case.schema)) == count


@pytest.mark.parametrize("count", [1, 2, COUNT])
def test_loss_is_finite_and_reaches_every_parameter_of_the_head(case: Case, count: int) -> None:
    encoded = case.learner.encode(case.targets[:count], case.schema)
    case.network.zero_grad()
    loss = case.learner.loss(case.network.head, case.raw(count), encoded, 0.1)
    assert loss.ndim == 0
    assert torch.isfinite(loss)
    loss.backward()
    parameters = list(case.network.head.parameters())
    assert parameters
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in parameters)


def test_loss_is_lower_for_better_outputs(case: Case) -> None:
    """Follows the gradient of the raw outputs: the loss must measure them."""
    encoded = case.learner.encode(case.targets, case.schema)
    raw = case.raw(COUNT).detach().requires_grad_()
    before = case.learner.loss(case.network.head, raw, encoded, 0.0)
    (slope,) = torch.autograd.grad(before, raw)
    after = case.learner.loss(case.network.head, (raw - slope).detach(), encoded, 0.0)
    assert after.item() < before.detach().item()


@pytest.mark.parametrize("count", [1, COUNT])
def test_the_epoch_metric_is_finite_with_its_error(case: Case, count: int) -> None:
    encoded = case.learner.encode(case.targets[:count], case.schema)
    metric, error = case.learner.epoch_metric(case.network.head, case.raw(count).detach(), encoded)
    assert np.isfinite([metric, error]).all()
    assert error >= 0


def test_the_convex_start_lowers_the_loss_and_repeats_exactly(case: Case) -> None:
    random = np.random.default_rng(0)
    features = random.normal(size=(2, COUNT, CHANNELS)).astype(np.float32)
    features[:, :, 0] = np.argsort(np.argsort([str(target) for target in case.targets]))
    encoded = case.learner.encode(case.targets, case.schema)

    def start() -> torch.nn.Module:
        head = case.learner.head(CHANNELS, case.schema, case.targets, 0.0).eval()
        case.learner.initialise(head, features, case.targets, case.schema)
        return head

    new = case.learner.head(CHANNELS, case.schema, case.targets, 0.0).eval()
    first, second = start(), start()
    with torch.inference_mode():
        plain = torch.from_numpy(features[0])
        losses = [
            float(case.learner.loss(head, head.predict(plain), encoded, 0.0))
            for head in (new, first)
        ]
    assert losses[1] < losses[0]
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


@pytest.mark.parametrize("count", [1, 4])
def test_the_convex_start_takes_few_or_equal_targets(case: Case, count: int) -> None:
    targets = [case.targets[0]] * count
    features = np.random.default_rng(1).normal(size=(3, count, CHANNELS)).astype(np.float32)
    head = case.learner.head(CHANNELS, case.schema, targets, 0.0)
    case.learner.initialise(head, features, targets, case.schema)
    assert all(torch.isfinite(tensor).all() for tensor in head.state_dict().values())


def test_finish_names_what_decode_takes(case: Case) -> None:
    found = case.learner.finish(case.network.head)(case.raw(2))
    assert isinstance(found, tuple)
    assert len(found) == len(case.spec.outputs)
    assert all(len(tensor) == 2 for tensor in found)


@pytest.mark.parametrize("count", [0, 1, COUNT])
def test_decode_gives_plain_values_with_the_promised_keys(case: Case, count: int) -> None:
    answers = case.spec.decode(case.first(count), case.schema, case.calibration)
    assert len(answers) == count
    for answer in answers:
        value = answer.to_json()
        assert {"label", "score", "scores", "unknown"} <= value.keys()
        assert not value.keys() & {"image", "task", "error"}
        assert json.loads(json.dumps(value, allow_nan=False)) == value
        assert answer.headline


def test_decode_keeps_the_best_entries(case: Case) -> None:
    (whole,) = case.spec.decode(case.first(1), case.schema, case.calibration)
    (short,) = case.spec.decode(case.first(1), case.schema, case.calibration, top_k=1)
    assert len(short.to_json()["scores"]) == 1
    best, alone = (next(iter(a.to_json()["scores"].items())) for a in (whole, short))
    assert best == alone


def test_decode_works_without_calibration(case: Case) -> None:
    assert len(case.spec.decode(case.first(3), case.schema, {})) == 3


def test_calibration_is_finite_also_for_one_picture_and_one_value(case: Case) -> None:
    one_value = [case.targets[0]] * COUNT
    for outputs, targets in (
        (case.outputs, case.targets),
        (case.first(1), case.targets[:1]),
        (case.outputs, one_value),
    ):
        found = case.scorer.calibrate(outputs, targets, case.schema)
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
    found = case.scorer.score(case.outputs, records, case.schema, case.calibration)
    assert next(iter(found)) == case.scorer.monitor
    better = "higher" if case.learner.higher_is_better else "lower"
    assert found[case.scorer.monitor].better == better
    assert found[case.scorer.monitor].low is not None
    _check(found)


@pytest.mark.parametrize("data", ["one picture", "one value", "one group"])
def test_scores_and_findings_of_thin_data(case: Case, data: str) -> None:
    count = 1 if data == "one picture" else COUNT
    targets = case.targets[:1] * count if data == "one value" else case.targets[:count]
    records = records_of(targets, group="all" if data == "one group" else None)
    outputs = case.first(count)
    found = case.scorer.score(outputs, records, case.schema, case.calibration)
    assert case.scorer.monitor in found
    _check(found)
    findings = case.scorer.analyse(outputs, records, case.schema, case.calibration)
    json.dumps([finding.to_json() for finding in findings], allow_nan=False)


def test_findings_have_rows_as_wide_as_their_header_and_name_pictures(case: Case) -> None:
    records = records_of(case.targets)
    findings = case.scorer.analyse(case.outputs, records, case.schema, case.calibration)
    assert findings
    assert any(finding.spoken and finding.text for finding in findings)
    names = {record.image for record in records}
    for finding in findings:
        assert finding.title
        assert all(len(row) == len(finding.columns) for row in finding.rows), finding.title
        assert all(image in names for image, _ in finding.images), finding.title
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
    assert found is not None
    name, metric = found
    assert name == case.scorer.monitor
    _check({name: metric})


def test_outputs_that_are_no_numbers_are_refused(case: Case) -> None:
    broken = {name: values.copy() for name, values in case.outputs.items()}
    broken[case.spec.outputs[0]][3] = np.nan
    records = records_of(case.targets)
    with pytest.raises(ModelError, match=r"3\.png"):
        evaluate_outputs(broken, records, case.name, case.schema, case.calibration)
