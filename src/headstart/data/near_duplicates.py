"""Pictures that show the same although their files differ: saved again, or at another size."""

from __future__ import annotations

import contextlib
import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.data.fingerprints import FingerprintIndex
from headstart.errors import UnreadableImageError
from headstart.parallel import map_ahead
from headstart.progress import Progress
from headstart.runtime.images import read_image
from headstart.storage import cache_dir

# The hashes are remembered: whoever changes these raises the version of ``data.fingerprints``.
SIDE = 8
"""The hash has this many rows of as many bits."""

FLAT = 8
"""Pictures whose small copy spans fewer grey levels have no hash: noise would decide it."""

NO_HASH = b""

BANDS = 4
"""Parts of a hash: of two that differ in fewer bits than this, one part is equal."""

REMEMBER_EVERY = 512


def near_duplicates(files: Mapping[Path, str], progress: Progress) -> list[tuple[Path, ...]]:
    """Groups of two or more files that show the same, in the order of their first file.

    Two files do when fewer than ``BANDS`` of the 64 bits of their difference hashes (N. Krawetz,
    "Kind of like that", 2013) differ: whether each pixel of a grey copy of 9 x 8 pixels is brighter
    than its left neighbour.

    Each content is looked at once: its hash is remembered in the cache.

    Args:
        files: to compare, with the fingerprints of their content; those that cannot be read are in
            no group.
        progress: shows a bar when there is work.
    """
    hashes = _hashes(files, progress)
    firsts = _firsts([hashes.get(content, NO_HASH) for content in files.values()])
    groups: dict[int, list[Path]] = defaultdict(list)
    for path, first in zip(files, firsts, strict=True):
        groups[first].append(path)
    return [tuple(same) for same in groups.values() if len(same) > 1]


def _hashes(files: Mapping[Path, str], progress: Progress) -> Mapping[str, bytes]:
    """The hash of each content that can be read."""
    with contextlib.closing(FingerprintIndex(cache_dir())) as index:
        hashes = index.hashes(files.values())
        todo = {content: path for path, content in files.items() if content not in hashes}
        found = zip(todo, map_ahead(_difference_hash, todo.values()), strict=True)
        if todo:
            with progress.bar("compare", len(todo)) as advance:
                while some := list(itertools.islice(found, REMEMBER_EVERY)):
                    fresh = {content: key for content, key in some if key is not None}
                    index.put_hashes(fresh)
                    hashes.update(fresh)
                    advance(len(some))
    return hashes


def _firsts(keys: Sequence[bytes]) -> list[int]:
    """For each hash the position of the first one that it is linked with, or its own."""
    buckets: dict[tuple[int, bytes], list[int]] = defaultdict(list)
    firsts = list(range(len(keys)))
    for at, key in enumerate(keys):
        if key == NO_HASH:
            continue
        width = len(key) // BANDS
        for band in range(BANDS):
            bucket = buckets[band, key[band * width : (band + 1) * width]]
            close = (other for other in bucket if _bits_apart(key, keys[other]) < BANDS)
            joined = {firsts[other] for other in close} | {firsts[at]}
            if len(joined) > 1:
                # Rare, so that looking through all is no cost.
                firsts = [min(joined) if first in joined else first for first in firsts]
            bucket.append(at)
    return firsts


def _bits_apart(first: bytes, second: bytes) -> int:
    return (int.from_bytes(first) ^ int.from_bytes(second)).bit_count()


def _difference_hash(path: Path) -> bytes | None:
    """The hash of one picture, ``NO_HASH`` where it is flat; None where it cannot be read."""
    try:
        pixels = read_image(path, at_least=(64, 64))
    except UnreadableImageError:
        return None
    grey = Image.fromarray(pixels).convert("L")
    small = np.asarray(grey.resize((SIDE + 1, SIDE), Image.Resampling.BOX), dtype=np.int16)
    if np.ptp(small) < FLAT:
        return NO_HASH
    return np.packbits(small[:, 1:] > small[:, :-1]).tobytes()
