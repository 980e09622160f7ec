"""Data sets of the comparisons: which pictures train and test, and generated ones."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.data.manifest import build_manifest
from headstart.progress import QuietProgress
from runner.peers import Rows

BYTES_A_PICTURE = 120_000
"""Of disk while a generated picture is trained on: file, decoded copy, one stored view; doubled."""


class NoRoomError(Exception):
    """The disk has too little room."""


def sides_of(data: Path) -> tuple[Rows, Rows]:
    """Training and test pictures of a data set for classification that names its test pictures.

    What headstart leaves out (unreadable files, copies) is left out for everybody.

    Raises:
        ValueError: it names no test pictures.
    """
    manifest = build_manifest(data.resolve(), progress=QuietProgress())
    names = manifest.schema.classes
    sides: dict[bool, list[tuple[str, str]]] = {False: [], True: []}
    for record in manifest.records:
        path = str(record.path.resolve())
        sides[record.split == "test"].append((path, str(names[record.target])))
    if not sides[True] or not sides[False]:
        raise ValueError(f"{data} must say which pictures train and which test (train/ and test/)")
    return sides[False], sides[True]


def write_weights(path: Path) -> list[float]:
    """Writes the starting weights under timm's keys, once, in a process that then ends.

    Returns:
        The first pooled features of the protocol's picture, which every peer must find.
    """
    program = Path(__file__).with_name("convert_weights.py")
    done = subprocess.run(
        [sys.executable, str(program), str(path)], check=True, capture_output=True, text=True
    )
    found: list[float] = json.loads(done.stdout)["features"]
    return found


def write_pictures(
    root: Path, counts: Sequence[int], *, classes: int = 2, side: int = 96, first: int = 0
) -> None:
    """Writes small JPEG files, all different: ``root/class-0/000000.jpg`` and so on.

    Their class is a colour under coarse noise, so that it can be learned.

    Args:
        root: folder to write.
        counts: pictures of each class.
        classes: number of classes.
        side: of the pictures in pixels.
        first: number of the first picture; pictures of other numbers differ.
    """
    for number in range(classes):
        folder = root / f"class-{number}"
        folder.mkdir(parents=True, exist_ok=True)
        hue = np.random.default_rng([number, 7]).integers(40, 216, 3)
        for picture in range(first, first + counts[number]):
            (folder / f"{picture:06}.jpg").write_bytes(_encoded(hue, (number, picture), side))


def _encoded(hue: np.ndarray, seed: tuple[int, int], side: int) -> bytes:
    noise = np.random.default_rng(seed).integers(-70, 71, (12, 12, 3))
    small = np.clip(hue + noise, 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    picture = Image.fromarray(small).resize((side, side), Image.Resampling.BILINEAR)
    picture.save(stream, "jpeg", quality=80)
    return stream.getvalue()


def write_tiny(root: Path) -> Path:
    """Two classes of eight training and four test pictures: to see whether a peer runs."""
    write_pictures(root / "train", [8, 8])
    write_pictures(root / "test", [4, 4], first=100)
    return root


def need_room(folder: Path, pictures: int) -> None:
    """Checks the disk before a large generated data set is written.

    Raises:
        NoRoomError: says what is there and what is needed.
    """
    free = shutil.disk_usage(folder).free
    if free < pictures * BYTES_A_PICTURE:
        raise NoRoomError(
            f"{pictures:,} pictures need {pictures * BYTES_A_PICTURE / 1e9:.1f} GB in {folder}, "
            f"{free / 1e9:.1f} GB are free"
        )
