"""A model that answers: pictures in, predictions out."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from headstart import tasks
from headstart.errors import ConfigError, ModelError, UnreadableImageError
from headstart.parallel import map_ahead
from headstart.runtime import model_folder
from headstart.runtime.backends import Backend
from headstart.runtime.backends.onnx import OnnxBackend
from headstart.runtime.images import ImageSource, measure, read_image
from headstart.runtime.preprocess import Preprocess
from headstart.storage import cpu_count
from headstart.tasks.protocol import Prediction
from headstart.types import Box, Geometry, ImageArray, Outputs

DEFAULT_BATCH = 8

AT_ONCE = 2
"""Batches that are run at once: threads that share one wait for each other at every layer."""

BFLOAT16 = "bf16"
"""The precision beside fp32 in which a model may be run."""

Input = tuple[ImageArray, Geometry]
"""What goes into the graph, and how the picture lies in it."""

Picture = tuple[str, ImageSource, Box | None]


@dataclasses.dataclass(frozen=True)
class Answer:
    """What became of one picture: a prediction, or the reason why there is none.

    Attributes:
        image: name of the picture.
        task: name of the task.
        prediction: the answer, or None.
        error: why there is none.
        drawn: files that show it.
        box: around what is meant; None for the whole picture.
    """

    image: str
    task: str
    prediction: Prediction | None
    error: str | None = None
    drawn: tuple[str, ...] = ()
    box: Box | None = None

    def to_json(self) -> dict[str, Any]:
        """One line of ``predict --json``."""
        box = {"box": list(self.box)} if self.box else {}
        if self.prediction is None:
            return {"image": self.image, **box, "error": self.error}
        drawn = {"drawn": list(self.drawn)} if self.drawn else {}
        found = self.prediction.to_json()
        return {"image": self.image, "task": self.task, **box, **found, **drawn}


class Model:
    """A trained model, ready to predict; made by ``headstart.load_model``.

    Args:
        folder: the model folder.
        threads: threads of the engine; 0 uses every core.
        precision: ``fp32``, or ``bf16``: OpenVINO in bfloat16, where training has found on
            validation pictures that it answers the same.

    Raises:
        MissingExtraError: OpenVINO is not installed, or the processor has no bfloat16.
        ModelError: the folder is no model folder, or a file of it is missing or altered, or the
            precision is not verified.
    """

    def __init__(self, folder: str | Path, *, threads: int = 0, precision: str = "fp32") -> None:
        self.folder = Path(folder)
        self.description = model_folder.read_description(self.folder)
        graph = model_folder.checked_bytes(self.folder, self.description, model_folder.GRAPH)
        self.backend: Backend
        if precision == "fp32":
            self.backend = OnnxBackend(graph, threads)
        else:
            self._check_verified(precision)
            from headstart.runtime.backends.openvino import OpenVinoBackend

            self.backend = OpenVinoBackend(graph, threads, bfloat16=True)
        self._spec = tasks.spec(self.description.task)

    def _check_verified(self, precision: str) -> None:
        if precision != BFLOAT16:
            raise ConfigError([f"--precision must be fp32 or {BFLOAT16}, got {precision!r}"])
        if precision not in self.description.details.get("verified", {}):
            raise ModelError(
                f"{self.folder} does not list {precision} as verified on its own pictures: leave "
                "--precision out, or train again with the extra openvino on a processor with "
                "bfloat16"
            )

    def predict(
        self, image: ImageSource, *, box: Box | None = None, top_k: int | None = None
    ) -> Prediction:
        """The answer for one picture.

        Args:
            image: a path, the bytes of a file, a Pillow image, or an array (h, w, 3), uint8, RGB.
            box: (x, y, width, height) in pixels around what is meant; None for the whole picture.
            top_k: keep the k most probable entries of ``scores``; None keeps all.

        Raises:
            UnreadableImageError: the picture cannot be decoded.
        """
        pixels, geometry = load_input(image, self.description.preprocess, box)
        return self._decode(self.backend.run(pixels[None]), [geometry], top_k)[0]

    def predict_many(
        self,
        images: Iterable[tuple[str, ImageSource] | tuple[str, ImageSource, Box | None]],
        *,
        batch_size: int = DEFAULT_BATCH,
        top_k: int | None = None,
    ) -> Iterator[Answer]:
        """Answers in the order of the pictures; an unreadable one is answered with its error.

        Args:
            images: (name in the answer, picture), or with a box around what is meant in it.
            batch_size: pictures that go through the graph together.
            top_k: keep the k most probable entries of ``scores``; None keeps all.
        """
        known = self.description
        named = ((name, source, *(rest or (None,))) for name, source, *rest in images)
        for batch in _run_batches(self.backend, named, known.preprocess, batch_size):
            found = iter(self._decode(batch.outputs, batch.geometries, top_k))
            for (name, _, box), item in zip(batch.pictures, batch.inputs, strict=True):
                if isinstance(item, tuple):
                    yield Answer(name, known.task, next(found), box=box)
                else:
                    yield Answer(name, known.task, None, str(item), box=box)

    def draw(self, image: ImageSource, prediction: Prediction) -> Mapping[str, Image.Image]:
        """Pictures that show a prediction: see ``TaskSpec.draw``.

        Args:
            image: the picture that was predicted for.
            prediction: made by ``predict``.

        Raises:
            UnreadableImageError: the picture cannot be decoded.
        """
        known = self.description
        pixels = read_image(image, white_level=known.preprocess.white_level)
        return self._spec.draw(pixels, prediction, known.schema)

    def _decode(
        self, outputs: Outputs, geometries: Sequence[Geometry], top_k: int | None
    ) -> list[Prediction]:
        if not geometries:
            return []
        known = self.description
        return self._spec.decode(
            outputs, known.schema, known.calibration, geometries=geometries, top_k=top_k
        )


def load_input(image: ImageSource, preprocess: Preprocess, box: Box | None = None) -> Input:
    """Reads and preprocesses one picture, or what a box in it means.

    Returns:
        The input (height, width, 3), uint8, RGB, and how the picture lies in it; original there
        means the picture's own size, at which it need not have been decoded.

    Raises:
        UnreadableImageError: the picture cannot be decoded.
    """
    # What a box means may be a small part: then the picture is decoded at its own size.
    at_least = preprocess.decode_size if box is None else None
    pixels = read_image(image, at_least=at_least, white_level=preprocess.white_level)
    placed, geometry = preprocess.apply(pixels, box)
    if isinstance(image, str | Path | bytes):
        # A JPEG may have been decoded smaller than it is.
        original = measure(image if isinstance(image, bytes) else Path(image)).size
        geometry = geometry.seen_from(original)
    return placed, geometry


def run_paths(
    backend: Backend,
    pictures: Sequence[tuple[Path, Box | None]],
    preprocess: Preprocess,
    *,
    batch_size: int = DEFAULT_BATCH,
) -> Iterator[tuple[Outputs, list[Geometry]]]:
    """The graph's outputs for original files, batch by batch; how every score is computed.

    Args:
        backend: runs the graph.
        pictures: files, and boxes around what is meant in them.
        preprocess: the model's resize rule.
        batch_size: pictures that go through the graph together.

    Yields:
        The outputs of the next pictures, and how these lie in the graph's input.

    Raises:
        UnreadableImageError: a file became unreadable since it was listed; names it.
    """
    named = ((str(path), path, box) for path, box in pictures)
    for batch in _run_batches(backend, named, preprocess, batch_size):
        for (name, _, _), item in zip(batch.pictures, batch.inputs, strict=True):
            if isinstance(item, UnreadableImageError):
                raise UnreadableImageError(f"{name} {item}")
        yield batch.outputs, batch.geometries


@dataclasses.dataclass(frozen=True)
class _Batch:
    """Pictures, what goes into the graph or why nothing does, and the outputs for what did."""

    pictures: Sequence[Picture]
    inputs: Sequence[Input | UnreadableImageError]
    outputs: Outputs

    @property
    def geometries(self) -> list[Geometry]:
        return [item[1] for item in self.inputs if isinstance(item, tuple)]


def _run_batches(
    backend: Backend, images: Iterable[Picture], preprocess: Preprocess, batch_size: int
) -> Iterator[_Batch]:
    """Batches in order; while the caller has one, the next are decoded and run."""

    def load(picture: Picture) -> Input | UnreadableImageError:
        _, image, box = picture
        try:
            return load_input(image, preprocess, box)
        except UnreadableImageError as error:
            return error

    def run(loading: Sequence[tuple[Picture, Future[Input | UnreadableImageError]]]) -> _Batch:
        inputs = [future.result() for _, future in loading]
        good = [item[0] for item in inputs if isinstance(item, tuple)]
        outputs = backend.run(np.stack(good)) if good else {}
        return _Batch([picture for picture, _ in loading], inputs, outputs)

    with ThreadPoolExecutor(cpu_count()) as loaders:
        loading = ((picture, loaders.submit(load, picture)) for picture in images)
        batches = iter(lambda: list(islice(loading, batch_size)), [])
        yield from map_ahead(run, batches, threads=AT_ONCE, ahead=AT_ONCE)
