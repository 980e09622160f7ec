"""Tiny picture sets for tests: shapes whose class and number can be learned, in every layout.

Everything is a function of its arguments, so that the same call writes the same bytes.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from headstart.types import ImageArray, Size

KINDS = ("disc", "square", "stripes")
"""Classes; colour and shape both tell them apart."""

SIZE: Size = (48, 64)
"""(height, width) in pixels."""

_COLOURS: Mapping[str, tuple[int, int, int]] = {
    "disc": (210, 50, 40),
    "square": (50, 180, 70),
    "stripes": (60, 80, 210),
}


def make_picture(kind: str, seed: int, size: Size = SIZE) -> ImageArray:
    """A shape of one of ``KINDS`` at a random place on noise: (*size, 3), uint8, RGB."""
    random = np.random.default_rng([KINDS.index(kind), seed])
    height, width = size
    pixels = random.integers(90, 150, (height, width, 3))
    rows, columns = np.mgrid[0:height, 0:width]
    radius = min(size) * random.uniform(0.25, 0.4)
    middle = random.uniform(0.4, 0.6, 2) * size
    mask = _shape(kind, rows - middle[0], columns - middle[1], radius)
    pixels[mask] = np.asarray(_COLOURS[kind]) + random.integers(-30, 31, 3)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def _shape(
    kind: str, rows: npt.NDArray[np.float64], columns: npt.NDArray[np.float64], radius: float
) -> npt.NDArray[np.bool_]:
    if kind == "disc":
        return rows**2 + columns**2 < radius**2
    inside = (abs(rows) < radius) & (abs(columns) < radius)
    return inside if kind == "square" else inside & (rows // 3 % 2 == 0)


def make_grey(value: float, seed: int, size: Size = SIZE) -> ImageArray:
    """A picture whose brightness is ``value`` (0 black, 1 white) plus noise: for regression."""
    noise = np.random.default_rng([99, seed]).integers(-20, 21, (*size, 3))
    return np.clip(255 * value + noise, 0, 255).astype(np.uint8)


def write_picture(path: Path, pixels: ImageArray) -> Path:
    """Writes an array in the format of the path's ending; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def write_class_folders(
    root: Path,
    counts: Mapping[str, int] | int = 12,
    *,
    size: Size = SIZE,
    first_seed: int = 0,
    suffix: str = ".png",
) -> Path:
    """Writes ``root/<class>/000.png`` and so on.

    Args:
        root: folder to write.
        counts: pictures by class, or a number for each of ``KINDS``.
        size: (height, width) in pixels.
        first_seed: seed of each class's first picture: other seeds are other pictures.
        suffix: ending, which chooses the format.
    """
    wanted = dict.fromkeys(KINDS, counts) if isinstance(counts, int) else counts
    for kind, count in wanted.items():
        for at in range(count):
            pixels = make_picture(kind, first_seed + at, size)
            write_picture(root / kind / f"{at:03}{suffix}", pixels)
    return root


def write_split_folders(
    root: Path, counts: Mapping[str, Mapping[str, int] | int], *, size: Size = SIZE
) -> Path:
    """Writes ``root/<side>/<class>/000.png``: ``{"train": 8, "test": 4}`` for each class.

    No picture is on two sides.
    """
    for position, (side, wanted) in enumerate(counts.items()):
        write_class_folders(root / side, wanted, size=size, first_seed=1000 * position)
    return root


