"""Writes pictures that show predictions."""

from __future__ import annotations

import dataclasses
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from headstart.errors import DataError
from headstart.runtime.predictor import Answer, Model
from headstart.storage import write_bytes


class Drawer:
    """Draws answers into a folder.

    Args:
        model: that predicted.
        folder: where the pictures go; made when missing.
        paths: all pictures that will be drawn, in order; one may be there several times.

    Raises:
        DataError: a picture lies where a drawn one would go.
    """

    def __init__(self, model: Model, folder: Path, paths: Sequence[Path]) -> None:
        self._model, self._folder = model, folder
        self._stems = _unique_stems(paths)
        originals = {path.resolve() for path in paths}
        for path, stem in zip(paths, self._stems, strict=True):
            if (folder / f"{stem}.png").resolve() in originals:
                raise DataError(
                    f"drawing {path} would overwrite a picture: give --draw another folder"
                )

    def draw(self, number: int, path: Path, answer: Answer) -> Answer:
        """Writes the pictures of an answer; one without a prediction stays as it is.

        Args:
            number: of the picture, from 0.
            path: of the picture.
            answer: for it.
        """
        if answer.prediction is None:
            return answer
        drawn = []
        for ending, image in self._model.draw(path, answer.prediction).items():
            target = self._folder / f"{self._stems[number]}{ending}.png"
            buffer = io.BytesIO()
            image.save(buffer, "PNG")
            write_bytes(target, buffer.getvalue())
            drawn.append(str(target))
        return dataclasses.replace(answer, drawn=tuple(drawn))


def _unique_stems(paths: Sequence[Path]) -> list[str]:
    """A name for each picture; those of equal names get their folder's name or a number before."""
    counts = Counter(path.stem for path in dict.fromkeys(paths))
    used: set[str] = set()
    stems = []
    for path in paths:
        stem = path.stem if counts[path.stem] == 1 else f"{path.parent.name}-{path.stem}"
        name, number = stem, 2
        while name in used:
            name, number = f"{stem}-{number}", number + 1
        used.add(name)
        stems.append(name)
    return stems
