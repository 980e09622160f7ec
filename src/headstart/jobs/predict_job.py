"""Predicts for files, folders and patterns."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from pathlib import Path

from headstart.errors import DataError
from headstart.jobs.boxes import with_boxes
from headstart.jobs.drawer import Drawer
from headstart.progress import Progress, QuietProgress
from headstart.runtime.images import iter_images
from headstart.runtime.predictor import DEFAULT_BATCH, Answer, Model

LIVE_FROM = 2
"""From this many pictures on a progress bar is shown."""


def load_model(path: str | Path, *, threads: int = 0, precision: str = "fp32") -> Model:
    """Loads a model folder; ``load_model(path).predict(image)`` answers for one picture.

    Args:
        path: the model folder, such as ``runs/photos/model``.
        threads: threads of the engine; 0 uses every core.
        precision: ``fp32`` or ``bf16``, see ``predict``.

    Raises:
        ConfigError: there is no such precision.
        MissingExtraError: the precision needs OpenVINO, or another processor.
        ModelError: the folder is no model folder, a file of it is missing or altered, or the
            precision is not verified.
    """
    return Model(path, threads=threads, precision=precision)


def find_images(images: Sequence[str | Path]) -> list[Path]:
    """The files that names, folders and patterns stand for, in order, each once.

    Raises:
        DataError: a name stands for nothing; all such names are listed.
    """
    found: dict[Path, None] = {}
    wrong = []
    for image in images:
        path = Path(image)
        if path.is_dir():
            inside = list(iter_images(path))
        elif path.is_file():
            inside = [path]
        else:
            # Path.glob refuses absolute patterns.
            matches = map(Path, sorted(glob.glob(str(image), recursive=True)))  # noqa: PTH207
            inside = [match for match in matches if match.is_file()]
        if not inside:
            wrong.append(
                f"{image} holds no pictures" if path.is_dir() else f"{image} does not exist"
            )
        found.update(dict.fromkeys(inside))
    if wrong:
        raise DataError("; ".join(wrong))
    return list(found)


def predict(
    model: str | Path | Model,
    images: str | Path | Sequence[str | Path],
    *,
    top_k: int | None = None,
    batch_size: int = DEFAULT_BATCH,
    draw: str | Path | None = None,
    boxes: str | Path | None = None,
    precision: str = "fp32",
    progress: Progress | None = None,
) -> Iterator[Answer]:
    """Predicts for pictures, lazily and in order.

    Args:
        model: a model folder or a loaded model.
        images: files, folders (searched through all levels) or patterns such as ``"new/*.jpg"``.
        top_k: keep the k most probable entries of ``scores``; None keeps all.
        batch_size: pictures that go through the graph together.
        draw: folder for pictures that show the answers; made when missing. Files of an earlier call
            are replaced; the pictures themselves never are.
        boxes: CSV file with ``image,x,y,width,height`` in pixels around what is meant; a picture
            with several rows has several answers, one without a row is taken whole.
        precision: of a model folder: ``fp32``, or ``bf16`` for OpenVINO in bfloat16, which is
            faster on processors that have it. Only where ``model.json`` lists it as verified.
        progress: shows a bar; None is silent.

    Returns:
        One answer a picture; a picture that cannot be read has ``error`` instead of a prediction.

    Raises:
        DataError: a name stands for no picture.
        ModelError: the model cannot be loaded.
    """
    if isinstance(images, str | Path):
        images = [images]
    pictures = with_boxes(find_images(images), Path(boxes) if boxes is not None else None)
    paths = [path for path, _ in pictures]
    loaded = model if isinstance(model, Model) else load_model(model, precision=precision)
    drawer = Drawer(loaded, Path(draw), paths) if draw is not None else None
    shown = progress if progress is not None and len(paths) >= LIVE_FROM else QuietProgress()

    def answers() -> Iterator[Answer]:
        named = ((str(path), path, box) for path, box in pictures)
        with shown.bar("predict", len(paths)) as advance:
            found = loaded.predict_many(named, batch_size=batch_size, top_k=top_k)
            for number, (path, answer) in enumerate(zip(paths, found, strict=True)):
                advance(1)
                yield answer if drawer is None else drawer.draw(number, path, answer)

    return answers()
