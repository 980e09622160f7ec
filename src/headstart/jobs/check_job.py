"""Audits a data set: what is wrong with its pictures and labels."""

from __future__ import annotations

import dataclasses
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import headstart
from headstart import tasks
from headstart.audit.checks import checks
from headstart.audit.material import Material
from headstart.audit.page import findings, titles
from headstart.audit.survey import Picture, look_at
from headstart.data.manifest import ParsedData, parse_data
from headstart.errors import DataError, MissingExtraError, UnreadableImageError, needing_extra
from headstart.progress import Progress, QuietProgress
from headstart.runtime.images import is_image_path, iter_images, measure, read_image
from headstart.storage import write_text
from headstart.tasks.inspection import SEVERITIES, Issue, Labelled, Severity
from headstart.types import Finding, Omission

if TYPE_CHECKING:
    from headstart.data.image_cache import ImageCache

DRAWN = 480
"""Longest side of a picture with its target, in pixels."""


@dataclasses.dataclass(frozen=True)
class CheckResult:
    """What ``check`` found.

    Attributes:
        data: what was looked at.
        root: folder that the pictures' names are relative to.
        task: name of the task; None where the layout or the labels are not understood.
        n_images: files that were looked at.
        issues: errors first; within a check the worst first.
        skipped: reasons by check, for those that could not run or not wholly.
        parsed: the data set, for drawing targets; None where its layout is not understood.
    """

    data: Path
    root: Path
    task: str | None
    n_images: int
    issues: tuple[Issue, ...]
    skipped: Mapping[str, str]
    parsed: ParsedData | None = dataclasses.field(default=None, repr=False)

    def count(self, severity: Severity) -> int:
        """Number of issues of a severity."""
        return sum(issue.severity == severity for issue in self.issues)

    def to_json(self) -> dict[str, Any]:
        """What ``check --json`` prints."""
        return {
            "data": str(self.data),
            "task": self.task,
            "n_images": self.n_images,
            "issues": [issue.to_json() for issue in self.issues],
            "skipped": dict(self.skipped),
        }

    def write_page(self, path: str | Path) -> Path:
        """Writes a page that shows the pictures; returns its path.

        Raises:
            MissingExtraError: the extra ``train`` is not installed.
            RunError: the file cannot be written.
        """
        with needing_extra("A page with the pictures", "train"):
            from headstart.evaluation.report import render_page
        sections = findings(self.issues, titles(checks()), self._about_targets)
        report: dict[str, Any] = {
            "name": self.data.resolve().name,
            "task": self.task,
            "n_images": self.n_images,
            "version": headstart.__version__,
            "counts": {severity: self.count(severity) for severity in SEVERITIES},
            "notes": [f"{name}: {reason}" for name, reason in self.skipped.items()],
            "findings": sections,
            "shown": "its target drawn in",
        }
        target = Path(path)
        with tempfile.TemporaryDirectory() as folder:
            report["drawn"] = self._draw(sections, Path(folder))
            write_text(target, render_page("check", report, self.root, Path(folder)))
        return target

    @property
    def _about_targets(self) -> frozenset[str]:
        """Checks that a task makes of its targets: the pictures alone do not show what is meant."""
        known = titles(checks())
        return frozenset(i.check for i in self.issues if i.images and i.check not in known)

    def _draw(self, sections: Sequence[Finding], folder: Path) -> dict[str, str]:
        """Draws the targets of pictures; names of the files by picture."""
        if self.parsed is None:
            return {}
        spec, schema = tasks.spec(self.parsed.task), self.parsed.schema
        wanted = {image for section in sections for image, _ in section.compared}
        drawn: dict[str, str] = {}
        for annotation, target in self.parsed.entries:
            if annotation.image not in wanted or annotation.image in drawn:
                continue
            try:
                frame = measure(annotation.path)
                pixels = read_image(annotation.path)
                fitted = spec.fit(target, frame, self.parsed.options)
            except (DataError, UnreadableImageError):
                continue
            image = spec.draw(pixels, spec.truth(schema, fitted), schema)[""]
            image.thumbnail((DRAWN, DRAWN))
            drawn[annotation.image] = f"{len(drawn)}.jpg"
            image.save(folder / drawn[annotation.image], quality=88)
        return drawn


