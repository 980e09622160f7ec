"""Runs written files beside the reference on pictures: how far they agree, and what it costs."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from headstart import tasks
from headstart.errors import HeadstartError, MissingExtraError
from headstart.exporting.differences import Differences
from headstart.exporting.formats.protocol import Format
from headstart.progress import Progress
from headstart.runtime.backends import Backend
from headstart.runtime.model_folder import ModelDescription
from headstart.runtime.predictor import DEFAULT_BATCH, Input, load_input
from headstart.storage import cpu_count
from headstart.tasks.metrics import bootstrap
from headstart.types import ImageArray, Metric, Outputs, Record, Split

LATENCY_ROUNDS = 15
SCORED: tuple[Split, ...] = ("val", "test")


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A written file that may be handed over.

    Attributes:
        file_format: of the file.
        precision: of the file.
        path: where it was written for the trial.
        metadata: that was to be written into it.
    """

    file_format: Format
    precision: str
    path: Path
    metadata: Mapping[str, Any]

    @property
    def files(self) -> tuple[Path, ...]:
        """The file and its companions."""
        suffixes = self.file_format.companions
        return (self.path, *(self.path.with_suffix(suffix) for suffix in suffixes))


@dataclasses.dataclass(frozen=True)
class Drop:
    """What a file loses on labelled pictures of one side, beside the reference on the same ones.

    Attributes:
        metric: name of the metric.
        value: of the file.
        reference: of the reference.
        points: the loss in percentage points, of the spread of the targets where the metric is not
            a share; positive is worse. Its interval is that of a paired bootstrap at 95 %.
        n: pictures.
    """

    metric: str
    value: float
    reference: float
    points: Metric
    n: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "value": _known(self.value),
            "reference": _known(self.reference),
            "drop_points": _known(self.points.value),
            "low": _known(self.points.low),
            "high": _known(self.points.high),
            "n_images": self.n,
        }


@dataclasses.dataclass(frozen=True)
class Trial:
    """What was seen of a file.

    Attributes:
        n: pictures on which answers were compared.
        agreement: mean over pictures of ``TaskSpec.agreement`` with the reference, 0 to 1.
        difference: largest difference of an output, relative to its size where that is above 1.
        shift: see ``Differences.shift``.
        drops: on the sides that have labels.
        latency_ms: median of one picture at a time.
        size_bytes: of the file and its companions.
        problem: why it could not be run to the end, or what its metadata says wrong.
        unchecked: why it cannot be run here, where that is not its fault.
    """

    n: int = 0
    agreement: float = float("nan")
    difference: float = float("nan")
    shift: float = float("nan")
    drops: Mapping[Split, Drop] = dataclasses.field(default_factory=dict)
    latency_ms: float | None = None
    size_bytes: int = 0
    problem: str | None = None
    unchecked: str | None = None


class _Watch:
    """What is remembered of one file, or of the reference, while pictures go through it."""

    def __init__(self) -> None:
        self.observed: dict[str, list[Outputs]] = {side: [] for side in SCORED}
        self.agreements: list[float] = []
        self.differences = Differences()
        self.problem: str | None = None


def try_files(
    description: ModelDescription,
    reference: Backend,
    candidates: Sequence[Candidate],
    records: Sequence[Record],
    progress: Progress,
) -> list[Trial]:
    """Runs files as written, all on the same pictures, beside the reference.

    Args:
        description: of the model.
        reference: runs ``model.onnx`` in float32.
        candidates: the files.
        records: pictures; those of the sides ``val`` and ``test`` with a target are scored.
        progress: shows a bar.

    Returns:
        What was seen of each file, in order. A file that fails is a finding, not an error.
    """
    opened = [_opened(candidate) for candidate in candidates]
    watches = [_Watch() for _ in candidates]
    base = _Watch()
    running = [
        (backend, watch)
        for (backend, _), watch in zip(opened, watches, strict=True)
        if backend is not None
    ]
    example: ImageArray | None = None
    with progress.bar("compare", len(records)) as advance:
        for batch, inputs in load_batches(description, records):
            pixels = np.stack([pixels for pixels, _ in inputs])
            example = pixels[:1]
            _run_batch(description, reference, base, running, batch, inputs)
            advance(len(batch))
    scored = {side: [r for r in records if r.split == side] for side in SCORED}
    latencies = _latencies(reference, [b for b, w in running if not w.problem], example)
    trials = []
    for candidate, (backend, fault), watch in zip(candidates, opened, watches, strict=True):
        size = sum(path.stat().st_size for path in candidate.files if path.is_file())
        if fault is not None:
            trials.append(dataclasses.replace(fault, size_bytes=size))
            continue
        problem = watch.problem or _metadata_problem(candidate)
        drops = {} if watch.problem else _drops(description, base, watch, scored)
        trials.append(
            Trial(
                n=len(watch.agreements),
                agreement=float(np.mean(watch.agreements)) if watch.agreements else float("nan"),
                difference=watch.differences.largest,
                shift=watch.differences.shift,
                drops=drops,
                latency_ms=latencies.get(id(backend)),
                size_bytes=size,
                problem=problem,
            )
        )
    return trials


