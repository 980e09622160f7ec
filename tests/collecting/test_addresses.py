"""No list of URLs reaches the local net, however the address is written."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from headstart.collecting.addresses import is_public, resolve
from headstart.errors import DataError

PRIVATE = [
    "127.0.0.1",
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fc00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "2002:7f00:1::",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
]
PUBLIC = ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("text", PRIVATE)
def test_special_addresses_are_not_public(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_addresses_of_the_internet_are_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


def test_a_private_host_needs_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = [(0, 0, 0, "", ("127.0.0.1", 80))] * 2
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)
    with pytest.raises(DataError, match=r"127\.0\.0\.1, which is not public.*--allow-private"):
        resolve("127.0.0.1", 80)
    assert resolve("127.0.0.1", 80, allow_private=True) == ("127.0.0.1",)


def test_one_private_address_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = [(0, 0, 0, "", (text, 80)) for text in ("8.8.8.8", "fe80::1%eth0")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)
    with pytest.raises(DataError, match="fe80::1%eth0"):
        resolve("pictures.example", 80)


def test_an_unknown_host_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror("no such name")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(DataError, match=r"host 'nowhere\.example' is not known: no such name"):
        resolve("nowhere.example", 80)
