"""A server that misbehaves in every way that a list of URLs meets, for tests."""

from __future__ import annotations

import collections
import contextlib
import io
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import trustme
from PIL import Image

from pictures import make_picture

PAGE = b"<!doctype html><title>Not here</title>"


def picture(seed: int, kind: str = "JPEG") -> bytes:
    """The bytes of a generated picture."""
    stream = io.BytesIO()
    Image.fromarray(make_picture("disc", seed)).save(stream, kind)
    return stream.getvalue()


class Server(ThreadingHTTPServer):
    """Answers ``/<fault>/<number>`` with a fault, and says what it was asked.

    Attributes:
        asked: requests by path.
        headers: of the last request to each path, by lower-case name.
        most: most requests that were answered at the same time.
    """

    daemon_threads = True

    def __init__(self, certificate: trustme.LeafCert | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.scheme = "http"
        if certificate is not None:
            self.scheme = "https"
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            self.socket = context.wrap_socket(
                self.socket, server_side=True, do_handshake_on_connect=False
            )
        self.asked: collections.Counter[str] = collections.Counter()
        self.headers: dict[str, dict[str, str]] = {}
        self.running = self.most = 0
        self.lock = threading.Lock()
        self.ending = threading.Event()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """The address of a path."""
        return f"{self.scheme}://{host}:{self.server_port}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are what some tests want."""


@contextlib.contextmanager
def serving(certificate: trustme.LeafCert | None = None) -> Iterator[Server]:
    """A server that runs while the context is open; with a certificate it speaks HTTPS."""
    server = Server(certificate)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.ending.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        server = self.server
        with server.lock:
            server.asked[self.path] += 1
            server.headers[self.path] = {k.lower(): v for k, v in self.headers.items()}
            server.running += 1
            server.most = max(server.most, server.running)
        try:
            parts = [*urllib.parse.unquote(self.path).replace("café", "ok").split("/"), "0"]
            getattr(self, f"_{parts[1]}")(int(parts[2].partition(".")[0]))
        finally:
            with server.lock:
                server.running -= 1

    def log_message(self, *args: object) -> None:
        """Silence."""

    def _send(self, content: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content_Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)

    def _first(self, status: int, at: int, **headers: str) -> None:
        """The status to the first request, a picture to the next."""
        if self.server.asked[self.path] == 1:
            self._send(b"", status, **headers)
        else:
            self._send(picture(at))

    def _ok(self, at: int) -> None:
        self._send(picture(at), Content_Type="text/plain")

    def _png(self, at: int) -> None:
        self._send(picture(at, "PNG"), Content_Type="image/jpeg")

    def _same(self, at: int) -> None:
        self._send(picture(0))

    def _slowly(self, at: int) -> None:
        time.sleep(0.03)
        self._send(picture(at))

    def _gone(self, at: int) -> None:
        self._send(PAGE, 404)

    def _broken(self, at: int) -> None:
        self._send(PAGE, 503)

    def _shaky(self, at: int) -> None:
        self._first(500, at)

    def _busy(self, at: int) -> None:
        self._first(429, at, Retry_After="0")

    def _away(self, at: int) -> None:
        self._send(b"", 503, Retry_After="3600")

    def _page(self, at: int) -> None:
        self._send(PAGE, Content_Type="image/jpeg")

    def _icon(self, at: int) -> None:
        self._send(picture(at, "ICO"))

    def _empty(self, at: int) -> None:
        self._send(b"")

    def _packed(self, at: int) -> None:
        self._send(picture(at), Content_Encoding="gzip")

    def _half(self, at: int) -> None:
        content = picture(at)
        self._send(content[: len(content) // 2])

    def _cut(self, at: int) -> None:
        content = picture(at)
        self._send(content[: len(content) // 2], Content_Length=str(len(content)))
        self.close_connection = True

    def _large(self, at: int) -> None:
        self._send(bytes(300_000))

    def _endless(self, at: int) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.server.ending.is_set():
            self.wfile.write(bytes(10_000))

    def _mute(self, at: int) -> None:
        self.server.ending.wait(5)
        self.close_connection = True

    def _drip(self, at: int) -> None:
        self.send_response(200)
        self.end_headers()
        while not self.server.ending.wait(0.02):
            self.wfile.write(b".")

    def _to(self, at: int) -> None:
        """``/to/3`` leads over two more redirects to ``/ok/0``."""
        self._send(b"", 302, Location=f"/to/{at - 1}" if at > 1 else "/ok/0")

    def _circle(self, at: int) -> None:
        self._send(b"", 301, Location=self.path)

    def _inside(self, at: int) -> None:
        self._send(b"", 302, Location="http://169.254.169.254/latest/meta-data")

    def _file(self, at: int) -> None:
        self._send(b"", 302, Location="file:///etc/passwd")
