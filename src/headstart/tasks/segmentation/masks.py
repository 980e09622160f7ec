"""Mask files: what their values are, and how these stand for classes."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import warnings
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from headstart.errors import DataError, UnreadableImageError
from headstart.storage import cpu_count
from headstart.types import IGNORED, Size

MAX_CLASSES = 255
MAX_PIXELS = 178_956_970
"""Larger masks are refused before they are decoded, like larger pictures."""

Values = npt.NDArray[np.int32]
"""(h, w), int32: what a mask file stores; numbers, or colours packed as 0xRRGGBB."""

MAX_VALUES = 4096
"""A file with more different values is a photograph."""

GREY = 0x010101
"""A grey value times this is its colour."""

_NO_COLOUR = -1
_SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Coding:
    """How the values of mask files stand for classes.

    Attributes:
        colours: values are colours packed as 0xRRGGBB, else the stored numbers.
        values: value of each class, in the order of the classes.
        ignored: values that count for nothing.
    """

    colours: bool
    values: tuple[int, ...]
    ignored: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The coding as plain values."""
        return {
            "colours": self.colours,
            "values": list(self.values),
            "ignored": list(self.ignored),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Coding:
        """Reads what ``to_json`` wrote."""
        return cls(value["colours"], tuple(value["values"]), tuple(value["ignored"]))


@dataclasses.dataclass(frozen=True)
class MaskFacts:
    """What one mask file holds.

    Attributes:
        fingerprint: hash of the content, 32 hex digits; empty when the file cannot be opened.
        error: why it is no usable mask, or None.
        size: (height, width) in pixels, as stored.
        colours: whether the values are colours packed as 0xRRGGBB.
        values: every value that occurs, in rising order.
        counts: pixels with each of the values.
        palette: colour of each of the values, in a picture with a palette; else empty.
        jpeg: whether the file is a JPEG, whose compression changes values.
    """

    fingerprint: str
    error: str | None = None
    size: Size = (0, 0)
    colours: bool = False
    values: tuple[int, ...] = ()
    counts: tuple[int, ...] = ()
    palette: tuple[int, ...] = ()
    jpeg: bool = False

    def coded(self, colours: bool) -> tuple[int, ...]:
        """The values as a ``Coding`` with or without colours sees them, in the same order."""
        if not colours or self.colours:
            return self.values
        return self.palette or tuple(
            value * GREY if 0 <= value <= 255 else _NO_COLOUR for value in self.values
        )


def raw_values(path: Path, *, colours: bool = False) -> Values:
    """What a mask file stores, of its first frame; alpha is dropped.

    Args:
        path: the file.
        colours: give colours, of palettes and grey pictures too. Without it they give the stored
            numbers, as do pictures whose three channels are equal.

    Raises:
        UnreadableImageError: with the reason, without the file's name.
    """
    stored = _decode(_content(path))
    if not colours or stored.colours:
        return stored.values
    if stored.palette is not None:
        return stored.palette[stored.values]
    inside = (stored.values >= 0) & (stored.values <= 255)
    return np.where(inside, stored.values * GREY, _NO_COLOUR).astype(np.int32)


def encode(values: Values, coding: Coding) -> npt.NDArray[np.uint8]:
    """Indices of classes (h, w), uint8, with ``IGNORED`` where a value counts for nothing.

    Args:
        values: (h, w), from ``raw_values`` with the colours of the coding.
        coding: how values stand for classes.

    Raises:
        DataError: a value is neither a class nor ignored; without the file's name.
    """
    known = np.array([*coding.values, *coding.ignored], dtype=np.int64)
    index = np.full(len(known), IGNORED, dtype=np.uint8)
    index[: len(coding.values)] = np.arange(len(coding.values))
    order = np.argsort(known)
    known, index = known[order], index[order]
    at = np.minimum(np.searchsorted(known, values.ravel()), len(known) - 1)
    unseen = known[at] != values.ravel()
    if unseen.any():
        raise DataError(_unknown(np.unique(values.ravel()[unseen]).tolist(), coding))
    return index[at].reshape(values.shape)


def read_mask(path: Path, coding: Coding, orientation: int = 1) -> npt.NDArray[np.uint8]:
    """Indices of classes (h, w), uint8, with ``IGNORED`` where a value counts for nothing.

    Args:
        path: the file.
        coding: how values stand for classes.
        orientation: EXIF orientation of the picture (1 to 8); the mask is turned with it.

    Raises:
        DataError: the file cannot be decoded, or a value is neither a class nor ignored; without
            the file's name.
    """
    indices = encode(raw_values(path, colours=coding.colours), coding)
    if orientation in (5, 6, 7, 8):
        indices = indices.T
    if orientation in (3, 4, 7, 8):
        indices = indices[::-1]
    if orientation in (2, 3, 6, 7):
        indices = indices[:, ::-1]
    return np.ascontiguousarray(indices)


def survey(paths: Iterable[Path]) -> dict[Path, MaskFacts]:
    """Looks into every mask file, on all cores.

    Not to be called from a thread: it keeps Pillow from warning about odd metadata meanwhile.
    """
    found = list(dict.fromkeys(paths))
    with warnings.catch_warnings(), ThreadPoolExecutor(cpu_count()) as pool:
        warnings.simplefilter("ignore")
        return dict(zip(found, pool.map(_look, found), strict=True))


def problem(facts: MaskFacts, coding: Coding) -> str | None:
    """Why a picture with this mask must be left out, as a sentence; None when it need not."""
    if facts.error is not None:
        return f"its mask {facts.error}"
    if facts.colours and not coding.colours:
        return f"its mask holds colours ({shown(facts.values, True)}), where others hold numbers"
    held = set(facts.coded(coding.colours))
    unknown = sorted(held.difference(coding.values, coding.ignored))
    if unknown:
        blurred = " (JPEG compression changes values: save masks as PNG)" if facts.jpeg else ""
        return f"its mask {_unknown(unknown, coding)}{blurred}"
    return None if held.intersection(coding.values) else "every pixel of its mask is ignored"


def shown(values: Sequence[int], colours: bool) -> str:
    """Values in words: ``0 to 10``, ``3, 7 and 9``, ``#000000 and #ff0000``."""
    if not colours and len(values) > 2 and list(values) == list(range(values[0], values[-1] + 1)):
        return f"{values[0]} to {values[-1]}"
    names = [_shown_value(value, colours) for value in values[:_SHOWN]]
    if len(values) > _SHOWN:
        names.append(f"{len(values) - _SHOWN} more")
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _shown_value(value: int, colours: bool) -> str:
    if not colours:
        return str(value)
    return f"#{value:06x}" if value != _NO_COLOUR else "a grey above 255"


def _unknown(unknown: Sequence[int], coding: Coding) -> str:
    """The end of a sentence whose subject is the mask."""
    kind = "colour" if coding.colours else "value"
    found = shown(unknown, coding.colours)
    if len(unknown) == 1:
        found = f"the {kind} {found}, which is no class"
    else:
        found = f"the {kind}s {found}, which are no classes"
    known = f"classes are {shown(coding.values, coding.colours)}"
    if coding.ignored:
        is_are = "is" if len(coding.ignored) == 1 else "are"
        known += f", ignored {is_are} {shown(coding.ignored, coding.colours)}"
    return f"holds {found} ({known})"


class _Stored(NamedTuple):
    """A decoded file; ``palette`` holds 256 packed colours."""

    values: Values
    colours: bool = False
    palette: Values | None = None
    jpeg: bool = False


def _look(path: Path) -> MaskFacts:
    fingerprint = ""
    try:
        content = _content(path)
        fingerprint = hashlib.blake2b(content, digest_size=16).hexdigest()
        stored = _decode(content)
    except UnreadableImageError as error:
        return MaskFacts(fingerprint, str(error))
    values, counts = _unique(stored.values)
    if len(values) > MAX_VALUES:
        reason = "JPEG compression blurs colours: save masks as PNG"
        reason = reason if stored.jpeg else "it is a photograph"
        return MaskFacts(fingerprint, f"holds {len(values):,} different values ({reason})")
    return MaskFacts(
        fingerprint=fingerprint,
        size=(stored.values.shape[0], stored.values.shape[1]),
        colours=stored.colours,
        values=tuple(values.tolist()),
        counts=tuple(counts.tolist()),
        palette=() if stored.palette is None else tuple(stored.palette[values].tolist()),
        jpeg=stored.jpeg,
    )


def _unique(values: Values) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]:
    """Every value in rising order, and how often it occurs."""
    if values.min() < 0 or values.max() > 65535:
        return np.unique(values, return_counts=True)
    counts = np.bincount(values.ravel())  # about ten times faster than sorting
    found = np.flatnonzero(counts)
    return found, counts[found]


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise UnreadableImageError("does not exist") from error
    except OSError as error:
        raise UnreadableImageError(f"cannot be opened ({error.strerror or error})") from error
    if not content:
        raise UnreadableImageError("is empty")
    return content


