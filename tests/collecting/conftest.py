"""The tests of this folder may reach a server on this machine, and nothing else."""

from __future__ import annotations

import _socket
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from collecting.server import Server, serving

HOSTS = {"pictures.test": "127.0.0.1", "inside.test": "127.0.0.1"}
"""What the look-up of names answers."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server that misbehaves."""

    def connect(self: socket.socket, address: Any) -> None:
        if address[0] != "127.0.0.1":
            pytest.fail(f"the network was used: connect to {address!r}")
        _socket.socket.connect(self, address)

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        if host not in HOSTS and not host.replace(".", "").isdecimal():
            raise socket.gaierror("no such name")
        found = (HOSTS.get(host, host), port)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", found)]

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with serving() as running:
        yield running
