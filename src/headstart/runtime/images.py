"""Reads any picture as upright RGB; the only code of the project that opens image files."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import math
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from headstart.errors import MissingDecoderError, UnreadableImageError
from headstart.types import Frame, ImageArray, Size

EXTENSIONS = frozenset(
    {".bmp", ".gif", ".heic", ".heif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png"}
    | {".ppm", ".tif", ".tiff", ".webp"}
)
"""Endings of files that are taken for pictures (compared in lower case)."""

MAX_PIXELS = 178_956_970
"""Larger pictures are refused before they are decoded: a small file can claim to be huge.

Pillow's own limit: it refuses larger files by itself.
"""

_quiet = threading.Lock()
_quiet_depth = 0
_quiet_filters = warnings.catch_warnings()

_PADDING = "\0 "
"""Behind texts in EXIF."""

_HEIF_SUFFIXES = frozenset({".heic", ".heif"})
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"})

_WIDE_MODES = frozenset({"I", "I;16", "I;16B", "I;16L", "F"})
_ALPHA_BACKGROUND = (255, 255, 255)

ImageSource = str | Path | bytes | Image.Image | npt.NDArray[Any]
"""What ``predict`` takes for a picture."""


def is_image_path(path: Path) -> bool:
    """Whether a file's ending says that it is a picture."""
    return path.suffix.lower() in EXTENSIONS and not path.name.startswith(".")


def iter_images(folder: Path) -> Iterator[Path]:
    """Every picture below a folder, in a stable order; hidden folders are passed over."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and is_image_path(path) and path.is_file():
            yield path


def read_image(
    source: ImageSource, *, at_least: Size | None = None, white_level: int = 65535
) -> ImageArray:
    """Decodes a picture completely.

    EXIF orientation is applied, grey becomes three equal channels, transparent parts become
    white, CMYK is converted, of an animation the first frame is taken.

    Args:
        source: a path, the bytes of a file, a Pillow image, or an array: (h, w) or (h, w, 1|3|4),
            uint8, RGB.
        at_least: (height, width) in pixels. JPEG files are decoded at the smallest of 1/1, 1/2,
            1/4, 1/8 that keeps both sides at least this long: several times faster. A Pillow image
            is decoded whole, because decoding it smaller would change the caller's object.
        white_level: value that becomes 255 in pictures with more than 8 bits a channel.

    Returns:
        (height, width, 3), uint8, RGB.

    Raises:
        UnreadableImageError: with the reason, without the picture's name.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    try:
        with _without_warnings():
            if isinstance(source, Image.Image):
                return _to_rgb(source, None, white_level)
            with _opened(source) as image:
                return _to_rgb(image, at_least, white_level)
    except UnreadableImageError:
        raise
    except FileNotFoundError as error:
        raise UnreadableImageError("the file does not exist") from error
    except Exception as error:  # Pillow's decoders raise many kinds for damaged files
        raise UnreadableImageError(f"cannot be decoded ({_reason(error)})") from error


def measure(source: Path | bytes) -> Frame:
    """How a picture lies in its file, from the header alone.

    Raises:
        UnreadableImageError: the file has no header of a picture.
    """
    try:
        with _without_warnings(), _opened(source) as image:
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            # Pillow's exif_transpose leaves a picture with any other value as it is.
            orientation = orientation if orientation in range(1, 9) else 1
            size = image.size if orientation >= 5 else image.size[::-1]
            return Frame(size, orientation)
    except UnreadableImageError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds for damaged files
        raise UnreadableImageError(f"cannot be decoded ({_reason(error)})") from error


def capture_time(path: Path) -> tuple[str, float] | None:
    """Which camera took a picture and when, from the header alone; None where EXIF does not say.

    Returns:
        Make and model, and seconds on the camera's own clock.
    """
    try:
        with _without_warnings(), Image.open(path) as image:
            exif = image.getexif()
            detail = exif.get_ifd(ExifTags.IFD.Exif)
    except Exception:  # noqa: BLE001 - Pillow's readers raise many kinds; ``scan`` reports the file
        return None
    text = detail.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime)
    try:
        # Cameras rarely say in which zone their clock runs: differences are all that counts.
        zoned = f"{str(text).strip(_PADDING)} +0000"
        taken = dt.datetime.strptime(zoned, "%Y:%m:%d %H:%M:%S %z").timestamp()
        parts = str(detail.get(ExifTags.Base.SubsecTimeOriginal) or "0").strip(_PADDING)
        fraction = float(f"0.{parts}")
    except ValueError:
        return None
    camera = f"{exif.get(ExifTags.Base.Make)} {exif.get(ExifTags.Base.Model)}"
    return camera, taken + fraction


