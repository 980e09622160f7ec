"""Pages about a run or a data set: each is one file without scripts that loads nothing."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from PIL import Image

from headstart.errors import UnreadableImageError
from headstart.runtime.images import read_image

THUMBNAIL = 192
"""Longest side of pictures in the report, in pixels."""

CHART = (560, 160)
"""Width and height of a learning curve, in pixels."""


def render_report(report: Mapping[str, Any], root: Path, drawn: Path) -> str:
    """Makes the page of a run.

    Args:
        report: the content of ``report.json``.
        root: folder that the pictures' names are relative to.
        drawn: folder with the pictures of ``report["drawn"]``.
    """
    return render_page("report", report, root, drawn)


def render_page(template: str, report: Mapping[str, Any], root: Path, drawn: Path) -> str:
    """Makes a page out of one of the templates beside this file.

    Args:
        template: its name without ending.
        report: what it shows: ``name``, ``findings`` and what else it names.
        root: folder that the pictures' names are relative to.
        drawn: folder with the pictures of ``report["drawn"]``, where findings compare pictures.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("headstart.evaluation"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.globals.update(
        thumbnail=lambda image: thumbnail(root / image),
        comparison=lambda image: embedded(drawn / report["drawn"].get(image, "")),
        chart=chart,
        heat=heat,
    )
    return environment.get_template(f"{template}.html.j2").render(report=report)


def thumbnail(path: Path) -> str:
    """A small JPEG as a data URI; empty when the picture has gone."""
    try:
        pixels = read_image(path, at_least=(THUMBNAIL, THUMBNAIL))
    except UnreadableImageError:
        return ""
    image = Image.fromarray(pixels)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return _data_uri(buffer.getvalue())


def embedded(path: Path) -> str:
    """A JPEG file as a data URI; empty when it has gone."""
    return _data_uri(path.read_bytes()) if path.is_file() else ""


def _data_uri(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()


def heat(value: Any, rows: Sequence[Sequence[Any]]) -> str:
    """A background colour that shows a number's size among all numbers of a table."""
    if not isinstance(value, int | float) or not value:
        return "transparent"
    largest = max(cell for row in rows for cell in row if isinstance(cell, int | float))
    return f"rgba(214, 96, 30, {0.08 + 0.8 * value / largest:.2f})"


def chart(points: Sequence[Mapping[str, Any]], key: str, title: str) -> Markup:
    """A learning curve as inline SVG: one value an epoch, phases one after the other."""
    values = [float(point[key]) for point in points]
    if len(values) < 2:
        return Markup("")
    width, height = CHART
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    step = (width - 20) / (len(values) - 1)
    path = " ".join(
        f"{10 + at * step:.1f},{height - 14 - (value - low) / span * (height - 40):.1f}"
        for at, value in enumerate(values)
    )
    return Markup(
        '<figure><svg viewBox="0 0 {w} {h}" role="img" aria-label="{title}">'
        '<polyline points="{path}" fill="none" stroke="var(--accent)" stroke-width="2"/>'
        '<text x="10" y="14">{title}: {first:.3g} to {last:.3g}</text></svg></figure>'
    ).format(w=width, h=height, title=title, path=path, first=values[0], last=values[-1])
