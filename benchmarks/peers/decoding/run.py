"""Decodes JPEG files with every decoder in turn; see ``benchmarks/decoding.py``.

Reads one JSON object {"paths": [...], "at_least": pixels, "rounds": n} on standard input, and
prints one line of JSON for each decoder and round: {"decoder", "round", "pictures", "seconds"}.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_jpeg

SCALES = (8, 4, 2)
"""The reductions that the format offers to every decoder, the largest first."""

OPENCV_FLAGS = {
    1: cv2.IMREAD_COLOR_RGB,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}

Decode = Callable[[str, int], Any]


def pillow(path: str, at_least: int) -> Any:
    """What headstart does."""
    with Image.open(path) as picture:
        picture.draft("RGB", (at_least, at_least))
        return np.asarray(picture.convert("RGB"))


def opencv(path: str, at_least: int) -> Any:
    """Its flags want the reduction, so that the header is read first."""
    content = np.frombuffer(Path(path).read_bytes(), np.uint8)
    height, width, _, _ = simplejpeg.decode_jpeg_header(content)
    shorter = min(height, width)
    scale = next((scale for scale in SCALES if shorter // scale >= at_least), 1)
    found = cv2.imdecode(content, OPENCV_FLAGS[scale] | cv2.IMREAD_IGNORE_ORIENTATION)
    return found if scale == 1 else cv2.cvtColor(found, cv2.COLOR_BGR2RGB)


def simple(path: str, at_least: int) -> Any:
    """libjpeg-turbo's own interface, with its exact inverse transform."""
    content = Path(path).read_bytes()
    return simplejpeg.decode_jpeg(content, "RGB", min_height=at_least, min_width=at_least)


def torchvision(path: str, _at_least: int) -> Any:
    """Has no reduction."""
    content = torch.frombuffer(bytearray(Path(path).read_bytes()), dtype=torch.uint8)
    return decode_jpeg(content, ImageReadMode.RGB).permute(1, 2, 0).numpy()


DECODERS: dict[str, Decode] = {
    "Pillow, draft": pillow,
    "OpenCV, reduced": opencv,
    "simplejpeg": simple,
    "torchvision.io": torchvision,
}


def main() -> None:
    """Does the job on standard input."""
    job = json.load(sys.stdin)
    paths, at_least = job["paths"], job["at_least"]
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for decode in DECODERS.values():
        for path in paths[:8]:
            decode(path, at_least)
    for number in range(job["rounds"]):
        order = list(DECODERS)
        for name in order if number % 2 == 0 else order[::-1]:
            decode = DECODERS[name]
            start = time.perf_counter()
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                found = list(pool.map(lambda path, go=decode: go(path, at_least).shape[2], paths))
            seconds = time.perf_counter() - start
            if set(found) != {3}:
                raise ValueError(f"{name} gave pictures with {set(found)} channels")
            line = {"decoder": name, "round": number, "pictures": len(paths), "seconds": seconds}
            sys.stdout.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
