"""Finds copies of pictures that were resized, recompressed, cropped, brightened or mirrored.

Candidates come from perceptual hashes (imagehash) and from the backbone's features; each is then
aligned with its counterpart (Lucas and Kanade 1981: shift and scale in x and y) and accepted only
where the fine structure agrees, which two pictures of one kind of thing do not share.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import imagehash
import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy.ndimage import gaussian_filter

Floats = npt.NDArray[np.float32]

NEIGHBOURS = 8
"""Candidates that each picture gets from each source."""

HASH_DISTANCE = 12
"""Of 64 bits; unrelated pictures differ in about 32."""

FEATURE_SIMILARITY = 0.7
"""Cosine of centred features."""

COARSE = 0.6
"""Correlation that aligned thumbnails of 16 and 32 pixels must reach to be looked at closer."""

FINE = 0.6
"""Correlation of fine structure from which a pair is a copy; ``benchmarks/audit.py`` shows what it
finds and whom it accuses."""

FINE_SIGMA = 2.5
"""Structure that is coarser than this many pixels of the thumbnail is taken away."""

MAX_SCALE = 0.35
MAX_SHIFT = 0.35
"""How far a copy may be cropped, in half sides of the picture."""

STEPS = 10
CHUNK = 512


@dataclasses.dataclass(frozen=True)
class Copy:
    """Two pictures that show the same.

    Attributes:
        first: position of one.
        second: of the other.
        score: correlation of their fine structure once aligned, up to 1.
        mirrored: whether one is the mirror image.
    """

    first: int
    second: int
    score: float
    mirrored: bool


def find_copies(thumbnails: npt.NDArray[np.uint8], features: Floats) -> list[Copy]:
    """All pairs of copies.

    Args:
        thumbnails: grey pictures (n, side, side), uint8.
        features: of the same pictures, (n, channels).
    """
    if len(thumbnails) < 2:
        return []
    pairs = sorted(_hash_candidates(thumbnails) | _feature_candidates(features))
    copies: list[Copy] = []
    pictures = thumbnails.astype(np.float32)
    fine = pictures - gaussian_filter(pictures, (0, FINE_SIGMA, FINE_SIGMA))
    for start in range(0, len(pairs), CHUNK):
        chunk = np.array(pairs[start : start + CHUNK])
        copies += _verified(pictures, fine, chunk)
    return copies


def _hash_candidates(thumbnails: npt.NDArray[np.uint8]) -> set[tuple[int, int]]:
    """Pairs whose perceptual hashes are close, one of them perhaps mirrored."""
    plain = np.stack([_bits(Image.fromarray(t)) for t in thumbnails])
    mirrored = np.stack(
        [_bits(Image.fromarray(np.ascontiguousarray(t[:, ::-1]))) for t in thumbnails]
    )
    limit = 1.0 - 2.0 * HASH_DISTANCE / plain.shape[1]
    scale = plain.shape[1] ** 0.5
    return _closest(plain / scale, plain / scale, limit) | _closest(
        plain / scale, mirrored / scale, limit
    )


def _bits(image: Image.Image) -> Floats:
    return np.where(imagehash.phash(image).hash.ravel(), 1.0, -1.0).astype(np.float32)


def _feature_candidates(features: Floats) -> set[tuple[int, int]]:
    centred = features - features.mean(axis=0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
    return _closest(centred, centred, FEATURE_SIMILARITY)


def _closest(rows: Floats, columns: Floats, limit: float) -> set[tuple[int, int]]:
    """Of each row the closest columns that are at least this similar, without itself."""
    found: set[tuple[int, int]] = set()
    count = min(NEIGHBOURS + 1, len(columns))
    for start in range(0, len(rows), CHUNK):
        similar = rows[start : start + CHUNK] @ columns.T
        best = np.argpartition(-similar, count - 1, axis=1)[:, :count]
        for row, chosen in enumerate(best):
            at = start + row
            found |= {
                (min(at, int(other)), max(at, int(other)))
                for other in chosen
                if other != at and similar[row, other] >= limit
            }
    return found


def _verified(pictures: Floats, fine: Floats, pairs: npt.NDArray[np.intp]) -> Iterator[Copy]:
    """Those of the pairs (m, 2) that are copies."""
    best: Floats = np.full(len(pairs), -1.0, dtype=np.float32)
    flipped = np.zeros(len(pairs), dtype=bool)
    # Either may be cropped out of the other: what is missing of one cannot be aligned to.
    for order in ((0, 1), (1, 0)):
        moving, fixed = pairs[:, order[0]], pairs[:, order[1]]
        for mirror in (False, True):
            score = _agreement(pictures, fine, moving, fixed, mirror)
            flipped = np.where(score > best, mirror, flipped)
            best = np.asarray(np.maximum(best, score))
    for (first, second), score, mirror in zip(pairs, best, flipped, strict=True):
        if score >= FINE:
            yield Copy(int(first), int(second), float(score), bool(mirror))


def _agreement(
    pictures: Floats,
    fine: Floats,
    moving: npt.NDArray[np.intp],
    fixed: npt.NDArray[np.intp],
    mirror: bool,
) -> Floats:
    """Correlation of fine structure after alignment (m,); -1 where the coarse one is too small."""
    side = slice(None, None, -1) if mirror else slice(None)
    result = np.full(len(moving), -1.0, dtype=np.float32)
    alive = np.arange(len(moving))
    warp = np.tile(np.array([1, 1, 0, 0], dtype=np.float32), (len(moving), 1))
    for factor in (4, 2, 1):
        source = _reduced(pictures[moving[alive], :, side], factor)
        target = _reduced(pictures[fixed[alive]], factor)
        warp, score = _aligned(source, target, warp, STEPS if factor > 1 else STEPS // 2)
        within = (np.abs(warp[:, :2] - 1) < MAX_SCALE).all(axis=1)
        within &= (np.abs(warp[:, 2:]) < MAX_SHIFT).all(axis=1)
        kept = within & (score >= COARSE)
        alive, warp = alive[kept], warp[kept]
        if not len(alive):
            return result
    moved, inside, _ = _sampled(fine[moving[alive], :, side], warp)
    result[alive] = _correlation(moved, fine[fixed[alive]], inside)
    return result


def _reduced(images: Floats, factor: int) -> Floats:
    count, height, width = images.shape
    blocks = images.reshape(count, height // factor, factor, width // factor, factor)
    reduced: Floats = blocks.mean(axis=(2, 4))
    return reduced


def _aligned(source: Floats, target: Floats, warp: Floats, steps: int) -> tuple[Floats, Floats]:
    """Gauss-Newton on scale and shift; brightness and contrast are taken out in each step.

    Args:
        source: pictures (m, side, side) that are moved.
        target: pictures that they are moved onto.
        warp: (m, 4): scale x, y and shift x, y in half sides.
        steps: of the iteration.

    Returns:
        The warp with the highest correlation, and that correlation (m,).
    """
    side = source.shape[1]
    line = ((np.arange(side) + 0.5) / side * 2 - 1).astype(np.float32)
    x, y = np.broadcast_to(line, (side, side)), np.broadcast_to(line[:, None], (side, side))
    best, best_score = warp, np.full(len(warp), -1.0, dtype=np.float32)
    for step in range(steps + 1):
        moved, inside, (slope_x, slope_y) = _sampled(source, warp)
        score = _correlation(moved, target, inside)
        better = score > best_score
        best = np.where(better[:, None], warp, best)
        best_score = np.maximum(best_score, score)
        if step == steps:
            break
        error, spread = _difference(moved, target, inside)
        slopes = np.stack([slope_x * x, slope_y * y, slope_x, slope_y], axis=-1)
        slopes *= (inside / spread[:, None, None])[..., None]
        flat = slopes.reshape(len(warp), -1, 4)
        normal = flat.transpose(0, 2, 1) @ flat + 1e-3 * np.eye(4, dtype=np.float32)
        move = np.linalg.solve(normal, flat.transpose(0, 2, 1) @ error.reshape(len(warp), -1, 1))
        warp = (warp + np.clip(move[..., 0], -0.1, 0.1)).astype(np.float32)
        warp = np.clip(warp, (0.5, 0.5, -0.5, -0.5), (1.6, 1.6, 0.5, 0.5)).astype(np.float32)
    return best, best_score


def _sampled(images: Floats, warp: Floats) -> tuple[Floats, Floats, tuple[Floats, Floats]]:
    """Bilinear samples under a warp, where they lie inside (0 or 1), and slopes by half sides."""
    count, side, _ = images.shape
    line = (np.arange(side) + 0.5) / side * 2 - 1
    columns = ((warp[:, :1] * line + warp[:, 2:3] + 1) * side - 1) / 2
    rows = ((warp[:, 1:2] * line + warp[:, 3:4] + 1) * side - 1) / 2
    in_x = (columns > -0.51) & (columns < side - 0.49)
    in_y = (rows > -0.51) & (rows < side - 0.49)
    columns, rows = np.clip(columns, 0, side - 1.001), np.clip(rows, 0, side - 1.001)
    left, top = columns.astype(int), rows.astype(int)
    by_x = (columns - left).astype(np.float32)[:, None, :]
    by_y = (rows - top).astype(np.float32)[:, :, None]
    at = np.arange(count)[:, None, None]
    upper = images[at, top[:, :, None], left[:, None, :]]
    upper_right = images[at, top[:, :, None], left[:, None, :] + 1]
    lower = images[at, top[:, :, None] + 1, left[:, None, :]]
    lower_right = images[at, top[:, :, None] + 1, left[:, None, :] + 1]
    above, below = upper + by_x * (upper_right - upper), lower + by_x * (lower_right - lower)
    slope_x = ((1 - by_y) * (upper_right - upper) + by_y * (lower_right - lower)) * (side / 2)
    slope_y = (below - above) * (side / 2)
    inside = (in_y[:, :, None] & in_x[:, None, :]).astype(np.float32)
    return above + by_y * (below - above), inside, (slope_x, slope_y)


def _normalised(images: Floats, inside: Floats) -> tuple[Floats, Floats]:
    """Mean 0 and variance 1 inside, and the standard deviation before."""
    weight = np.maximum(inside.sum(axis=(1, 2)), 1.0)
    mean = (images * inside).sum(axis=(1, 2)) / weight
    centred = (images - mean[:, None, None]) * inside
    spread = np.sqrt((centred**2).sum(axis=(1, 2)) / weight)
    # A blank picture resembles every other one.
    spread = np.maximum(spread, 1.0).astype(np.float32)
    return centred / spread[:, None, None], spread


def _difference(moved: Floats, target: Floats, inside: Floats) -> tuple[Floats, Floats]:
    one, spread = _normalised(moved, inside)
    other, _ = _normalised(target, inside)
    return other - one, spread


def _correlation(moved: Floats, target: Floats, inside: Floats) -> Floats:
    one, _ = _normalised(moved, inside)
    other, _ = _normalised(target, inside)
    weight = np.maximum(inside.sum(axis=(1, 2)), 1.0)
    result: Floats = (one * other).sum(axis=(1, 2)) / weight
    return result


def clusters(count: int, copies: Sequence[Copy]) -> list[list[int]]:
    """Positions of pictures that belong together, largest cluster first."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    rows = [copy.first for copy in copies]
    columns = [copy.second for copy in copies]
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    _, names = connected_components(graph, directed=False)
    found: dict[int, list[int]] = {}
    for at in sorted({*rows, *columns}):
        found.setdefault(int(names[at]), []).append(at)
    return sorted(found.values(), key=lambda members: (-len(members), members))