def check(
    data: str | Path, *, task: str | None = None, progress: Progress | None = None
) -> CheckResult:
    """Looks for what is wrong with a data set; changes nothing.

    Args:
        data: folder or file with pictures, in any known layout; a folder of another layout is
            searched for pictures, of which only the files are checked.
        task: name of the task; None infers it.
        progress: told what happens; None is silent.

    Raises:
        DataError: there is no picture.
    """
    shown = progress or QuietProgress()
    where = Path(data)
    if not where.exists():
        raise DataError(f"{where} does not exist")
    problem = None
    parsed = None
    try:
        parsed = parse_data(where, task=task)
    except DataError as error:
        problem = Issue("layout", "error", (), str(error))
    files, omissions = _files(where, parsed)
    if not files:
        raise DataError(f"{where} holds no picture" + (f": {problem.message}" if problem else ""))
    cache = _picture_cache()
    pictures = look_at(files, cache, shown)
    labelled, unfit = _labelled(parsed, pictures)
    material = Material(
        root=parsed.root if parsed else where,
        pictures=pictures,
        labelled=tuple(labelled),
        omissions=(*omissions, *unfit),
        task=parsed.task if parsed else None,
        schema=parsed.schema if parsed else None,
        images=cache,
        progress=shown,
    )
    issues, skipped = _run(material)
    if problem is not None:
        issues.insert(0, problem)
    issues.sort(key=lambda issue: SEVERITIES.index(issue.severity))
    found = Counter(picture.image for picture in pictures)
    return CheckResult(
        where, material.root, material.task, len(found), tuple(issues), skipped, parsed
    )


def _run(material: Material) -> tuple[list[Issue], dict[str, str]]:
    issues: list[Issue] = []
    skipped: dict[str, str] = {}
    for one in checks():
        try:
            issues.extend(one.run(material))
        except (MissingExtraError, DataError) as error:
            skipped[one.name] = str(error)
    return issues, skipped


def _files(where: Path, parsed: ParsedData | None) -> tuple[dict[Path, str], list[Omission]]:
    """Every picture by path, and what was left out for reasons other than the picture itself."""
    if parsed is None:
        root = where if where.is_dir() else where.parent
        return {path: path.relative_to(root).as_posix() for path in iter_images(root)}, []
    files = {annotation.path: annotation.image for annotation, _ in parsed.entries}
    for omission in parsed.omissions:
        path = parsed.root / omission.image
        if is_image_path(path) and path.is_file():
            files.setdefault(path, omission.image)
    return files, list(parsed.omissions)


def _labelled(
    parsed: ParsedData | None, pictures: tuple[Picture, ...]
) -> tuple[list[Labelled], list[Omission]]:
    """Annotations of readable pictures; those that cannot belong to their picture are named."""
    labelled: list[Labelled] = []
    unfit: list[Omission] = []
    if parsed is None:
        return labelled, unfit
    spec = tasks.spec(parsed.task)
    frames = {picture.path: picture.frame for picture in pictures if picture.error is None}
    for annotation, target in parsed.entries:
        frame = frames.get(annotation.path)
        if frame is None:
            continue
        labelled.append(
            Labelled(annotation.image, target, frame, annotation.split, annotation.group)
        )
        try:
            spec.fit(target, frame, parsed.options)
        except DataError as error:
            unfit.append(Omission(annotation.image, str(error)))
    return labelled, unfit


def _picture_cache() -> ImageCache | None:
    """Decoded pictures are kept where they will be needed again: with the extra ``train``."""
    try:
        with needing_extra("", "train"):
            from headstart.audit.features import picture_cache
    except MissingExtraError:
        return None
    return picture_cache()
