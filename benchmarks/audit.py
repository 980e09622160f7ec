"""How much of what is planted `headstart check` finds, and whom it accuses besides.

Plants into a temporary copy of class folders: changed copies of pictures on another side of the
split, random wrong labels, and one broken file of each kind. Pictures that are accused although
nothing was planted are listed: look at them before calling them false.

Usage: python benchmarks/audit.py DATA [--copies N] [--wrong SHARE] [--seed N] [--page FILE]
                                  [--json]
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

import headstart
from headstart.progress import ConsoleProgress
from headstart.runtime.images import iter_images

Change = Callable[[Image.Image, np.random.Generator], Image.Image]

REACH = 0.15
"""Share of the pictures that a person is willing to look at."""


def _resized(image: Image.Image, random: np.random.Generator) -> Image.Image:
    factor = random.uniform(0.4, 0.8)
    return image.resize((round(image.width * factor), round(image.height * factor)))


def _recompressed(image: Image.Image, random: np.random.Generator) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(random.integers(15, 50)))
    return Image.open(buffer).convert("RGB")


def _cropped(image: Image.Image, random: np.random.Generator) -> Image.Image:
    left, top, right, bottom = random.uniform(0.0, 0.08, 4)
    width, height = image.size
    box = (left * width, top * height, (1 - right) * width, (1 - bottom) * height)
    return image.crop(tuple(round(side) for side in box))


def _brightened(image: Image.Image, random: np.random.Generator) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(random.uniform(1.2, 1.5))


CHANGES: dict[str, Change] = {
    "resized": _resized,
    "recompressed": _recompressed,
    "cropped": _cropped,
    "brightened": _brightened,
    "grey": lambda image, _: ImageOps.grayscale(image).convert("RGB"),
    "mirrored": lambda image, _: ImageOps.mirror(image),
}


def plant_copies(root: Path, count: int, random: np.random.Generator) -> dict[str, str]:
    """Writes changed copies of training pictures into the other side; kinds by name of the copy."""
    sides = sorted(path.name for path in root.iterdir() if path.is_dir())
    other = next(side for side in sides if side != "train")
    chosen = random.choice(sorted((root / "train").rglob("*.jpg")), count, replace=False)
    planted = {}
    for number, path in enumerate(chosen):
        kind = list(CHANGES)[number % len(CHANGES)]
        with Image.open(path) as image:
            copy = CHANGES[kind](image.convert("RGB"), random)
        name = f"{other}/{path.parent.name}/planted-{number:03}-{path.stem}.jpg"
        copy.save(root / name, quality=90)
        planted[name] = path.relative_to(root).as_posix()
    return planted


def plant_labels(root: Path, share: float, random: np.random.Generator) -> set[str]:
    """Moves pictures into folders of other classes; their new names."""
    pictures = [path for path in iter_images(root) if not path.name.startswith("planted")]
    classes = sorted({path.parent.name for path in pictures})
    moved = set()
    for path in random.choice(pictures, round(share * len(pictures)), replace=False):
        wrong = random.choice([name for name in classes if name != path.parent.name])
        target = path.parents[1] / wrong / f"wrong-{path.parent.name}-{path.name}"
        path.rename(target)
        moved.add(target.relative_to(root).as_posix())
    return moved


def plant_files(root: Path, random: np.random.Generator) -> dict[str, str]:
    """Writes one broken or odd file of each kind; the check that must name it, by name."""
    folder = next(path for path in sorted((root / "train").iterdir()) if path.is_dir())
    model = min(folder.glob("*.jpg"))
    content = model.read_bytes()
    with Image.open(model) as opened:
        image = opened.convert("RGB")
    png = io.BytesIO()
    image.rotate(7).save(png, "PNG")
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    image.rotate(3).save(turned, "JPEG", exif=exif)
    files = {
        "bad-empty.jpg": (b"", "unreadable"),
        "bad-text.jpg": (b"not a picture\n" * 40, "unreadable"),
        "bad-truncated.jpg": (content[: len(content) // 2], "unreadable"),
        "bad-ending.jpg": (png.getvalue(), "wrong-extension"),
        "bad-turned.jpg": (turned.getvalue(), "exif-rotated"),
    }
    for name, (data, _) in files.items():
        (folder / name).write_bytes(data)
    noise = Image.fromarray(random.integers(0, 256, (200, 300, 3), dtype=np.uint8))
    frames = [image.quantize(), noise.quantize()]
    frames[0].save(folder / "bad-animated.gif", save_all=True, append_images=frames[1:])
    noise.resize((1, 1)).save(folder / "bad-tiny.png")
    noise.resize((900, 60)).save(folder / "bad-long.png")
    Image.new("RGB", (300, 200), (90, 90, 90)).save(folder / "bad-blank.png")
    image.point(lambda value: value // 6).save(folder / "bad-dark.png")
    image.point(lambda value: 220 + value // 8).save(folder / "bad-bright.png")
    image.filter(ImageFilter.GaussianBlur(8)).save(folder / "bad-blurred.png")
    wanted = {name: check for name, (_, check) in files.items()}
    wanted |= {
        "bad-animated.gif": "animated",
        "bad-tiny.png": "unreadable",
        "bad-blank.png": "blank",
    }
    wanted |= {"bad-long.png": "odd-aspect-ratio", "bad-dark.png": "dark"}
    wanted |= {"bad-bright.png": "bright", "bad-blurred.png": "blurred"}
    return {f"train/{folder.name}/{name}": check for name, check in wanted.items()}


def compare(result: Any, copies: dict[str, str], wrong: set[str], bad: dict[str, str]) -> Any:
    """What was found of the planted, and what else was accused."""
    sets = [set(i.images) for i in result.issues if i.check == "near-duplicate"]
    pairs = [pair for pair in copies.items() if any(set(pair) <= found for found in sets)]
    leaks = [set(i.images) for i in result.issues if i.check == "split-leak"]
    planted = set(copies) | set(copies.values())
    # The sound picture that the broken files were made of is no false accusation.
    accused = {image for found in sets if found.isdisjoint(bad) for image in found}
    others = sorted(accused - planted)
    ranking = [i.images[0] for i in result.issues if i.check == "suspicious-label"]
    reach = round(REACH * result.n_images)
    named = {(i.check, image) for i in result.issues for image in i.images}
    missed = sorted(set(copies) - {copy for copy, _ in pairs})
    return {
        "n_images": result.n_images,
        "copies_planted": len(copies),
        "copies_found": len(pairs),
        "copies_missed": missed,
        "leaks_found": sum(any(set(pair) <= found for found in leaks) for pair in copies.items()),
        "others_accused": others,
        "others_share": len(others) / max(1, result.n_images - len(planted)),
        "wrong_planted": len(wrong),
        "wrong_in_reach": len(wrong.intersection(ranking[:reach])),
        "ranking": len(ranking),
        "bad_missed": sorted(name for name, check in bad.items() if (check, name) not in named),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--copies", type=int, default=100)
    parser.add_argument("--wrong", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page", type=Path)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    random = np.random.default_rng(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / given.data.name
        shutil.copytree(given.data, root)
        # The cache of the decoded pictures goes with the copy.
        os.environ["HEADSTART_CACHE"] = str(Path(folder) / "cache")
        copies = plant_copies(root, given.copies, random) if given.copies else {}
        wrong = plant_labels(root, given.wrong, random)
        # A picture that was moved is named anew.
        renamed = {name.rpartition("/")[2].split("-", 2)[-1]: name for name in wrong}
        copies = {c: renamed.get(o.rpartition("/")[2], o) for c, o in copies.items()}
        bad = plant_files(root, random)
        started = time.perf_counter()
        result = headstart.check(root, progress=ConsoleProgress())
        seconds = time.perf_counter() - started
        found = {**compare(result, copies, wrong, bad), "seconds": round(seconds, 1)}
        if given.page:
            result.write_page(given.page)
    if given.json:
        print(json.dumps(found))
        return
    for name, value in found.items():
        print(f"{name:<16} {value}")


if __name__ == "__main__":
    main()