def load_batches(
    description: ModelDescription, records: Sequence[Record]
) -> Iterator[tuple[Sequence[Record], list[Input]]]:
    """Preprocessed pictures of original files, a batch at a time.

    Raises:
        UnreadableImageError: a file became unreadable.
    """

    def load(record: Record) -> Input:
        return load_input(record.path, description.preprocess, record.box)

    with ThreadPoolExecutor(cpu_count()) as pool:
        for start in range(0, len(records), DEFAULT_BATCH):
            batch = records[start : start + DEFAULT_BATCH]
            yield batch, list(pool.map(load, batch))


def _opened(candidate: Candidate) -> tuple[Backend | None, Trial | None]:
    """What runs the file, or what was seen instead."""
    try:
        return candidate.file_format.open(candidate.path), None
    except MissingExtraError as error:
        return None, Trial(unchecked=str(error))
    except HeadstartError as error:
        return None, Trial(problem=str(error))


def _run_batch(
    description: ModelDescription,
    reference: Backend,
    base: _Watch,
    running: Sequence[tuple[Backend, _Watch]],
    records: Sequence[Record],
    inputs: Sequence[Input],
) -> None:
    pixels = np.stack([pixels for pixels, _ in inputs])
    spec = tasks.spec(description.task)
    geometries = [geometry for _, geometry in inputs]

    def answers(outputs: Outputs) -> list[Any]:
        known = description.schema, description.calibration
        return spec.decode(outputs, *known, geometries=geometries)

    expected = reference.run(pixels)
    wanted = answers(expected)
    _observe(description, base, expected, wanted, records)
    for backend, watch in running:
        if watch.problem:
            continue
        try:
            found = backend.run(pixels)
            watch.differences.compare(found, expected)
            decoded = answers(found)
        except Exception as error:  # noqa: BLE001 - an engine may raise anything for a broken file
            lines = str(error).strip().splitlines()
            watch.problem = f"cannot be run: {lines[0] if lines else type(error).__name__}"
            continue
        watch.agreements += map(spec.agreement, decoded, wanted)
        _observe(description, watch, found, decoded, records)


def _observe(
    description: ModelDescription,
    watch: _Watch,
    outputs: Outputs,
    answers: Sequence[Any],
    records: Sequence[Record],
) -> None:
    """Keeps what scores need of the pictures that are scored."""
    scorer = tasks.scorer(description.task)
    for side in SCORED:
        at = [n for n, r in enumerate(records) if r.split == side and r.target is not None]
        if at:
            part = {name: values[at] for name, values in outputs.items()}
            chosen, kept = [answers[n] for n in at], [records[n] for n in at]
            watch.observed[side].append(scorer.observe(part, chosen, kept, description.schema))


def _drops(
    description: ModelDescription,
    base: _Watch,
    watch: _Watch,
    scored: Mapping[Split, Sequence[Record]],
) -> dict[Split, Drop]:
    found: dict[Split, Drop] = {}
    for side, records in scored.items():
        labelled = [record for record in records if record.target is not None]
        if labelled:
            found[side] = paired_drop(
                description, _joined(base.observed[side]), _joined(watch.observed[side]), labelled
            )
    return found


def paired_drop(
    description: ModelDescription, reference: Outputs, other: Outputs, records: Sequence[Record]
) -> Drop:
    """What is lost between two sets of outputs for the same pictures.

    Args:
        description: of the model.
        reference: observed of the reference.
        other: observed of the other one.
        records: the pictures, with targets.
    """
    scorer = tasks.scorer(description.task)
    known = records, description.schema, description.calibration
    before, after = scorer.headline(reference, *known), scorer.headline(other, *known)
    sign = 100.0 / before.unit * (1.0 if before.better == "higher" else -1.0)
    points = bootstrap(lambda at: sign * (before.of(at) - after.of(at)), records, "lower")
    everything = np.arange(len(records))
    return Drop(before.name, after.of(everything), before.of(everything), points, len(records))


def _known(value: float | None) -> float | None:
    """The value, or None where there is none: JSON knows no NaN."""
    return value if value is not None and math.isfinite(value) else None


def _joined(parts: Sequence[Outputs]) -> Outputs:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _metadata_problem(candidate: Candidate) -> str | None:
    """What the file says of itself that is not what was to be written."""
    try:
        found = candidate.file_format.metadata(candidate.path)
    except HeadstartError as error:
        return str(error)
    wrong = sorted(
        key
        for key in candidate.metadata.keys() | found.keys()
        if key not in found or candidate.metadata.get(key) != found[key]
    )
    if not wrong:
        return None
    return f"its metadata was changed on the way: {', '.join(wrong)}"


def _latencies(
    reference: Backend, backends: Sequence[Backend], example: ImageArray | None
) -> dict[int, float]:
    """Median milliseconds for one picture, by ``id``; in turns, so that a busy moment hits all."""
    if example is None:
        return {}
    everyone = [reference, *backends]
    times: dict[int, list[float]] = {id(backend): [] for backend in everyone}
    for backend in everyone:
        backend.run(example)
    for _ in range(LATENCY_ROUNDS):
        for backend in everyone:
            start = time.perf_counter()
            backend.run(example)
            times[id(backend)].append(time.perf_counter() - start)
    return {key: 1000.0 * statistics.median(values) for key, values in times.items()}
