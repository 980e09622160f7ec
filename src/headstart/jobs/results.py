"""The second half of a training run: export, calibrate, verify, score, write, say."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import onnx
import onnxruntime

import headstart
from headstart import tasks
from headstart.config import TrainConfig
from headstart.data.split import leaked
from headstart.data.split_table import summary_rows
from headstart.evaluation.comparison import draw_comparisons
from headstart.evaluation.leak import measure_leak
from headstart.evaluation.report import render_report
from headstart.evaluation.scoring import (
    Evaluation,
    Scored,
    evaluate_records,
    metric_text,
    observe,
)
from headstart.exporting.bundle import write_model_folder
from headstart.exporting.card import model_card
from headstart.exporting.graph import Deployed, export_graph, set_constant
from headstart.exporting.verify import Agreement, Decoding, verify, verify_bfloat16
from headstart.jobs.run_folder import RunFolder
from headstart.jobs.warm_start import WarmStart
from headstart.models.network import Network
from headstart.progress import Progress
from headstart.runtime.backends import Backend
from headstart.runtime.backends.onnx import OnnxBackend
from headstart.runtime.model_folder import ModelDescription
from headstart.runtime.predictor import BFLOAT16, load_input
from headstart.runtime.preprocess import Preprocess
from headstart.storage import write_json, write_text
from headstart.tasks.protocol import Calibration
from headstart.training.plan import Plan
from headstart.types import SPLITS, Manifest, Metric

VERIFY_PICTURES = 32
GOLDEN_PICTURES = 3


@dataclasses.dataclass(frozen=True)
class RunInputs:
    """What the first half of a run hands over."""

    run: RunFolder
    config: TrainConfig
    manifest: Manifest
    plan: Plan
    preprocess: Preprocess
    network: Network
    out_of_fold: tuple[str, Metric] | None
    start: WarmStart | None = None

    def scored(self, backend: Backend) -> Scored:
        """The model, for scoring."""
        manifest = self.manifest
        return Scored(backend, manifest.task, manifest.schema, self.preprocess)


@dataclasses.dataclass(frozen=True)
class Agreements:
    """What was found on validation pictures.

    Attributes:
        exported: of ``model.onnx`` with the network.
        faster: of ``model.onnx`` in lower precisions with itself, of those that answer the same.
    """

    exported: Agreement
    faster: Mapping[str, Agreement]


def deliver(inputs: RunInputs, progress: Progress) -> None:
    """Writes the model folder, the scores and the report, and says what came out."""
    run, manifest = inputs.run, inputs.manifest
    with run.timed("export"):
        graph, backend, calibration, agreements = _export(inputs, progress)
    openings = run.count_test_opening()
    with run.timed("evaluation"):
        test, scored = manifest.on("test"), inputs.scored(backend)
        evaluation = evaluate_records(scored, test, calibration, progress)
        leak = measure_leak(scored, test, leaked(manifest), calibration, progress)
        if leak is not None:
            findings = (leak.finding(evaluation), *evaluation.findings)
            evaluation = dataclasses.replace(evaluation, findings=findings)
        drawn = draw_comparisons(scored, calibration, test, evaluation.findings, run.drawn)
    with run.timed("export"):
        metrics = _metrics(inputs, evaluation)
        if leak is not None:
            metrics["leak"] = leak.to_json()
        _write_model(inputs, graph, backend, calibration, agreements, metrics)
        _write_predictions(inputs, evaluation)
    report = {**_report(inputs, evaluation, metrics, openings), "drawn": drawn}
    write_json(run.path / "report.json", report)
    write_text(run.report, render_report(report, manifest.root, run.drawn))
    metrics["timing_s"] = run.read_state()["timing_s"]
    write_json(run.metrics, metrics)
    progress.say(_summary(inputs, evaluation))


def _export(
    inputs: RunInputs, progress: Progress
) -> tuple[onnx.ModelProto, OnnxBackend, Calibration, Agreements]:
    """Exports with neutral calibration, fits it on the originals, and puts it into the graph."""
    manifest, network = inputs.manifest, inputs.network
    spec, learner = tasks.spec(manifest.task), tasks.learner(manifest.task)
    deployed = Deployed(network, learner.finish(network.head), inputs.config.tta)
    graph = export_graph(deployed, spec.outputs, inputs.preprocess.size)
    val = manifest.on("val")
    neutral = inputs.scored(OnnxBackend(graph.SerializeToString()))
    calibration = tasks.scorer(manifest.task).calibrate(
        observe(neutral, val, "calibrate", progress),
        [record.target for record in val],
        manifest.schema,
        inputs.config.threshold_aim,
    )
    reference = copy.deepcopy(deployed)
    for name, buffer in reference.finish.named_buffers():
        if name in calibration:
            buffer.fill_(calibration[name])
            set_constant(graph, name, calibration[name])
    content = graph.SerializeToString()
    backend = OnnxBackend(content)
    pictures = [
        load_input(record.path, inputs.preprocess, record.box) for record in val[:VERIFY_PICTURES]
    ]
    checked_by = f"onnxruntime {onnxruntime.__version__}"
    decoding = Decoding(manifest.task, manifest.schema, calibration)
    agreement = verify(backend, checked_by, reference, decoding, pictures)
    faster = verify_bfloat16(content, backend, decoding, pictures)
    verified = {} if faster is None else {BFLOAT16: faster}
    return graph, backend, calibration, Agreements(agreement, verified)


def _metrics(inputs: RunInputs, evaluation: Evaluation) -> dict[str, Any]:
    """The content of ``metrics.json``; the timing is filled in last."""
    found: dict[str, Any] = {
        "task": inputs.manifest.task,
        "split": "test",
        "n_images": len(evaluation.answers),
        "metrics": {name: metric.to_json() for name, metric in evaluation.metrics.items()},
        "timing_s": {},
        "backbone": inputs.config.backbone,
        "strategy": inputs.plan.strategy,
        "seed": inputs.config.seed,
        **tasks.spec(inputs.manifest.task).facts(inputs.manifest.schema),
    }
    if inputs.out_of_fold is not None:
        name, metric = inputs.out_of_fold
        found["out_of_fold"] = {"folds": 5, name: metric.to_json()}
    return found


def _write_model(
    inputs: RunInputs,
    graph: onnx.ModelProto,
    backend: OnnxBackend,
    calibration: Calibration,
    agreements: Agreements,
    metrics: Mapping[str, Any],
) -> None:
    manifest, network = inputs.manifest, inputs.network
    info = network.backbone.info
    description = ModelDescription(
        task=manifest.task,
        schema=manifest.schema,
        preprocess=inputs.preprocess,
        calibration=calibration,
        backbone=info.name,
        head=inputs.config.head,
        outputs=tasks.spec(manifest.task).outputs,
        seen=_seen(inputs),
        files={},
        tta=inputs.config.tta,
        details={
            "headstart_version": headstart.__version__,
            "weights": {"license": info.license, "source": info.source},
            "started_from": inputs.start.key if inputs.start else None,
            "normalisation": {**info.normalisation(), "inside_graph": True},
            "agreement": agreements.exported.to_json(),
            "verified": {name: found.to_json() for name, found in agreements.faster.items()},
            "test": {"n_images": metrics["n_images"], "metrics": metrics["metrics"]},
        },
    )
    shown = manifest.on("val")[:GOLDEN_PICTURES]
    golden = [load_input(record.path, inputs.preprocess, record.box)[0] for record in shown]
    counts = {side: len(manifest.on(side)) for side in SPLITS}
    card = model_card(description, inputs.run.path.name, counts)
    state = network.state_dict()
    write_model_folder(inputs.run.model, description, graph, state, card, (backend, golden))


def _seen(inputs: RunInputs) -> dict[str, tuple[str, ...]]:
    """Fingerprints by side, with those of the model that the run started from."""
    found: dict[str, tuple[str, ...]] = {}
    for side in SPLITS[:2]:
        new = {record.fingerprint for record in inputs.manifest.on(side)}
        old = inputs.start.description.seen[side] if inputs.start else ()
        found[side] = tuple(sorted(new.union(old)))
    return found


def _write_predictions(inputs: RunInputs, evaluation: Evaluation) -> None:
    """``predictions.jsonl``: the answer for every test picture, for further analysis."""
    manifest = inputs.manifest
    spec = tasks.spec(manifest.task)
    lines = []
    for record, answer in zip(manifest.on("test"), evaluation.answers, strict=True):
        target = spec.target_to_json(manifest.schema, record.target)
        line = {"image": record.image, "target": target, **answer}
        lines.append(json.dumps(line, ensure_ascii=False))
    write_text(inputs.run.path / "predictions.jsonl", "\n".join(lines) + "\n")


def _report(
    inputs: RunInputs, evaluation: Evaluation, metrics: Mapping[str, Any], openings: int
) -> dict[str, Any]:
    """The content of ``report.json``."""
    manifest = inputs.manifest
    name, metric = evaluation.headline
    epochs = inputs.run.read_journal()
    out_of_fold = inputs.out_of_fold
    return {
        **metrics,
        "name": inputs.run.path.name,
        "version": headstart.__version__,
        "headline": {"name": name, **metric.to_json()},
        "out_of_fold": {"text": metric_text(*out_of_fold)} if out_of_fold else None,
        "test_openings": openings,
        "findings": [finding.to_json() for finding in evaluation.findings],
        "epochs": epochs,
        "plan": inputs.plan.describe(),
        "timing_s": inputs.run.read_state()["timing_s"],
        "data": summary_rows(manifest),
        "notes": list(manifest.notes),
        "omissions": [dataclasses.asdict(omission) for omission in manifest.omissions],
    }


def _summary(inputs: RunInputs, evaluation: Evaluation) -> str:
    """What a person reads last."""
    run = inputs.run
    lines = [f"Test: {metric_text(*evaluation.headline)} on {len(evaluation.answers)} pictures"]
    if inputs.out_of_fold is not None:
        lines.append(f"5-fold out-of-fold on stored features: {metric_text(*inputs.out_of_fold)}")
    lines += [f"{f.title}: {f.text}" for f in evaluation.findings if f.spoken]
    lines += [
        f"Model   {run.model}",
        f"Report  {run.report}",
        "Next:",
        f"  headstart predict {run.model} PICTURE.jpg",
        f"  headstart evaluate {run.model} MORE_LABELLED_PICTURES/",
    ]
    return "\n".join(lines)