def write_csv(
    root: Path,
    rows: Iterable[Mapping[str, object]],
    *,
    name: str = "labels.csv",
    delimiter: str = ",",
    encoding: str = "utf-8",
) -> Path:
    """Writes a table whose header is the keys of the first row; returns its path."""
    listed: Sequence[Mapping[str, object]] = list(rows)
    root.mkdir(parents=True, exist_ok=True)
    with (root / name).open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, list(listed[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(listed)
    return root / name


def write_class_table(
    root: Path, counts: Mapping[str, int] | int = 12, *, size: Size = SIZE, **options: str
) -> Path:
    """Writes pictures and ``labels.csv`` with the columns ``image`` and ``label``."""
    wanted = dict.fromkeys(KINDS, counts) if isinstance(counts, int) else counts
    rows = []
    for kind, count in wanted.items():
        for at in range(count):
            image = f"images/{kind}-{at:03}.png"
            write_picture(root / image, make_picture(kind, at, size))
            rows.append({"image": image, "label": kind})
    return write_csv(root, rows, **options)


def write_named_files(root: Path, count: int = 12, *, size: Size = SIZE) -> Path:
    """Writes ``images/<class>_<number>.png`` and a ``dataset.yaml`` that says how to read them."""
    for kind in KINDS:
        for at in range(count):
            write_picture(root / f"images/{kind}_{at}.png", make_picture(kind, at, size))
    text = "label_from: '([^/]+)_[0-9]+[.]png$'\n"
    (root / "dataset.yaml").write_text(text, encoding="utf-8")
    return root


def write_number_table(
    root: Path, count: int = 36, *, size: Size = SIZE, column: str = "brightness", **options: str
) -> Path:
    """Writes pictures and ``labels.csv`` with ``image`` and a number that the picture shows."""
    rows = []
    for at in range(count):
        value = round(0.1 + 0.8 * at / max(1, count - 1), 4)
        image = f"images/{at:03}.png"
        write_picture(root / image, make_grey(value, at, size))
        rows.append({"image": image, column: value})
    return write_csv(root, rows, **options)


def make_mask(kind: str, seed: int, size: Size = SIZE) -> npt.NDArray[np.uint8]:
    """The mask of ``make_picture``: (*size), uint8, 0 around the shape, 1 + its kind inside."""
    random = np.random.default_rng([KINDS.index(kind), seed])
    random.integers(90, 150, (*size, 3))  # the noise, drawn first there too
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]]
    radius = min(size) * random.uniform(0.25, 0.4)
    middle = random.uniform(0.4, 0.6, 2) * size
    shape = _shape(kind, rows - middle[0], columns - middle[1], radius)
    return np.where(shape, 1 + KINDS.index(kind), 0).astype(np.uint8)


def write_mask(
    path: Path,
    values: npt.ArrayLike,
    *,
    palette: Sequence[tuple[int, int, int]] | None = None,
    **options: object,
) -> Path:
    """Writes a mask in the format of the path's ending; folders are made.

    Args:
        path: file to write.
        values: (h, w) or (h, w, 3); uint8 unless it is an array of another kind.
        palette: red, green, blue of 0, 1, ...; makes a picture with a palette of values (h, w).
        options: of Pillow's ``save``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = values if isinstance(values, np.ndarray) else np.asarray(values, dtype=np.uint8)
    image = Image.fromarray(kept)
    if palette is not None:
        image.putpalette([channel for colour in palette for channel in colour])
    image.save(path, **options)
    return path


def write_mask_folders(
    root: Path, counts: Mapping[str, int] | int = 12, *, size: Size = SIZE, first_seed: int = 0
) -> Path:
    """Writes ``images/<class>-000.jpg``, ``masks/<class>-000.png`` and ``classes.txt``."""
    wanted = dict.fromkeys(KINDS, counts) if isinstance(counts, int) else counts
    for kind, count in wanted.items():
        for at in range(count):
            seed = first_seed + at
            write_picture(root / f"images/{kind}-{at:03}.jpg", make_picture(kind, seed, size))
            write_mask(root / f"masks/{kind}-{at:03}.png", make_mask(kind, seed, size))
    (root / "classes.txt").write_text("\n".join(["background", *KINDS]) + "\n", encoding="utf-8")
    return root


def real_data(name: str) -> Path:
    """A data set in the folder ``HEADSTART_TEST_DATA``; without it the test is skipped."""
    folder = os.environ.get("HEADSTART_TEST_DATA")
    if not folder or not (Path(folder) / name).is_dir():
        pytest.skip(f"needs the data set {name} in the folder that HEADSTART_TEST_DATA names")
    return Path(folder) / name


def write_label_table(root: Path, count: int = 60, *, size: Size = SIZE) -> Path:
    """Writes pictures of up to two shapes beside each other, and ``image,labels``; some have none.

    Args:
        root: folder to write.
        count: pictures.
        size: (height, width) of each shape in pixels; the picture is twice as wide.
    """
    sets = ((), ("disc",), ("square",), ("disc", "square"), ("stripes",), ("stripes", "disc"))
    rows = []
    for at in range(count):
        kinds = sets[at % len(sets)]
        noise = np.random.default_rng([7, at]).integers(90, 150, (*size, 3)).astype(np.uint8)
        parts = [make_picture(kind, at, size) for kind in kinds] + [noise, noise]
        write_picture(root / f"{at:03}.png", np.concatenate(parts[:2], axis=1))
        rows.append({"image": f"{at:03}.png", "labels": "|".join(kinds)})
    return write_csv(root, rows)
