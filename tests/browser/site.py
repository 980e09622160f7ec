"""A local server for pages under test, and the pages that run exported files."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from architecture.sources import ROOT

PAGES = Path(__file__).parent / "pages"
PACKAGES = ROOT / "web" / "node_modules"

MOUNTED = {"/pages/": PAGES, "/packages/": PACKAGES}
"""Folders beside the one that is served as the root."""


class _Handler(SimpleHTTPRequestHandler):
    """Files with the headers that threads in WebAssembly need."""

    extensions_map = {  # noqa: RUF012 - as the base class has it
        **SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def translate_path(self, path: str) -> str:
        plain = path.partition("?")[0]
        for prefix, folder in MOUNTED.items():
            if plain.startswith(prefix):
                return str(folder / plain.removeprefix(prefix))
        return super().translate_path(path)

    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, *args: object) -> None:
        """Silent."""


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serves a folder on this machine alone; gives its address without a slash at the end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
