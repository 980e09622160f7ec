"""What readers of poses share: points as text, mirrored pairs, and files of other programs."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from headstart.errors import DataError, needing_extra
from headstart.runtime.images import iter_images
from headstart.types import Annotation, Box, Omission

POINTS = "points"
"""Name of the field: ``x,y,v`` for each point, separated by spaces, in pixels.

The picture is the stored one; the origin is the centre of the top-left pixel. v is 0 for no label,
1 for hidden, 2 for visible.
"""

AREA = "area"
"""Name of the field with the area of what the points belong to, in square pixels."""

HEAD = "head"
"""Name of the field with the length of the head in pixels, which PCKh divides errors by."""

NO_LABEL = (0.0, 0.0, 0)

HEAD_BYTES = 1 << 16
"""How much of a file is looked at to tell its layout."""

Triple = tuple[float, float, int]
"""x, y, v of one point."""


def points_text(triples: Sequence[Triple]) -> str:
    """The field's text; a point without a label is ``0,0,0``."""
    return " ".join(f"{x:.8g},{y:.8g},{v}" if v else "0,0,0" for x, y, v in triples)


def pairs_from_names(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Pairs (left, right) of points that change places in a mirrored picture, by their names.

    ``left_hip`` and ``right_hip``, ``hip_left`` and ``hip_right``, ``LShoulder`` and ``RShoulder``,
    ``l_eye`` and ``r_eye``, ``lear`` and ``rear``. A side counts only where both names are there.
    """
    places = {_plain(name): at for at, name in reversed(list(enumerate(names)))}
    pairs: dict[int, int] = {}
    for at, name in enumerate(names):
        for twin in _mirrored(_plain(name)):
            other = places.get(twin)
            if other is not None and not {at, other} & {*pairs, *pairs.values()}:
                pairs[at] = other
                break
    return tuple(pairs.items())


def _plain(name: str) -> str:
    return re.sub(r"[^0-9a-z]+", "_", name.lower()).strip("_")


def _mirrored(name: str) -> Iterator[str]:
    """What the name of a point on the left may be on the right, the surest first."""
    words = name.split("_")
    for left, right in (("left", "right"), ("l", "r")):
        if left in words and len(words) > 1:
            at = words.index(left)
            yield "_".join([*words[:at], right, *words[at + 1 :]])
    for left, right in (("left", "right"), ("l", "r")):
        if name.startswith(left) and name != left:
            yield right + name[len(left) :]


def is_number(value: Any) -> bool:
    """Whether a value of a JSON file is a finite number."""
    try:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and math.isfinite(value)
    except OverflowError:  # an integer of more than 308 digits
        return False


def box_of(values: Any) -> Box | None:
    """A box [x, y, width, height] of a JSON file; None when it is no box with an area."""
    good = isinstance(values, list) and len(values) == 4 and all(map(is_number, values))
    if not good or min(values[2:]) <= 0:
        return None
    x, y, width, height = map(float, values)
    return (x, y, width, height)


def load_json(file: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DataError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{file} is no readable JSON ({error}): it may be cut off; fetch or write it again"
        ) from error


def load_mat(file: Path, variable: str) -> Any:
    """One variable of a MATLAB file: arrays, and dicts and lists in place of structs.

    Raises:
        DataError: the file cannot be read, or holds no such variable.
        MissingExtraError: scipy is not installed.
    """
    with needing_extra("Reading .mat files", "train"):
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    try:
        content = loadmat(str(file), simplify_cells=True)
    except NotImplementedError as error:  # scipy reads no HDF5
        raise DataError(
            f"{file} is a MATLAB file of version 7.3: save it again in MATLAB with '-v7'"
        ) from error
    except (OSError, ValueError, TypeError, EOFError, MatReadError) as error:
        raise DataError(
            f"{file} is no readable MATLAB file ({error}): it may be cut off; fetch it again"
        ) from error
    if variable not in content:
        found = ", ".join(name for name in content if not name.startswith("__")) or "none"
        raise DataError(f"{file}: the variable {variable!r} is missing; found {found}")
    return content[variable]


def begins_with_any(file: Path, signs: Collection[bytes], *, end: bool = False) -> bool:
    """Whether some sign occurs in the first bytes of a file.

    Args:
        file: to look into.
        signs: to look for.
        end: whether to look into the last bytes too.
    """
    try:
        with file.open("rb") as stream:
            looked = stream.read(HEAD_BYTES)
            if end:
                stream.seek(max(len(looked), file.stat().st_size - HEAD_BYTES))
                looked += b"\n" + stream.read(HEAD_BYTES)
    except OSError:
        return False
    return any(sign in looked for sign in signs)


def is_file(path: Path) -> bool:
    """Whether a path that a file of the data names exists."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long for the system, or with a null byte
        return False


def find_picture(root: Path, named: str, folders: Sequence[str]) -> Path | None:
    """The picture that a file of the data names, by its path or by its last part.

    Args:
        root: of the data set.
        named: path as it is written, with slashes of either kind.
        folders: to look in, relative to the root, in this order.
    """
    name = Path(named.replace("\\", "/"))
    # A path out of the data set cannot be named relative to its root.
    outside = name.is_absolute() or ".." in name.parts
    for candidate in ([] if outside else [name]) + [Path(name.name)]:
        for folder in folders:
            path = root / folder / candidate
            if candidate.name and is_file(path):
                return path
    return None


def strays(root: Path, mentioned: Collection[Path]) -> Iterator[Omission]:
    """Pictures of the data set that no annotation mentions."""
    for path in iter_images(root):
        if path not in mentioned:
            yield Omission(path.relative_to(root).as_posix(), "it has no annotation")


def separate(
    annotations: Iterable[Annotation],
) -> tuple[tuple[Annotation, ...], list[Omission]]:
    """Leaves out annotations of a picture that nothing tells apart.

    Of several in one picture without a box nobody can say which one an answer belongs to, so none
    stays; of several with the same box the first one does.
    """
    found = list(annotations)
    times = Counter((annotation.path, annotation.box) for annotation in found)
    kept: list[Annotation] = []
    omissions: list[Omission] = []
    seen = set()
    for annotation in found:
        key = (annotation.path, annotation.box)
        if times[key] > 1 and annotation.box is None:
            reason = f"{times[key]} annotations without a box describe it"
            omissions.append(Omission(annotation.image, reason))
        elif key in seen:
            reason = "two of its annotations have the same box; the first one is used"
            omissions.append(Omission(annotation.image, reason))
        else:
            kept.append(annotation)
        seen.add(key)
    return tuple(kept), omissions


def nothing_left(where: Path, omissions: Sequence[Omission], notes: Sequence[str]) -> DataError:
    """The error that no annotation is usable, with the first reasons."""
    reasons = [f"{omission.image}: {omission.reason}" for omission in omissions[:3]]
    return DataError(f"{where} holds no usable points ({'; '.join([*reasons, *notes]) or 'empty'})")
