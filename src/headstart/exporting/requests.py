"""What was asked of ``export``, checked before anything is read or converted."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Sequence

from headstart.errors import ConfigError
from headstart.exporting.formats import export_format, format_names
from headstart.exporting.formats.protocol import Format

Request = tuple[Format, str]
"""A format and one of its precisions."""


def parse_requests(
    to: str | Sequence[str], precision: str | Sequence[str], tolerance: float
) -> list[Request]:
    """The files that were asked for, format by format.

    A precision that only some of the formats have is made for those.

    Args:
        to: names of formats, or one text with commas.
        precision: the same of precisions.
        tolerance: percentage points.

    Raises:
        ConfigError: lists every unknown name, every extra that is missing, a bad tolerance.
    """
    names, precisions = _names(to), _names(precision)
    problems = _unknown("--to", names, format_names())
    known = [export_format(name) for name in names if name in format_names()]
    everything = dict.fromkeys(p for name in format_names() for p in export_format(name).modules)
    problems += _unknown("--precision", precisions, tuple(everything))
    for wanted in precisions:
        having = [found for found in known if wanted in found.modules]
        if wanted in everything and known and not having:
            offers = "; ".join(f"{f.name} has {', '.join(f.modules)}" for f in known)
            problems.append(f"--precision {wanted} is offered by none of --to: {offers}")
    requests = [
        (found, wanted) for found in known for wanted in precisions if wanted in found.modules
    ]
    problems += _missing(requests)
    if not tolerance > 0:
        problems.append(f"`--tolerance` must be above 0 percentage points, got {tolerance:g}")
    if problems:
        raise ConfigError(problems)
    return requests


def _names(given: str | Sequence[str]) -> list[str]:
    parts = given.split(",") if isinstance(given, str) else given
    return list(dict.fromkeys(part.strip().lower() for part in parts))


def _unknown(option: str, names: Sequence[str], known: Sequence[str]) -> list[str]:
    problems = []
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"; did you mean {close[0]}?" if close else ""
            problems.append(f"{option} must be among {', '.join(known)}, got {name!r}{hint}")
    return problems


def _missing(requests: Sequence[Request]) -> list[str]:
    """One sentence for each format whose libraries are not installed."""
    missing: dict[str, tuple[Format, list[str]]] = {}
    for found, precision in requests:
        for module in found.modules[precision]:
            if importlib.util.find_spec(module) is None:
                modules = missing.setdefault(found.name, (found, []))[1]
                if module not in modules:
                    modules.append(module)
    return [
        f"--to {found.name} needs the extra '{found.extra}' (not installed: {', '.join(modules)}): "
        f'pip install "headstart[{found.extra}]"'
        for found, modules in missing.values()
    ]
