"""Export formats: one module each, found by listing this package; none is named anywhere else.

A module ``<name>.py`` holds ``FORMAT``, a ``Format``. It imports its libraries inside functions, so
that what a format offers can be listed where they are not installed.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from typing import cast

from headstart.exporting.formats.protocol import Format

NO_FORMATS = frozenset({"protocol"})


@functools.cache
def format_names() -> tuple[str, ...]:
    """Names of all formats, in alphabetical order."""
    found = {entry.name for entry in pkgutil.iter_modules(__path__)}
    return tuple(sorted(found - NO_FORMATS))


def export_format(name: str) -> Format:
    """A format by its name.

    Raises:
        KeyError: there is no such format.
    """
    if name not in format_names():
        raise KeyError(name)
    return cast("Format", importlib.import_module(f"{__name__}.{name}").FORMAT)
