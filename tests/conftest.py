"""What all tests share: no network, no traces outside the test's own folder, tiny picture sets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pictures import write_class_folders


@pytest.fixture(scope="session", autouse=True)
def _own_folders_for_shared_fixtures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fixtures that outlive a test are made before its own folders are set."""
    folder = tmp_path_factory.mktemp("headstart")
    with pytest.MonkeyPatch.context() as patch:
        _set_folders(patch, folder)
        _block_network(patch)
        yield


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test starts with an empty cache and an empty ledger."""
    _set_folders(monkeypatch, tmp_path)


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    """Class folders: 3 classes with 12 pictures of 64 x 48 pixels each."""
    return write_class_folders(tmp_path / "pictures")


def _set_folders(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setenv("HEADSTART_CACHE", str(folder / "headstart-cache"))
    patch.setenv("HEADSTART_STATE", str(folder / "headstart-state"))


def _block_network(patch: pytest.MonkeyPatch) -> None:
    """A connection fails the test, whatever the code does with exceptions."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            pytest.fail(f"the network was used: connect to {address!r}")
        connect(self, address)

    def refused(*args: Any, **options: Any) -> None:
        pytest.fail(f"the network was used: look-up of {args[0]!r}")

    patch.setattr(socket.socket, "connect", guarded)
    patch.setattr(socket.socket, "connect_ex", guarded)
    patch.setattr(socket, "getaddrinfo", refused)
    patch.setattr(socket, "gethostbyname", refused)
