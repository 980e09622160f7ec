"""Pages of runs and audits in Chromium: they load nothing, break nothing and fit a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

import headstart
from pictures import make_picture, write_class_folders, write_picture

PHONE = {"width": 360, "height": 740}
DESK = {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run and an audit of the same pictures, one of which is broken."""
    folder = tmp_path_factory.mktemp("pages")
    # A long name without a space is what a narrow page breaks on.
    data = write_class_folders(folder / ("pictures-" + 12 * "long"), 12)
    (data / "disc" / "broken.png").write_bytes(b"no picture")
    # Wrong labels give the report something to show.
    for seed in range(100, 110):
        write_picture(data / "disc" / f"{seed}.png", make_picture("stripes", seed))
    settings = {"image_size": 64, "views": 1, "epochs": 2, "freeze_epochs": 2}
    headstart.train(data, out=folder / "run", **settings)
    headstart.check(data).write_page(folder / "check.html")
    return folder


@pytest.fixture(params=["run/report.html", "check.html"])
def path(request: pytest.FixtureRequest, folder: Path) -> Path:
    return folder / str(request.param)


@pytest.fixture(params=["phone-light", "phone-dark", "desk-light", "desk-dark"])
def opened(
    request: pytest.FixtureRequest, chromium: Browser, path: Path
) -> Iterator[tuple[Page, list[str], str]]:
    """The page, what went wrong or was requested, and its colours."""
    screen, _, scheme = str(request.param).partition("-")
    context = chromium.new_context(
        viewport=PHONE if screen == "phone" else DESK,  # type: ignore[arg-type]
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    events: list[str] = []
    page.on("console", lambda message: events.append(f"console: {message.text}"))
    page.on("pageerror", lambda error: events.append(f"error: {error}"))
    page.on("request", lambda request: events.append(request.url.partition(";base64,")[0]))
    page.goto(path.as_uri())
    yield page, events, scheme
    context.close()


def test_a_page_loads_nothing_fits_and_can_be_read(
    opened: tuple[Page, list[str], str], path: Path
) -> None:
    page, events, scheme = opened
    assert {event for event in events if not event.startswith("data:")} == {path.as_uri()}
    images = page.evaluate(
        "[...document.images].map((i) => [i.complete && i.naturalWidth > 0, i.alt])"
    )
    assert images
    assert all(loaded and alt for loaded, alt in images), images
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("h1").count() == 1
    assert page.title()
    assert page.locator("html").get_attribute("lang") == "en"
    body = page.evaluate(
        "(({ color, backgroundColor: ground }) => [color, ground])(getComputedStyle(document.body))"
    )
    text, ground = (sum(map(int, c.strip("rgb()").split(","))) / 3 for c in body)
    assert (text > ground) == (scheme == "dark")
    assert abs(text - ground) > 150


def test_the_curves_are_drawn_in_a_colour(chromium: Browser, folder: Path) -> None:
    page = chromium.new_page()
    page.goto((folder / "run" / "report.html").as_uri())
    strokes = page.evaluate(
        "[...document.querySelectorAll('polyline')].map((line) => getComputedStyle(line).stroke)"
    )
    page.close()
    assert len(strokes) == 3
    assert set(strokes) == {"rgb(180, 80, 30)"}
