"""What readers of poses share: points as text, and pairs of points that mirror each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from headstart.errors import DataError, needing_extra

POINTS = "points"
"""Name of the field: ``x,y,v`` for each point, separated by spaces, in pixels.

The picture is the stored one; the origin is the centre of the top-left pixel. v is 0 for no label,
1 for hidden, 2 for visible.
"""

_SIDES = (("left", "right"), ("l", "r"))


def load_mat(file: Path) -> Mapping[str, Any]:
    """Variables of a MATLAB file; structures are objects with attributes.

    Raises:
        DataError: it cannot be read.
        MissingExtraError: the extra ``train`` is not installed.
    """
    with needing_extra("Reading MATLAB files", "train"):
        from scipy.io import loadmat
    try:
        found: Mapping[str, Any] = loadmat(file, squeeze_me=True, struct_as_record=False)
    except Exception as error:  # scipy raises many kinds for damaged files
        raise DataError(f"{file} is no readable MATLAB file: {error}") from error
    return found


def points_text(triples: Sequence[tuple[float, float, int]]) -> str:
    """The field's text; a point without a label is ``0,0,0``."""
    return " ".join(f"{x:g},{y:g},{v}" if v else "0,0,0" for x, y, v in triples)


def pairs_from_names(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Pairs of points that change places in a mirrored picture, by their names.

    ``left_hip`` and ``right_hip``, ``hip_left`` and ``hip_right``, ``LShoulder`` and ``RShoulder``,
    ``l_eye`` and ``r_eye``.
    """
    keys = [_key(name) for name in names]
    pairs = []
    for at, (side, rest) in enumerate(keys):
        twin = ("right", rest)
        if side == "left" and twin in keys:
            pairs.append((at, keys.index(twin)))
    return tuple(pairs)


def _key(name: str) -> tuple[str, str]:
    """Side (left, right or empty) and what is left of the name."""
    text = name.replace(" ", "_").replace("-", "_")
    if len(text) > 1 and text[0] in "LR" and text[1].isupper():
        return ("left" if text[0] == "L" else "right"), text[1:].lower()
    parts = text.lower().split("_")
    for left, right in _SIDES:
        for word, side in ((left, "left"), (right, "right")):
            if word in parts and len(parts) > 1:
                rest = list(parts)
                rest.remove(word)
                return side, "_".join(rest)
    return "", text.lower()
