"""Fetches the content of one URL: politely, bounded, and from nowhere that was not checked."""

from __future__ import annotations

import datetime as dt
import email.utils
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any

import httpcore
import httpx
import tenacity

from headstart import __version__
from headstart.collecting.addresses import resolve
from headstart.collecting.limits import FailedError, Limits, RefusedError
from headstart.data.cache import size_text

REDIRECTS = 5
"""Redirects that are followed."""

PATIENCE = 60.0
"""Seconds that a server may ask to wait; beyond that the URL fails at once."""

WHOLE = 10
"""One picture may take this many times the time-out."""

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses of faults that may pass."""


class StoppedError(Exception):
    """The collection ends: nothing further is to be fetched."""


class Fetcher:
    """Fetches URLs; may be used by several threads.

    Args:
        limits: how far to go.
        stop: when set, fetching ends with ``StoppedError``.
    """

    def __init__(self, limits: Limits, stop: threading.Event) -> None:
        self._limits = limits
        self._stop = stop
        self._quiet: dict[str, float] = {}
        contact = f"; {limits.contact}" if limits.contact else ""
        self._client = httpx.Client(
            transport=_Transport(limits),
            timeout=limits.timeout,
            # A proxy of the environment would choose the address in our place.
            trust_env=False,
            headers={
                "User-Agent": f"headstart/{__version__} (collects pictures for training{contact})",
                "Accept": "image/*",
                # A compressed answer could unpack to any size.
                "Accept-Encoding": "identity",
            },
        )
        # Random, so that requests that failed together do not come again together.
        self._backoff = tenacity.wait_random_exponential(multiplier=limits.backoff, max=PATIENCE)

    def fetch(self, url: str) -> tuple[bytes, str]:
        """The content of a URL, and the URL to which redirects led.

        Raises:
            RefusedError: it gives nothing that is wanted.
            FailedError: it gave nothing, also after the repetitions.
            StoppedError: the collection ends.
        """
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self._limits.retries + 1),
            wait=self._wait,
            retry=tenacity.retry_if_exception(_may_pass),
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(self._follow, url)

    def close(self) -> None:
        """Closes all connections."""
        self._client.close()

    def _follow(self, url: str) -> tuple[bytes, str]:
        address = _address(url)
        end = time.monotonic() + WHOLE * self._limits.timeout
        try:
            for _ in range(REDIRECTS + 1):
                self._keep_quiet(address.host)
                with self._client.stream("GET", address) as response:
                    if not response.has_redirect_location:
                        self._check(response)
                        return self._body(response, end), str(address)
                    address = _address(str(address.join(response.headers["Location"])))
        except httpcore.TimeoutException as error:
            raise FailedError(f"no answer within {self._limits.timeout:g} s") from error
        except (httpcore.NetworkError, httpcore.ProtocolError, httpx.HTTPError) as error:
            # httpcore hands on what the handshake said as the argument of its own error.
            said = error.args[0] if error.args else None
            if isinstance(said, ssl.SSLCertVerificationError):
                why = said.verify_message
                raise RefusedError(
                    f"the certificate of {address.host} is not trusted: {why}"
                ) from error
            text = str(error) or type(error).__name__
            raise FailedError(f"the connection failed: {text}") from error
        except httpx.InvalidURL as error:
            raise RefusedError(f"a redirect leads to no address: {error}") from error
        raise RefusedError(f"more than {REDIRECTS} redirects")

    def _check(self, response: httpx.Response) -> None:
        """Raises for an answer that carries no content that is wanted."""
        said = f"the server answered {response.status_code} {response.reason_phrase}".rstrip()
        if response.status_code in PASSING:
            wait = _asked_to_wait(response.headers.get("Retry-After", ""))
            if wait is not None and wait > PATIENCE:
                raise FailedError(f"{said} and asks to wait {wait:.0f} s", wait)
            if wait is not None:
                # The host is meant, not one of its pictures.
                self._quiet[response.url.host] = time.monotonic() + wait
            raise FailedError(said, wait)
        if not response.is_success:
            raise RefusedError(said)
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            raise RefusedError(f"the server compresses its answer ({encoding}) without being asked")

    def _body(self, response: httpx.Response, end: float) -> bytes:
        largest = self._limits.max_bytes
        length = response.headers.get("Content-Length", "")
        body = bytearray()
        if length.isdecimal() and int(length) > largest:
            raise RefusedError(f"larger than {size_text(largest)}")
        for piece in response.iter_raw():
            body += piece
            if len(body) > largest:
                raise RefusedError(f"larger than {size_text(largest)}")
            if time.monotonic() > end:
                raise FailedError(f"not complete within {WHOLE * self._limits.timeout:g} s")
            if self._stop.is_set():
                raise StoppedError
        if not body:
            raise RefusedError("the answer is empty")
        return bytes(body)

    def _keep_quiet(self, host: str) -> None:
        self._sleep(max(0.0, self._quiet.get(host, 0.0) - time.monotonic()))

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        # What the server asked for is kept before the next request to the host.
        asked = isinstance(error, FailedError) and error.wait is not None
        return 0.0 if asked else self._backoff(state)

    def _sleep(self, seconds: float) -> None:
        if self._stop.wait(seconds):
            raise StoppedError


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, FailedError) and (error.wait or 0.0) <= PATIENCE


def _address(url: str) -> httpx.URL:
    try:
        address = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise RefusedError(f"not a URL: {error}") from error
    if address.scheme not in ("http", "https") or not address.host:
        raise RefusedError(f"not an address with http or https: {str(address)[:200]!r}")
    if (address.port or 0) > 65535:
        raise RefusedError(f"not a URL: the port {address.port} is above 65535")
    return address


def _asked_to_wait(text: str) -> float | None:
    """Seconds of a header ``Retry-After``: a number or a date; None where it says nothing."""
    if text.strip().isdecimal():
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    # RFC 9110: a date without a zone is in Greenwich time.
    until = until if until.tzinfo else until.replace(tzinfo=dt.UTC)
    return max(0.0, (until - dt.datetime.now(dt.UTC)).total_seconds())


class _CheckedBackend(httpcore.NetworkBackend):
    """Connects to the address that was checked: a name could resolve anew to another one."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failed: Exception | None = None
        for address in resolve(host, port, allow_private=self._limits.allow_private):
            try:
                return self._inner.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed or httpcore.ConnectError(f"host '{host}' has no address")


class _Transport(httpx.BaseTransport):
    """What httpx's own transport does, with a back end that checks addresses."""

    def __init__(self, limits: Limits) -> None:
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=limits.workers,
            max_keepalive_connections=limits.workers,
            network_backend=_CheckedBackend(limits),
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        answer = self._pool.handle_request(
            httpcore.Request(
                method=request.method,
                url=httpcore.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        stream = _Stream(answer)
        return httpx.Response(
            answer.status, headers=answer.headers, stream=stream, extensions=answer.extensions
        )

    def close(self) -> None:
        self._pool.close()


class _Stream(httpx.SyncByteStream):
    def __init__(self, answer: httpcore.Response) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[bytes]:
        yield from self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()
