"""JPEG decoders side by side: Pillow's draft, OpenCV's reduced flags, simplejpeg, torchvision.io.

Each decodes the same files with as many threads as there are cores, to RGB with both sides at least
as long as asked, reduced while decoding where the decoder can. They lie in an environment of their
own, ``peers/decoding``: only Pillow is a dependency of headstart.

Usage: python benchmarks/decoding.py PICTURES [--at-least PIXELS] [--rounds N] [--json]
PICTURES are files and folders; other formats than JPEG in them are left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess

from runner.environments import PEERS, python_of
from runner.figures import Figures

from headstart.jobs.predict_job import find_images

JPEG = (".jpg", ".jpeg")
LIMIT = 1000


def main() -> None:
    """Prints pictures a second of every decoder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pictures", nargs="+")
    parser.add_argument("--at-least", type=int, default=256, help="shortest side in pixels")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = [path for path in find_images(arguments.pictures) if path.suffix.lower() in JPEG]
    if not found:
        parser.error(f"no JPEG file in {', '.join(arguments.pictures)}")
    paths = [str(path) for path in found[:: max(1, len(found) // LIMIT)]]
    job = {"paths": paths, "at_least": arguments.at_least, "rounds": arguments.rounds}
    done = subprocess.run(
        [str(python_of("decoding")), str(PEERS / "decoding" / "run.py")],
        input=json.dumps(job),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    figures = Figures()
    for line in done.stdout.splitlines():
        entry = json.loads(line)
        rate = entry["pictures"] / entry["seconds"]
        figures.add(entry["decoder"], rate, "pictures/s", ".0f")
    figures.show(as_json=arguments.json)


if __name__ == "__main__":
    main()
