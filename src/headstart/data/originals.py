"""Pictures and masks that lie inside other files, written out once as files of the cache.

The rest of the package sees paths only. A file's name holds the key of its content, so that it is
never written twice, never out of date, and never the same as another one on a system that does not
tell upper from lower case.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from pathlib import Path

from headstart.data.fingerprints import fingerprint
from headstart.runtime.images import is_image_path
from headstart.storage import cache_dir, content_key, hold_shared, lock_path, write_bytes

START = "originals-"

FORMATS = {b"\x89PNG": ".png", b"\xff\xd8": ".jpg", b"RIFF": ".webp", b"GIF8": ".gif"}
"""Endings by the first bytes of a file."""

STEM = 60
"""Characters of a picture's own name that its file keeps, for people."""

_held: set[Path] = set()


class Originals:
    """The files of one data set.

    From its first file on its folder counts as in use until the process ends, which keeps
    ``data.cache`` from removing it.

    Args:
        source: where the data set lies.
    """

    def __init__(self, source: Path | str) -> None:
        where = str(source.resolve() if isinstance(source, Path) else source)
        self.folder = cache_dir() / f"{START}{content_key(where)[:12]}"

    def keep_picture(self, name: str, content: bytes) -> Path:
        """The file of a picture's bytes; one without an ending gets that of its format."""
        if not is_image_path(Path(name)):
            name += next((e for start, e in FORMATS.items() if content.startswith(start)), "")
        return self.keep(name, fingerprint(content), lambda: content)

    def keep(self, name: str, key: str, make: Callable[[], bytes]) -> Path:
        """The file with this content, written if it is not there.

        Args:
            name: what people call it; its ending becomes the file's.
            key: of the content: equal keys mean equal bytes.
            make: gives the content.

        Raises:
            RunError: the cache cannot be written, or the disk is full.
        """
        self._begin_use()
        stem, dot, ending = name.rpartition(".")
        plain = re.sub(r"[^\w-]+", "_", stem if dot else name)[-STEM:]
        path = self.folder / f"{plain}-{key[:16]}{dot}{ending.lower() if dot else ''}"
        if not path.is_file():
            write_bytes(path, make())
        return path

    def _begin_use(self) -> None:
        if self.folder not in _held:
            lock = lock_path(self.folder)
            hold_shared(lock)
            _held.add(self.folder)
            with contextlib.suppress(OSError):
                lock.touch()
