"""How far a collection goes, and how one URL can fail."""

from __future__ import annotations

import dataclasses

from headstart.errors import ConfigError, DataError


class RefusedError(DataError):
    """A URL gives no picture, and would not give one later either."""


class FailedError(DataError):
    """A URL gave no picture this time.

    Args:
        message: why.
        wait: seconds that the server asks to wait before the next request; None says nothing.
    """

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How far a collection goes.

    Attributes:
        allow_private: also ask hosts of the local net and this machine.
        contact: address for whoever runs a server that is asked; goes into the User-Agent.
        max_bytes: a larger picture is refused.
        timeout: seconds to wait for a connection, and for each next piece of an answer; one
            picture may take ten times as long.
        retries: how often a request is repeated after a fault that may pass.
        workers: downloads at a time.
        per_host: downloads at a time from one host.
        backoff: most seconds before the first repetition; twice as many before each further one.

    Raises:
        ConfigError: a value cannot be meant; all of them are listed.
    """

    allow_private: bool = False
    contact: str = ""
    max_bytes: int = 20_000_000
    timeout: float = 20.0
    retries: int = 3
    workers: int = 16
    per_host: int = 2
    backoff: float = 1.0

    def __post_init__(self) -> None:
        least = {"max_bytes": 1, "timeout": 0.001, "retries": 0, "workers": 1, "per_host": 1}
        options = {"max_bytes": "max-size", "per_host": "per-host"}
        problems = [
            f"--{options.get(name, name)} must be at least {low}, got {getattr(self, name)}"
            for name, low in least.items()
            # Written so that NaN is a problem, too.
            if not getattr(self, name) >= low
        ]
        if not (self.contact.isascii() and self.contact.isprintable()):
            problems.append(f"--contact must be plain ASCII for a header, got {self.contact!r}")
        if problems:
            raise ConfigError(problems)
