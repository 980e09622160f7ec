"""JPEG decoders side by side: Pillow's draft, OpenCV's reduced flags, simplejpeg, torchvision.io.

Each decodes the same files with as many threads as there are cores, to RGB with both sides at least
as long as asked, reduced while decoding where the decoder can. They lie in an environment of their
own, ``peers/decoding``: only Pillow is a dependency of headstart.

Usage: python benchmarks/decoding.py PICTURES [--at-least PIXELS] [--rounds N] [--enlarged N]
                                     [--json]
PICTURES are files and folders; other formats than JPEG in them are left out. Some of them are
measured a second time as large as a phone takes them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from runner.environments import PEERS, python_of
from runner.figures import Figures

from headstart.jobs.predict_job import find_images

JPEG = (".jpg", ".jpeg")
LIMIT = 1000
PHONE = (4032, 3024)
"""Width and height of a photograph of 12 megapixels."""

# With less, an enlarged picture would be all smooth and its file half as long as a phone's, which
# makes entropy decoding, the larger part of the work, too cheap.
NOISE = 4.0
QUALITY = 90


def main() -> None:
    """Prints pictures a second of every decoder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--at-least", type=int, default=256, help="shortest side in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--enlarged", type=int, default=40, help="pictures; 0 leaves this out")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = [path for path in find_images(arguments.pictures) if path.suffix.lower() in JPEG]
    if not found:
        parser.error(f"no JPEG file in {', '.join(arguments.pictures)}")
    figures = Figures()
    measure(some_of(found, LIMIT), arguments, "", figures)
    if arguments.enlarged:
        with tempfile.TemporaryDirectory() as folder:
            large = enlarge(some_of(found, arguments.enlarged), Path(folder))
            measure(large, arguments, ", 12 megapixels", figures)
    figures.show(as_json=arguments.json)


def some_of(paths: Sequence[Path], count: int) -> list[Path]:
    """So many at most, from all parts of the list."""
    return list(paths[:: -(-len(paths) // count)])


def measure(
    paths: Sequence[Path], arguments: argparse.Namespace, suffix: str, figures: Figures
) -> None:
    """Adds what every decoder makes of the files."""
    words = [str(path) for path in paths]
    job = {"paths": words, "at_least": arguments.at_least, "rounds": arguments.rounds}
    done = subprocess.run(
        [str(python_of("decoding")), str(PEERS / "decoding" / "run.py")],
        input=json.dumps(job),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    for line in done.stdout.splitlines():
        entry = json.loads(line)
        rate = entry["pictures"] / entry["seconds"]
        figures.add(f"{entry['decoder']}{suffix}", rate, "pictures/s", ".0f")


def enlarge(paths: Sequence[Path], folder: Path) -> list[Path]:
    """Copies as large as a phone takes them, with a camera's noise."""
    random = np.random.default_rng(0)
    large = []
    for number, path in enumerate(paths):
        with Image.open(path) as picture:
            smooth = np.asarray(picture.convert("RGB").resize(PHONE, Image.Resampling.LANCZOS))
        noisy = smooth + random.normal(0, NOISE, (*smooth.shape[:2], 1)).astype(np.float32)
        large.append(folder / f"{number}.jpg")
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(large[-1], quality=QUALITY)
    return large


if __name__ == "__main__":
    main()
