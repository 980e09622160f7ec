"""A curve over a logarithmic axis, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT, MARGIN = 640, 400, 56
"""Of the picture and of the space around the curve, in pixels."""

TICKS = 5
"""Values written at the vertical axis."""


def log_curve(
    xs: Sequence[float], ys: Sequence[float], marked: float, x_label: str, y_label: str
) -> str:
    """Draws ``ys`` over ``xs``; points that are not finite are left out.

    Args:
        xs: positive, rising; drawn on a logarithmic axis.
        ys: one for each.
        marked: the x at which a line and its value are drawn.
        x_label: below the axis.
        y_label: beside the axis.

    Returns:
        The content of an SVG file.

    Raises:
        ValueError: no point is finite.
    """
    points = [(math.log10(x), y) for x, y in zip(xs, ys, strict=True) if math.isfinite(y)]
    if not points:
        raise ValueError(f"a curve needs a finite point, got {len(ys)} that are not")
    left, right = math.log10(xs[0]), math.log10(xs[-1])
    low, high = min(y for _, y in points), max(y for _, y in points)

    def across(x: float) -> float:
        return MARGIN + (x - left) / ((right - left) or 1) * (WIDTH - 2 * MARGIN)

    def down(y: float) -> float:
        return HEIGHT - MARGIN - (y - low) / ((high - low) or 1) * (HEIGHT - 2 * MARGIN)

    bottom, middle = HEIGHT - MARGIN, HEIGHT / 2
    path = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in points)
    at = across(math.log10(marked))
    parts = [
        f'<polyline points="{path}" fill="none" stroke="#2563eb" stroke-width="2"/>',
        f'<path d="M{at:.1f} {MARGIN}V{bottom}" stroke="#dc2626" stroke-dasharray="4"/>',
        _text(at, MARGIN - 8, f"suggestion {marked:.1e}"),
        _text(WIDTH / 2, HEIGHT - 12, x_label),
        f'<g transform="rotate(-90 14 {middle})">{_text(14, middle, y_label)}</g>',
        f'<path d="M{MARGIN} {MARGIN}V{bottom}H{WIDTH - MARGIN}" fill="none" stroke="#444"/>',
    ]
    powers = range(math.ceil(left - 1e-9), math.floor(right + 1e-9) + 1)
    parts += [_text(across(power), bottom + 18, f"1e{power}") for power in powers]
    for tick in range(TICKS):
        y = low + (high - low) * tick / (TICKS - 1)
        parts.append(_text(MARGIN - 4, down(y) + 4, f"{y:.3g}", "end"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
