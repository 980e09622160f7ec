"""The exception tree: everything a caller can mend derives from ``HeadstartError``.

The library raises; the command line prints the message on one line and exits with status 2.
Any other exception is a defect of headstart and exits with status 1.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence


class HeadstartError(Exception):
    """A mistake in the input: the message says what was wrong, what was received, what to do."""


class ConfigError(HeadstartError):
    """One or more settings are invalid; all of them are listed at once.

    Attributes:
        problems: one sentence for each invalid setting, in the order of the settings.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class DataError(HeadstartError):
    """The data set cannot be used as it is."""


class UnreadableImageError(DataError):
    """A file is not a picture that can be decoded completely."""


class MissingDecoderError(UnreadableImageError):
    """A file is a picture of a kind that needs an extra which is not installed."""


class ModelError(HeadstartError):
    """A model folder is missing, incomplete, altered, or of an unknown version."""


class RunError(HeadstartError):
    """A run folder cannot be written, resumed or read."""


class MissingExtraError(HeadstartError):
    """An optional dependency is needed for what was asked.

    Args:
        purpose: what needs it, as the subject of a sentence ("Training").
        extra: name of the extra in ``pip install "headstart[<extra>]"``.
        module: the module whose import failed.
    """

    def __init__(self, purpose: str, extra: str, module: str) -> None:
        super().__init__(
            f"{purpose} needs the extra '{extra}' (module '{module}' is not installed): "
            f'pip install "headstart[{extra}]"'
        )


@contextlib.contextmanager
def needing_extra(purpose: str, extra: str) -> Iterator[None]:
    """Turns a failed import of somebody else's module into the command that installs it.

    Args:
        purpose: what needs it, as the subject of a sentence ("Training").
        extra: name of the extra that brings the module.

    Raises:
        MissingExtraError: a module is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("headstart"):
            raise
        raise MissingExtraError(purpose, extra, error.name) from error
