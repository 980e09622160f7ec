"""Looks into every file once: content hash, whether it decodes, and the decoded pixels."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.data.fingerprints import FingerprintIndex, Scanned, fingerprint
from headstart.errors import MissingDecoderError, UnreadableImageError
from headstart.parallel import map_ahead
from headstart.progress import Progress
from headstart.runtime.images import deepest_value, measure, read_image
from headstart.storage import cache_dir
from headstart.types import ImageArray, Size

if TYPE_CHECKING:
    from headstart.data.image_cache import ImageCache

# Decoding at this size proves that a JPEG is complete at a fraction of the cost.
PROOF_SIZE = (64, 64)

REMEMBER_EVERY = 512

MIN_PIXELS = 2
"""Smaller pictures are left out: a single pixel counts visitors of a web page and shows nothing."""

SAMPLE = 500
"""Pictures whose size is read before all are decoded."""


@dataclasses.dataclass(frozen=True)
class Scan:
    """What was found in the files.

    Attributes:
        files: verdict by path.
        white_level: value of white for pictures with more than 8 bits: the smallest 2^k - 1 that
            no such picture of the set exceeds, at least 255; 1 for fractions between 0 and 1.
    """

    files: dict[Path, Scanned]
    white_level: int

    def pixels_key(self, path: Path) -> str:
        """``Record.pixels`` of a readable file."""
        found = self.files[path]
        return (
            found.fingerprint if found.white is None else f"{found.fingerprint}@{self.white_level}"
        )


def scan(
    paths: Sequence[Path],
    cache: ImageCache | None,
    progress: Progress,
    unkept: Collection[Path] = (),
) -> Scan:
    """Looks into files; those that did not change since the last time are not opened.

    Args:
        paths: files to look into.
        cache: where decoded pictures are kept; None only checks that they decode.
        progress: shows a bar when there is work.
        unkept: those of the files of which it is only checked that they decode.
    """
    with contextlib.closing(FingerprintIndex(cache_dir())) as index:
        known = {path: found for path in paths if (found := index.get(path)) is not None}
        absent = _not_cached((found for path, found in known.items() if path not in unkept), cache)
        todo = [
            path
            for path in dict.fromkeys(paths)
            if path not in known or (path not in unkept and known[path].fingerprint in absent)
        ]
        if todo:
            known.update(_look_into(todo, cache, index, progress, unkept))
    result = Scan(known, _white_level(known))
    if cache is not None:
        cache.add(_deep_pictures(result, cache, unkept))
    return result


def measure_some(paths: Sequence[Path]) -> list[Size]:
    """(height, width) of up to ``SAMPLE`` readable pictures, spread over the whole list."""
    step = max(1, len(paths) // SAMPLE)
    sizes = []
    for path in paths[::step]:
        with contextlib.suppress(UnreadableImageError):
            sizes.append(measure(path).size)
    return sizes


def _look_into(
    paths: Sequence[Path],
    cache: ImageCache | None,
    index: FingerprintIndex,
    progress: Progress,
    unkept: Collection[Path],
) -> dict[Path, Scanned]:
    """Opens files on all cores, and remembers verdicts and pixels in chunks as they come."""
    known: dict[Path, Scanned] = {}
    with progress.bar("decode", len(paths)) as advance:
        looked = map_ahead(lambda path: _look(path, None if path in unkept else cache), paths)

        def finished() -> Iterator[tuple[str, ImageArray]]:
            fresh: list[tuple[Path, Scanned]] = []
            for path, (found, pixels) in zip(paths, looked, strict=True):
                known[path] = found
                if found.fingerprint:  # what could not be opened may be opened next time
                    fresh.append((path, found))
                advance(1)
                if pixels is not None:
                    yield found.fingerprint, pixels
                if len(fresh) >= REMEMBER_EVERY:
                    index.put(fresh)
                    fresh = []
            index.put(fresh)

        if cache is None:
            list(finished())
        else:
            cache.add(finished())
    return known


def _not_cached(found: Iterable[Scanned], cache: ImageCache | None) -> set[str]:
    """Fingerprints whose decoded pictures should be in the cache and are not."""
    if cache is None:
        return set()
    keys = (f.fingerprint for f in found if f.error is None and f.white is None)
    return set(cache.missing(keys))


def _look(path: Path, cache: ImageCache | None) -> tuple[Scanned, ImageArray | None]:
    try:
        content = path.read_bytes()
    except OSError as error:
        return Scanned("", f"cannot be opened ({error.strerror or error})"), None
    key = fingerprint(content)
    if not content:
        return Scanned(key, "the file is empty"), None
    try:
        white, frame = deepest_value(content), measure(content)
        if math.prod(frame.size) < MIN_PIXELS:
            return Scanned(key, "it has a single pixel"), None
        if cache is None or white is not None:
            read_image(content, at_least=PROOF_SIZE)
            return Scanned(key, None, white, frame), None
        return Scanned(key, frame=frame), cache.decode(content)
    except MissingDecoderError as error:
        # Not remembered: it may be installed next time.
        return Scanned("", str(error)), None
    except UnreadableImageError as error:
        return Scanned(key, str(error)), None


def _white_level(files: dict[Path, Scanned]) -> int:
    largest = max((found.white for found in files.values() if found.white is not None), default=0)
    if largest <= 1:
        return largest or 65535
    return int(2 ** max(8, largest.bit_length()) - 1)


def _deep_pictures(
    result: Scan, cache: ImageCache, unkept: Collection[Path]
) -> Iterator[tuple[str, ImageArray]]:
    for path, found in result.files.items():
        if found.white is not None and found.error is None and path not in unkept:
            key = result.pixels_key(path)
            if key not in cache:
                yield key, cache.decode(path, result.white_level)