def deepest_value(content: bytes) -> int | None:
    """Largest value of a picture with more than 8 bits a channel; None for an 8-bit picture.

    Fractions are rounded up; values that are not finite do not count.

    Args:
        content: the bytes of the file.

    Raises:
        UnreadableImageError: the file cannot be decoded.
    """
    try:
        with _without_warnings(), _opened(content) as image:
            if image.mode not in _WIDE_MODES or image.width * image.height > MAX_PIXELS:
                return None
            values = np.asarray(image)
            largest = float(values.max(initial=0, where=np.isfinite(values)))
            return min(math.ceil(largest), 2**62)
    except UnreadableImageError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds for damaged files
        raise UnreadableImageError(f"cannot be decoded ({_reason(error)})") from error


def describe_file(source: Path | bytes) -> tuple[str, bool]:
    """Format of a picture file in Pillow's words (``JPEG``), and whether it is animated.

    Raises:
        UnreadableImageError: the file has no header of a picture.
    """
    try:
        with _without_warnings(), _opened(source) as image:
            return image.format or "", bool(getattr(image, "is_animated", False))
    except UnreadableImageError:
        raise
    except Exception as error:  # Pillow's decoders raise many kinds for damaged files
        raise UnreadableImageError(f"cannot be decoded ({_reason(error)})") from error


def format_of(suffix: str) -> str:
    """The format that a file's ending promises, in Pillow's words; empty where it promises none."""
    if suffix.lower() in _HEIF_SUFFIXES:
        return "HEIF"
    return Image.registered_extensions().get(suffix.lower(), "")


def _opened(source: str | Path | bytes) -> Image.Image:
    """Opens a file; those of iPhones with the extra ``heic``."""
    try:
        return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)
    except UnidentifiedImageError:
        start = source[:12] if isinstance(source, bytes) else _first_bytes(Path(source))
        if start[4:8] != b"ftyp" or start[8:12] not in _HEIF_BRANDS:
            raise
    try:
        import pi_heif
    except ModuleNotFoundError as error:
        raise MissingDecoderError(
            'is HEIC, which needs the extra heic: pip install "headstart[heic]"'
        ) from error
    pi_heif.register_heif_opener()
    return Image.open(io.BytesIO(source) if isinstance(source, bytes) else source)


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(12)


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Pillow warns about odd metadata and large sizes; the decoded pixels are what counts.

    ``catch_warnings`` alone would leave its filter behind when threads that decode overlap: here
    the first one sets it and the last one takes it away.
    """
    global _quiet_depth, _quiet_filters  # noqa: PLW0603
    with _quiet:
        if _quiet_depth == 0:
            _quiet_filters = warnings.catch_warnings()
            _quiet_filters.__enter__()
            warnings.simplefilter("ignore")
        _quiet_depth += 1
    try:
        yield
    finally:
        with _quiet:
            _quiet_depth -= 1
            if _quiet_depth == 0:
                _quiet_filters.__exit__(None, None, None)


def _to_rgb(image: Image.Image, at_least: Size | None, white_level: int) -> ImageArray:
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableImageError(
            f"{image.width}x{image.height} pixels are more than the limit of {MAX_PIXELS:,}"
        )
    if at_least is not None and image.format == "JPEG":
        # The orientation is applied after decoding, so the longer wish counts for both sides.
        side = max(at_least)
        image.draft(None, (side, side))
    image.load()
    upright = ImageOps.exif_transpose(image)
    if upright.mode in _WIDE_MODES:
        return _from_wide(np.asarray(upright), white_level)
    if upright.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in upright.info:
        rgba = upright.convert("RGBA")
        canvas = Image.new("RGBA", rgba.size, (*_ALPHA_BACKGROUND, 255))
        upright = Image.alpha_composite(canvas, rgba)
    pixels = np.asarray(upright.convert("RGB"))
    return _checked(pixels)


def _from_wide(values: npt.NDArray[Any], white_level: int) -> ImageArray:
    scaled = values.astype(np.float32) * (255.0 / max(white_level, 1))
    grey = np.clip(np.rint(np.nan_to_num(scaled)), 0, 255).astype(np.uint8)
    return _checked(np.repeat(grey[:, :, None], 3, axis=2))


def _from_array(array: npt.NDArray[Any]) -> ImageArray:
    if array.dtype != np.uint8 or array.ndim not in (2, 3):
        raise UnreadableImageError(
            "an array must be uint8 of shape (h, w) or (h, w, 1|3|4), "
            f"got {array.dtype} of shape {array.shape}"
        )
    if array.ndim == 3 and array.shape[2] not in (1, 3, 4):
        raise UnreadableImageError(f"an array must have 1, 3 or 4 channels, got {array.shape[2]}")
    if array.ndim == 3 and array.shape[2] == 3:
        return _checked(array)
    flat = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    return _to_rgb(Image.fromarray(flat), None, 65535)


def _checked(pixels: npt.NDArray[Any]) -> ImageArray:
    if pixels.shape[0] < 1 or pixels.shape[1] < 1:
        raise UnreadableImageError(f"has no pixels (shape {pixels.shape})")
    return pixels


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture of a known format"
    text = str(error).strip().splitlines()
    return f"{text[0] if text else type(error).__name__}"