def _decode(content: bytes) -> _Stored:
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise UnreadableImageError(
                    f"has {image.width}x{image.height} pixels, more than {MAX_PIXELS:,}"
                )
            image.load()
            return _stored(image)._replace(jpeg=image.format in ("JPEG", "MPO"))
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImageError("cannot be decoded (not a picture of a known format)") from error
    except Exception as error:  # Pillow's decoders raise many kinds for damaged files
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UnreadableImageError(f"cannot be decoded ({reason})") from error


def _stored(image: Image.Image) -> _Stored:
    if image.mode in ("P", "PA"):
        table = np.zeros((256, 3), dtype=np.int32)
        colours = np.reshape(image.getpalette("RGB") or [], (-1, 3))
        table[: len(colours)] = colours
        indices = np.asarray(image).reshape(image.height, image.width, -1)[:, :, 0]
        return _Stored(indices.astype(np.int32), palette=_packed(table))
    if image.mode in ("LA", "La"):
        return _Stored(np.asarray(image)[:, :, 0].astype(np.int32))
    if len(image.getbands()) == 1:
        return _Stored(_whole(np.asarray(image)))
    channels = np.asarray(image.convert("RGB")).astype(np.int32)
    if (channels == channels[:, :, :1]).all():
        return _Stored(channels[:, :, 0])
    return _Stored(_packed(channels), colours=True)


def _packed(channels: npt.NDArray[np.int32]) -> Values:
    """Colours (..., 3) as 0xRRGGBB (...)."""
    return channels[..., 0] << 16 | channels[..., 1] << 8 | channels[..., 2]


def _whole(numbers: npt.NDArray[Any]) -> Values:
    """Numbers of any kind as integers; fractions stand for nothing."""
    values = np.nan_to_num(numbers.astype(np.float64)) if numbers.dtype.kind == "f" else numbers
    whole = values.astype(np.int32)
    if numbers.dtype.kind == "f" and (whole != numbers).any():
        raise UnreadableImageError("holds fractions, which stand for no class")
    return whole
