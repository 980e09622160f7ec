"""Exports a model: converts, runs each file, and hands over what answers the same."""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headstart.errors import DataError, RunError
from headstart.exporting.formats.protocol import CALIBRATED, CORRECTED, Source
from headstart.exporting.handover import ExportRow, hand_over
from headstart.exporting.metadata import export_metadata
from headstart.exporting.rebuild import rebuild
from headstart.exporting.requests import Request, parse_requests
from headstart.exporting.resizers import ResizerCost, resizer_costs
from headstart.exporting.trial import Candidate, Trial, load_batches, try_files
from headstart.exporting.verdict import judge
from headstart.jobs.export_pictures import Pictures, pictures_of
from headstart.jobs.run_folder import RunFolder
from headstart.progress import Progress
from headstart.runtime.backends.onnx import OnnxBackend
from headstart.runtime.model_folder import GRAPH, ModelDescription, checked_bytes, read_description
from headstart.types import ImageArray

EXPORTED = "exported"


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What was asked for.

    Attributes:
        to: names of formats.
        precision: names of precisions.
        tolerance: percentage points of the metric that a file may lose.
        data: pictures instead of those of the run.
        out: folder for the files.
    """

    to: str | Sequence[str]
    precision: str | Sequence[str]
    tolerance: float
    data: Path | None = None
    out: Path | None = None


@dataclasses.dataclass(frozen=True)
class ExportResult:
    """What ``export`` did.

    Attributes:
        out: the folder with the accepted files.
        rows: one for each file that was asked for.
        resizers: what other ways of resizing cost the reference.
    """

    out: Path
    rows: Sequence[ExportRow]
    resizers: Sequence[ResizerCost]

    @property
    def refused(self) -> bool:
        """Whether nothing was handed over."""
        return not any(row.verdict.handed_over for row in self.rows)

    def to_json(self) -> list[dict[str, Any]]:
        """What ``export --json`` prints, one object a line."""
        resizers = [cost.to_json() for cost in self.resizers]
        return [{**row.to_json(), "resizers": resizers} for row in self.rows]


def run_export(model: Path, options: ExportOptions, progress: Progress) -> ExportResult:
    """See ``headstart.export``."""
    requests = parse_requests(options.to, options.precision, options.tolerance)
    description = read_description(model)
    graph = checked_bytes(model, description, GRAPH)
    pictures = pictures_of(model, description, options.data, progress)
    calibration = _calibration(requests, description, pictures, model)
    source = Source(model, description, graph, lambda: rebuild(model, description), calibration)
    out = options.out if options.out is not None else _usual_place(model)
    reference = OnnxBackend(graph)
    with _beside(out) as folder:
        written = _convert(requests, source, folder, progress)
        candidates = [candidate for candidate, fault in written if fault is None]
        seen = try_files(description, reference, candidates, pictures.compared, progress)
        trials = iter(seen)
        tried = [
            (candidate, trial, judge(candidate.file_format, candidate.precision, trial, tolerance))
            for candidate, fault in written
            for trial in [fault or next(trials)]
            for tolerance in [options.tolerance]
        ]
        rows = hand_over(out, model, description, tried)
    scored = [r for side in ("test", "val") for r in pictures.compared if r.split == side]
    return ExportResult(out, rows, resizer_costs(description, reference, scored, progress))


def _usual_place(model: Path) -> Path:
    """In the run folder beside the model; else beside the model, named after it."""
    if RunFolder(model.resolve().parent).splits.is_file():
        return model.parent / EXPORTED
    return model.with_name(f"{model.resolve().name}-{EXPORTED}")


def _calibration(
    requests: Sequence[Request], description: ModelDescription, pictures: Pictures, model: Path
) -> list[ImageArray]:
    """Preprocessed pictures, where a precision that was asked for can use them."""
    wanted = {precision for _, precision in requests}
    if wanted.isdisjoint(CORRECTED):
        return []
    if CALIBRATED in wanted and not pictures.calibration:
        raise DataError(
            f"--precision {CALIBRATED} needs training pictures for its ranges, and there are none: "
            f"headstart export {model} --precision {CALIBRATED} --data TRAINING-PICTURES/"
        )
    batches = load_batches(description, pictures.calibration)
    return [pixels for _, inputs in batches for pixels, _ in inputs]


def _convert(
    requests: Sequence[Request], source: Source, folder: Path, progress: Progress
) -> list[tuple[Candidate, Trial | None]]:
    """Every file that could be written, and for the others why not."""
    written: list[tuple[Candidate, Trial | None]] = []
    with progress.bar("convert", len(requests)) as advance:
        for found, precision in requests:
            metadata = export_metadata(source.description, found, precision)
            path = folder / f"model-{precision}{found.suffix}"
            candidate, fault = Candidate(found, precision, path, metadata), None
            try:
                found.convert(source, precision, path, metadata)
            except Exception as error:  # noqa: BLE001 - converters of others raise anything
                lines = str(error).strip().splitlines()
                reason = lines[0] if lines else type(error).__name__
                fault = Trial(problem=f"it cannot be converted: {reason}")
            written.append((candidate, fault))
            advance(1)
    return written


@contextmanager
def _beside(out: Path) -> Iterator[Path]:
    """A temporary folder on the same file system; nothing of it stays."""
    folder = out.parent / f".{out.name}.{uuid.uuid4().hex}.tmp"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise RunError(f"cannot write {out.parent}: {error.strerror or error}") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
