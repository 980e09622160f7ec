"""The folder that a data set is written into: pictures copied or linked, names that are unique."""

from __future__ import annotations

import io
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from PIL import Image, ImageOps

from headstart.config import DATASET_FILE
from headstart.data.writers import Content, Thing
from headstart.errors import DataError, RunError
from headstart.storage import room_hint, write_text

Link = Literal["copy", "hardlink", "symlink"]
LINKS: tuple[Link, ...] = get_args(Link)


class Folder:
    """A new folder.

    Args:
        root: must be empty.
        link: how pictures get into it.
        content: what will be written; pictures that EXIF turns are saved upright where it says
            something about places.
    """

    def __init__(self, root: Path, link: Link, content: Content) -> None:
        self.root = root
        self._link = link
        self._upright = content.placed
        self._taken: set[str] = set()
        levels = zip(*(thing.image.split("/")[:-1] for thing in content.things), strict=False)
        same = [len(set(names)) == 1 for names in levels]
        self._shared = [*same, False].index(False)

    def picture(self, thing: Thing, folder: str, *, flat: bool) -> str:
        """Puts a picture into a folder below the root.

        Args:
            thing: of the picture.
            folder: relative to the root.
            flat: whether all of them lie in one folder; their former folders become part of the
                names. Names without ending are unique either way.

        Returns:
            Its path relative to ``folder``, with forward slashes; without the folders that all
            pictures share.

        Raises:
            RunError: the disk is full, or knows no links.
            DataError: the picture cannot be read.
        """
        turned = self._upright and thing.frame.orientation != 1
        own = "/".join(thing.image.split("/")[self._shared :])
        stem, _, suffix = own.rpartition(".")
        stem = re.sub(r"[^\w.-]+", "_", stem) if flat else stem
        name = self._unique(stem, folder) + (".png" if turned else f".{suffix}")
        target = self.root / folder / name
        if turned:
            self.bytes(f"{folder}/{name}", _upright(thing))
            return name
        source = thing.path.resolve()
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if self._link == "copy":
                shutil.copyfile(source, target)
            elif self._link == "hardlink":
                os.link(source, target)
            else:
                target.symlink_to(source)
        except OSError as error:
            other = "" if self._link == "copy" else "; try --pictures copy"
            raise RunError(
                f"cannot write {target} as a {self._link} of {source}: "
                f"{error.strerror or error}{room_hint(error)}{other}"
            ) from error
        return name

    def bytes(self, name: str, data: bytes) -> None:
        """Writes one of many files below the root.

        Not atomically, which would cost a wait for the disk each: what a kill leaves behind lacks
        the file that makes a data set of it, which ``text`` writes last.
        """
        target = self.root / name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        except OSError as error:
            reason = error.strerror or error
            raise RunError(f"cannot write {target}: {reason}{room_hint(error)}") from error

    def text(self, name: str, text: str) -> None:
        """Writes a text file below the root."""
        write_text(self.root / name, text)

    def options(self, options: Mapping[str, Any]) -> None:
        """Writes ``dataset.yaml``, with what the format itself does not say."""
        self.text(DATASET_FILE, options_text(options))

    def _unique(self, stem: str, folder: str) -> str:
        """A name that no other one equals where upper and lower case are the same."""
        number, name = 1, stem
        while (folder + "/" + name).casefold() in self._taken:
            number += 1
            name = f"{stem}-{number}"
        self._taken.add((folder + "/" + name).casefold())
        return name


def options_text(options: Mapping[str, Any]) -> str:
    """The content of ``dataset.yaml``."""
    text: str = yaml.safe_dump(
        dict(options), sort_keys=False, allow_unicode=True, default_flow_style=None
    )
    return text


def check_new_folder(into: Path, data: Path) -> None:
    """Refuses a folder that is taken, or that lies in the data.

    Raises:
        DataError: says which.
    """
    folder = (data if data.is_dir() else data.parent).resolve()
    if into.resolve().is_relative_to(folder):
        raise DataError(f"--into {into} lies in {folder}: the data is not changed, say another")
    if into.exists() and not into.is_dir():
        raise DataError(f"--into {into} is a file: say the name of a new folder")
    if into.is_dir() and any(into.iterdir()):
        raise DataError(f"--into {into} is not empty: nothing is overwritten, say a new folder")


def png(pixels: Any) -> bytes:
    """The content of a PNG file of an array (h, w) or (h, w, 3), uint8."""
    return _encoded(Image.fromarray(pixels))


def _encoded(image: Image.Image) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def _upright(thing: Thing) -> bytes:
    """A PNG loses nothing, and says nothing about turning."""
    try:
        with Image.open(thing.path) as image:
            turned = ImageOps.exif_transpose(image)
            turned.info.pop("exif", None)
            return _encoded(turned)
    except OSError as error:
        raise DataError(f"{thing.image} cannot be decoded ({error})") from error
