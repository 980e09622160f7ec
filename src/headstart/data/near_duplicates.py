"""Pictures that show the same although their files differ: saved again, or at another size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.data.parallel import map_ahead
from headstart.errors import UnreadableImageError
from headstart.progress import Progress
from headstart.runtime.images import read_image

SIDE = 8
"""The fingerprint has this many rows of as many bits."""

FLAT = 8
"""Pictures whose small copy spans fewer grey levels have no fingerprint: noise would decide it."""


BANDS = 4
"""Parts of a fingerprint: of two that differ in fewer bits than this, one part is equal."""


def near_duplicates(paths: Sequence[Path], progress: Progress) -> list[tuple[Path, ...]]:
    """Groups of two or more files that show the same, in the order of their first file.

    Two files do when fewer than ``BANDS`` of the 64 bits of their difference hashes (N. Krawetz,
    "Kind of like that", 2013) differ: whether each pixel of a grey copy of 9 x 8 pixels is brighter
    than its left neighbour.

    Args:
        paths: files to compare; those that cannot be read are in no group.
        progress: shows a bar.
    """
    unique = list(dict.fromkeys(paths))
    keys: list[bytes | None] = []
    with progress.bar("compare", len(unique)) as advance:
        for key in map_ahead(_fingerprint, unique):
            keys.append(key)
            advance(1)
    groups: dict[int, list[Path]] = defaultdict(list)
    for path, first in zip(unique, _firsts(keys), strict=True):
        groups[first].append(path)
    return [tuple(same) for same in groups.values() if len(same) > 1]


def _firsts(keys: Sequence[bytes | None]) -> list[int]:
    """For each fingerprint the position of the first one that it is linked with, or its own."""
    buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    firsts = list(range(len(keys)))
    for at, key in enumerate(keys):
        if key is None:
            continue
        width = len(key) // BANDS
        for band in range(BANDS):
            bucket = buckets[band, key[band * width : (band + 1) * width]]
            close = (other for other in bucket if _bits_apart(key, keys[other] or b"") < BANDS)
            joined = {firsts[other] for other in close} | {firsts[at]}
            if len(joined) > 1:
                # Rare, so that looking through all is no cost.
                firsts = [min(joined) if first in joined else first for first in firsts]
            bucket.append(at)
    return firsts


def _bits_apart(first: bytes, second: bytes) -> int:
    return (int.from_bytes(first) ^ int.from_bytes(second)).bit_count()


def _fingerprint(path: Path) -> bytes | None:
    try:
        pixels = read_image(path, at_least=(64, 64))
    except UnreadableImageError:
        return None
    grey = Image.fromarray(pixels).convert("L")
    small = np.asarray(grey.resize((SIDE + 1, SIDE), Image.Resampling.BOX), dtype=np.int16)
    if np.ptp(small) < FLAT:
        return None
    return np.packbits(small[:, 1:] > small[:, :-1]).tobytes()
