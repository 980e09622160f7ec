"""Copies are found however they were changed; pictures of one kind are not copies."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from skimage import data

from headstart.audit.near import Copy, clusters, find_copies
from headstart.audit.survey import measure_looks

NAMES = ("astronaut", "chelsea", "coffee", "rocket")


def photographs() -> list[Image.Image]:
    return [Image.fromarray(getattr(data, name)()).convert("RGB") for name in NAMES]


def compressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=20)
    return Image.open(buffer)


def cropped(image: Image.Image) -> Image.Image:
    width, height = image.size
    return image.crop((width // 12, height // 20, width - width // 16, height - height // 14))


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "resized": lambda image: image.resize((image.width // 3, image.height // 3)),
    "recompressed": compressed,
    "cropped": cropped,
    "brightened": lambda image: ImageEnhance.Brightness(image).enhance(1.4),
    "grey": lambda image: ImageOps.grayscale(image).convert("RGB"),
    "mirrored": ImageOps.mirror,
    "cropped and mirrored": lambda image: ImageOps.mirror(cropped(image)),
}


def found(images: list[Image.Image]) -> list[Copy]:
    thumbnails = np.stack([measure_looks(np.asarray(i.convert("RGB"))).thumbnail for i in images])
    # The first two are candidates: what is tested is whether they, and nobody else, are confirmed.
    features = np.eye(len(images), dtype=np.float32)
    features[:2] = features[0]
    return find_copies(thumbnails, features)


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found(change: str) -> None:
    for number, image in enumerate(photographs()):
        others = [other for at, other in enumerate(photographs()) if at != number]
        copies = found([image, CHANGES[change](image), *others])
        assert [(copy.first, copy.second) for copy in copies] == [(0, 1)], NAMES[number]
        assert copies[0].mirrored == ("mirrored" in change)


def test_two_exposures_of_noise_are_no_copies() -> None:
    random = np.random.default_rng(0)
    images = [Image.fromarray(random.integers(0, 256, (80, 80, 3), dtype=np.uint8)) for _ in "ab"]
    blank = [Image.new("RGB", (80, 80), (tone, tone, tone)) for tone in (60, 61, 200)]
    assert found(images + blank) == []


def test_too_few_pictures_have_no_copies() -> None:
    assert found(photographs()[:1]) == []


def test_clusters_join_what_is_linked() -> None:
    copies = [Copy(0, 3, 1.0, False), Copy(3, 5, 1.0, False), Copy(1, 2, 1.0, True)]
    assert clusters(7, copies) == [[0, 3, 5], [1, 2]]
    assert clusters(7, []) == []
