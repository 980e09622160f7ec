"""What ``export`` says of other ways of resizing is what Chromium's canvas does."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page
from skimage import data

from browser.site import serving
from headstart.exporting.resizers import RESIZERS
from headstart.runtime.preprocess import Preprocess

SIZE = (96, 96)

QUALITIES = {
    "high": "halved, then bilinear",
    "medium": "halved, then bilinear",
    "low": "bilinear",
    "none": "nearest",
}
"""Quality of a canvas and the row of the table that stands for it."""


@pytest.fixture(scope="module")
def page(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("served")
    Image.fromarray(data.astronaut()).save(folder / "picture.png")
    with serving(folder) as address:
        page = chromium.new_page()
        page.goto(f"{address}/pages/run.html")
        page.wait_for_function("window.ready")
        yield page
        page.close()


def drawn(page: Page, part: tuple[float, ...], quality: str) -> np.ndarray:
    found = page.evaluate(
        "([part, size, quality]) => drawPicture('/picture.png', part, size, quality)",
        [list(part), list(SIZE), quality],
    )
    return np.frombuffer(base64.b64decode(found), np.uint8).reshape(*SIZE, 3)


@pytest.mark.parametrize("quality", list(QUALITIES))
def test_the_nearest_way_is_the_one_that_the_table_names(page: Page, quality: str) -> None:
    picture = data.astronaut()
    canvas = drawn(page, (0, 0, picture.shape[1], picture.shape[0]), quality)
    preprocess = Preprocess(SIZE)
    differences = {
        name: float(np.abs(resize(picture, preprocess, None)[0].astype(float) - canvas).mean())
        for name, resize in RESIZERS.items()
    }
    named = QUALITIES[quality]
    assert differences[named] == min(differences.values()), differences
    # Of 255. Which of two equally near pixels is the nearest, everyone decides for themselves.
    assert differences[named] < 3.0, differences
