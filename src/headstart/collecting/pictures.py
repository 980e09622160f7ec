"""Whether fetched content is a picture, and under which name it is kept."""

from __future__ import annotations

import dataclasses
import hashlib

from headstart.collecting.limits import FailedError, RefusedError
from headstart.errors import UnreadableImageError
from headstart.runtime.images import describe_file, read_image

SUFFIXES = {
    "BMP": ".bmp",
    "GIF": ".gif",
    "HEIF": ".heic",
    "JPEG": ".jpg",
    "MPO": ".jpg",  # several JPEG pictures in one file, as some cameras write
    "PNG": ".png",
    "PPM": ".ppm",
    "TIFF": ".tif",
    "WEBP": ".webp",
}
"""Ending by format in Pillow's words: a server's ending and Content-Type are often wrong."""

# Decoding at this size proves that a JPEG is complete at a fraction of the cost.
PROOF_SIZE = (64, 64)

NAME_DIGITS = 16
"""Hexadecimal digits of the SHA-256 in a file's name: 64 bits."""


@dataclasses.dataclass(frozen=True, slots=True)
class Picture:
    """Content that was decoded completely.

    Attributes:
        content: the bytes as they were fetched.
        suffix: ending that fits the content.
        sha256: of the content, hexadecimal.
        final_url: where it was fetched, after redirects.
    """

    content: bytes
    suffix: str
    sha256: str
    final_url: str

    @property
    def name(self) -> str:
        """A function of the content alone, in lower case."""
        return self.sha256[:NAME_DIGITS] + self.suffix


Found = Picture | RefusedError | FailedError
"""What a URL gave."""


def picture_of(content: bytes, final_url: str) -> Picture:
    """Decodes fetched content to see that it is a picture.

    Raises:
        RefusedError: it is not, or not one that headstart reads.
    """
    try:
        kind, _ = describe_file(content)
        if kind not in SUFFIXES:
            raise RefusedError(f"a picture of the format {kind}, which is not read")
        read_image(content, at_least=PROOF_SIZE)
    except UnreadableImageError as error:
        text = content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<")
        hint = ": it is text such as a web page" if text else f": {error}"
        raise RefusedError(f"not a picture{hint}") from error
    return Picture(content, SUFFIXES[kind], hashlib.sha256(content).hexdigest(), final_url)
