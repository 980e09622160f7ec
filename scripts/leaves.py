"""Draws leaves of three kinds, to try headstart without photographs of your own.

Writes leaves/<kind>/000.jpg and so on, with a few wrong labels as real data have them, and three
unlabelled pictures in new/. Usage: python scripts/leaves.py [FOLDER]
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw, ImageFilter

KINDS = ("birch", "maple", "oak")
PER_KIND = 60
WRONG_LABELS = 0.03
"""Share of pictures that are drawn as another kind than their folder says."""

SIZES = ((320, 240), (240, 320), (300, 300))
"""(width, height) in pixels."""

OUTLINE_POINTS = 240


def main() -> None:
    """Draws everything below the folder that the first argument names."""
    write_pictures(Path(sys.argv[1] if len(sys.argv) > 1 else "."))


def write_pictures(root: Path) -> None:
    """Writes the folders ``leaves`` and ``new``; the same pictures every time."""
    random = Random(3)
    for kind in KINDS:
        for at in range(PER_KIND):
            drawn = random.choice(KINDS) if random.random() < WRONG_LABELS else kind
            save(draw(drawn, random), root / "leaves" / kind / f"{at:03}.jpg")
    (root / "leaves" / "oak" / "notes.txt").write_text("seen near the pond\n", encoding="utf-8")
    for at, kind in enumerate(("maple", "oak", "birch")):
        save(draw(kind, random), root / "new" / f"{at}.jpg")


def draw(kind: str, random: Random) -> Image.Image:
    """One leaf on sand, at a random place, size, angle and colour."""
    width, height = random.choice(SIZES)
    sand = random.randint(160, 230)
    image = Image.new("RGB", (width, height), (sand, sand - 5, sand - 20))
    pen = ImageDraw.Draw(image)
    for _ in range(60):
        x, y, grey = random.randrange(width), random.randrange(height), random.randint(100, 240)
        pen.ellipse((x, y, x + 6, y + 4), fill=(grey, grey, grey - 20))
    middle = (width / 2 + random.uniform(-30, 30), height / 2 + random.uniform(-25, 25))
    radius, turn = random.uniform(45, 95), random.uniform(0, 2 * math.pi)
    green = (random.randint(30, 170), random.randint(90, 170), random.randint(20, 70))
    outline = []
    for step in range(OUTLINE_POINTS):
        angle = 2 * math.pi * step / OUTLINE_POINTS
        reach = radius * shape(kind, angle) * random.uniform(0.97, 1.03)
        outline.append(polar(middle, reach, angle + turn))
    pen.polygon(outline, fill=green)
    dark = (max(0, green[0] - 35), green[1] - 35, max(0, green[2] - 35))
    for vein in range(5):
        end = polar(middle, radius / 2, turn + vein * 2 * math.pi / 5)
        pen.line((*middle, *end), fill=dark, width=2)
    return image.filter(ImageFilter.GaussianBlur(random.uniform(0, 2.5)))


def shape(kind: str, angle: float) -> float:
    """Distance of the outline from the middle, as a share of the radius."""
    if kind == "birch":
        return (0.62 + 0.38 * abs(math.cos(angle))) * (1 + 0.04 * math.sin(40 * angle))
    if kind == "maple":
        return (0.55 + 0.45 * abs(math.cos(2.5 * angle)) ** 1.3) * (1 + 0.05 * math.sin(22 * angle))
    return (0.55 + 0.30 * abs(math.cos(angle))) * (1 + 0.16 * math.sin(9 * angle))


def polar(middle: tuple[float, float], reach: float, angle: float) -> tuple[float, float]:
    """The point at a distance and an angle from the middle."""
    return middle[0] + reach * math.cos(angle), middle[1] + reach * math.sin(angle)


def save(image: Image.Image, path: Path) -> None:
    """Writes a JPEG; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, quality=88)


if __name__ == "__main__":
    main()
