"""Certificates: one that is trusted gives pictures, any other a row with the reason."""

from __future__ import annotations

import csv
from pathlib import Path

import httpx
import pytest
import trustme

import headstart
from collecting.server import Server, serving
from headstart.jobs.collect_job import CollectResult

PLACE = "127.0.0.1"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusted(
    authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adds the authority to those that this machine trusts."""
    make = httpx.create_ssl_context

    def trusting(*arguments: bool, **options: bool) -> object:
        context = make(*arguments, **options)
        authority.configure_trust(context)
        return context

    monkeypatch.setattr(httpx, "create_ssl_context", trusting)


def collect(folder: Path, *urls: str) -> CollectResult:
    table = folder / "cat.csv"
    table.write_text("\n".join(["url", *urls, ""]), encoding="utf-8")
    return headstart.collect(
        table, folder / "photos", allow_private=True, retries=2, backoff=0.001, timeout=5.0
    )


def reasons(result: CollectResult) -> list[tuple[str, str]]:
    with result.results.open(encoding="utf-8", newline="") as file:
        return [(row["status"], row["reason"]) for row in csv.DictReader(file)]


@pytest.mark.usefixtures("trusted", "server")
def test_pictures_come_over_https(tmp_path: Path, authority: trustme.CA) -> None:
    with serving(authority.issue_cert(PLACE)) as secure:
        result = collect(tmp_path, secure.url("/ok/1"), secure.url("/gone/2"), secure.url("/cut/3"))
    assert secure.url("/").startswith("https://")
    assert [status for status, _ in reasons(result)] == ["kept", "refused", "failed"]
    assert len(list((tmp_path / "photos/cat").iterdir())) == 1


@pytest.mark.usefixtures("server")
def test_a_certificate_of_nobody_who_is_trusted(tmp_path: Path, authority: trustme.CA) -> None:
    with serving(authority.issue_cert(PLACE)) as secure:
        result = collect(tmp_path, secure.url("/ok/1"))
    [(status, reason)] = reasons(result)
    assert status == "refused"
    assert reason.startswith("the certificate of 127.0.0.1 is not trusted: ")
    # It was never asked for the picture, and not tried again.
    assert not secure.asked


@pytest.mark.usefixtures("trusted", "server")
def test_a_certificate_of_another_host(tmp_path: Path, authority: trustme.CA) -> None:
    with serving(authority.issue_cert("other.test")) as secure:
        result = collect(tmp_path, secure.url("/ok/1"))
    [(status, reason)] = reasons(result)
    assert status == "refused"
    assert "not valid for '127.0.0.1'" in reason


@pytest.mark.usefixtures("trusted")
def test_one_list_may_hold_both_kinds(
    tmp_path: Path, authority: trustme.CA, server: Server
) -> None:
    with serving(authority.issue_cert(PLACE)) as secure:
        result = collect(tmp_path, server.url("/ok/1"), secure.url("/ok/2"))
    assert [status for status, _ in reasons(result)] == ["kept", "kept"]
