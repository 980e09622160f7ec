"""Collecting from a server that misbehaves: what is kept, and what is said of the rest."""

from __future__ import annotations

import csv
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import headstart
from collecting.server import Server, picture
from headstart import __version__
from headstart.config import DatasetOptions
from headstart.data.readers import read
from headstart.errors import ConfigError, DataError, RunError
from headstart.jobs.collect_job import CollectResult

QUICK: dict[str, Any] = {"allow_private": True, "backoff": 0.001, "retries": 2, "timeout": 5.0}


def write_list(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def collect(folder: Path, *urls: str, **limits: Any) -> CollectResult:
    """Collects a list of one class into ``photos``."""
    table = write_list(folder / "cat.csv", "url", *urls)
    return headstart.collect(table, folder / "photos", **{**QUICK, **limits})


def rows_of(result: CollectResult) -> list[dict[str, str]]:
    return rows_in(result.results)


def rows_in(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def files_in(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.glob("*/*") if p.is_file()}


def test_pictures_are_kept_under_the_name_of_their_content(tmp_path: Path, server: Server) -> None:
    result = collect(tmp_path, server.url("/ok/1.gif"), server.url("/png/2.jpg"))
    names = [hashlib.sha256(picture(1)).hexdigest()[:16] + ".jpg"]
    names.append(hashlib.sha256(picture(2, "PNG")).hexdigest()[:16] + ".png")
    assert [row["file"] for row in rows_of(result)] == [f"cat/{name}" for name in names]
    assert (tmp_path / "photos/cat" / names[0]).read_bytes() == picture(1)
    first = rows_of(result)[0]
    assert (first["status"], first["reason"], first["label"]) == ("kept", "", "cat")
    assert first["sha256"] == hashlib.sha256(picture(1)).hexdigest()
    assert int(first["bytes"]) == len(picture(1))
    assert result.to_json()["classes"] == {"cat": 2}


def test_the_folder_is_what_train_reads(tmp_path: Path, server: Server) -> None:
    lists = [
        write_list(tmp_path / f"{name}.csv", *(server.url(f"/ok/{n}") for n in numbers))
        for name, numbers in (("cat", (1, 2)), ("dog", (3,)))
    ]
    headstart.collect(lists, tmp_path / "photos", **QUICK)
    listing = read(tmp_path / "photos", DatasetOptions())
    assert listing.layout == "class-folders"
    assert Counter(a.fields["label"] for a in listing.annotations) == {"cat": 2, "dog": 1}
    assert not listing.omissions


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/gone/1", "refused", "the server answered 404 Not Found"),
        ("/broken/1", "failed", "the server answered 503 Service Unavailable"),
        ("/away/1", "failed", "the server answered 503 Service Unavailable and asks to wait 3600"),
        ("/page/1.jpg", "refused", "not a picture: it is text such as a web page"),
        ("/icon/1", "refused", "a picture of the format ICO, which is not read"),
        ("/empty/1", "refused", "the answer is empty"),
        ("/packed/1", "refused", "the server compresses its answer (gzip)"),
        ("/half/1", "refused", "not a picture: cannot be decoded"),
        ("/cut/1", "failed", "the connection failed: peer closed connection"),
        ("/large/1", "refused", "larger than 200 kB"),
        ("/endless/1", "refused", "larger than 200 kB"),
        ("/circle/1", "refused", "more than 5 redirects"),
        ("/file/1", "refused", "not an address with http or https: 'file:/etc/passwd'"),
    ],
)
def test_a_fault_is_named(
    path: str, status: str, reason: str, tmp_path: Path, server: Server
) -> None:
    result = collect(tmp_path, server.url(path), server.url("/ok/1"), max_bytes=200_000)
    bad, good = rows_of(result)
    assert (bad["status"], good["status"]) == (status, "kept")
    assert bad["reason"].startswith(reason)
    assert result.reasons == {bad["reason"]: 1}
    assert files_in(tmp_path / "photos") == {good["file"]}


@pytest.mark.parametrize(
    ("url", "status", "reason"),
    [
        ("no address at all", "refused", "not an address with http or https"),
        ("http://[::1", "refused", "not a URL: "),
        ("http://example.test:99999/1.jpg", "refused", "not a URL: the port 99999"),
        ("ftp://pictures.test/1.jpg", "refused", "not an address with http or https"),
        ("http://nowhere.test/1.jpg", "failed", "host 'nowhere.test' is not known: no such name"),
        ("http://127.0.0.1:9/1.jpg", "failed", "the connection failed: "),
    ],
)
def test_a_bad_url_is_named(
    url: str, status: str, reason: str, tmp_path: Path, server: Server
) -> None:
    (row,) = rows_of(collect(tmp_path, url))
    assert (row["status"], row["url"]) == (status, url)
    assert row["reason"].startswith(reason)


@pytest.mark.parametrize(
    ("path", "reason"), [("/mute/1", "no answer within 0.1 s"), ("/drip/1", "not complete within")]
)
def test_a_slow_server_is_given_up(path: str, reason: str, tmp_path: Path, server: Server) -> None:
    (row,) = rows_of(collect(tmp_path, server.url(path), timeout=0.1, retries=0))
    assert row["status"] == "failed"
    assert row["reason"].startswith(reason)


def test_what_may_pass_is_tried_again_and_nothing_else(tmp_path: Path, server: Server) -> None:
    paths = ["/shaky/1", "/busy/2", "/broken/3", "/away/4", "/gone/5"]
    result = collect(tmp_path, *map(server.url, paths))
    statuses = ["kept", "kept", "failed", "failed", "refused"]
    assert [row["status"] for row in rows_of(result)] == statuses
    assert [server.asked[path] for path in paths] == [2, 2, 3, 1, 1]


def test_redirects_are_followed(tmp_path: Path, server: Server) -> None:
    (row,) = rows_of(collect(tmp_path, server.url("/to/5")))
    assert (row["status"], row["final_url"]) == ("kept", server.url("/ok/0"))
    (row,) = rows_of(collect(tmp_path / "photos", server.url("/to/6")))
    assert row["reason"] == "more than 5 redirects"


def test_private_addresses_need_permission(tmp_path: Path, server: Server) -> None:
    urls = [server.url("/ok/1"), server.url("/ok/1", "inside.test"), "http://10.0.0.1/a.jpg"]
    rows = rows_of(collect(tmp_path, *urls, allow_private=False))
    assert [row["status"] for row in rows] == ["refused"] * 3
    assert all("which is not public; `--allow-private` permits it" in r["reason"] for r in rows)
    assert not server.asked


def test_every_hop_is_checked(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    from headstart.collecting import addresses

    public = addresses.is_public
    # The server stands for one of the internet, from which a redirect leads inside.
    monkeypatch.setattr(addresses, "is_public", lambda a: str(a) == "127.0.0.1" or public(a))
    (row,) = rows_of(collect(tmp_path, server.url("/inside/1"), allow_private=False))
    assert server.asked["/inside/1"] == 1
    assert row["reason"].startswith("host '169.254.169.254' has the address 169.254.169.254, which")


def test_a_name_is_looked_up_once_for_a_connection(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second look-up could answer with another address than the one that was checked."""
    import socket

    asked, look_up = Counter[str](), socket.getaddrinfo

    def counting(host: str, *rest: Any, **options: Any) -> Any:
        asked[host] += 1
        return look_up(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", counting)
    collect(tmp_path, server.url("/ok/1", "pictures.test"))
    assert asked["pictures.test"] == 1


def test_the_same_picture_is_kept_once_a_class(tmp_path: Path, server: Server) -> None:
    table = write_list(
        tmp_path / "urls.csv",
        "url,label",
        *(f"{server.url(f'/same/{n}')},cat" for n in (1, 2)),
        f"{server.url('/same/3')},dog",
    )
    result = headstart.collect(table, tmp_path / "photos", workers=1, **QUICK)
    first, second, third = rows_of(result)
    assert [first["status"], second["status"], third["status"]] == ["kept", "duplicate", "kept"]
    assert second["reason"] == "another URL of the class has this picture"
    assert first["file"] == second["file"]
    assert len(files_in(tmp_path / "photos")) == 2
    assert result.notes == (
        "pictures that are in more than one class: 1; 'headstart check' names them",
    )


def test_licence_and_source_are_kept(tmp_path: Path, server: Server) -> None:
    table = tmp_path / "urls.csv"
    write_list(table, "label;url;license;source", f"Käse;{server.url('/café/1')};CC0;herbarium")
    (row,) = rows_of(headstart.collect(table, tmp_path / "photos", **QUICK))
    assert (row["status"], row["licence"], row["source"]) == ("kept", "CC0", "herbarium")
    assert row["url"] == server.url("/café/1")
    assert row["file"].startswith("Käse/")


def test_servers_are_told_who_asks(tmp_path: Path, server: Server) -> None:
    collect(tmp_path, server.url("/ok/1"), contact="me@example.org")
    told = server.headers["/ok/1"]
    assert told["user-agent"] == (
        f"headstart/{__version__} (collects pictures for training; me@example.org)"
    )
    assert told["accept-encoding"] == "identity"


@pytest.mark.parametrize("most", [1, 3])
def test_a_host_is_asked_by_few_at_a_time(most: int, tmp_path: Path, server: Server) -> None:
    urls = [server.url(f"/slowly/{n}") for n in range(9)]
    collect(tmp_path, *urls, workers=8, per_host=most)
    assert server.most == most


def test_what_is_done_is_not_fetched_again(tmp_path: Path, server: Server) -> None:
    urls = [server.url(path) for path in ("/ok/1", "/same/2", "/same/3", "/gone/4", "/broken/5")]
    assert collect(tmp_path, *urls, retries=0).fetched == 5
    again = collect(tmp_path, *urls, server.url("/ok/6"), retries=0)
    assert again.fetched == 2
    assert (again.count("kept"), again.count("duplicate"), len(again.outcomes)) == (3, 1, 6)
    assert server.asked["/broken/5"] == 2
    assert collect(tmp_path, *urls, retries=0, again=True).fetched == 2
    assert server.asked["/gone/4"] == 2
    assert server.asked["/ok/1"] == 1


def test_rows_of_earlier_lists_stay(tmp_path: Path, server: Server) -> None:
    collect(tmp_path, server.url("/ok/1"))
    result = collect(tmp_path, server.url("/ok/2"))
    assert [row["url"] for row in rows_of(result)] == [server.url("/ok/1"), server.url("/ok/2")]
    assert len(result.outcomes) == 1


def test_what_a_kill_has_left_is_mended(tmp_path: Path, server: Server) -> None:
    result = collect(tmp_path, server.url("/ok/1"), server.url("/ok/2"))
    content = result.results.read_bytes()
    result.results.write_bytes(content[:-30])
    partial = tmp_path / "photos/cat" / f".{'0' * 16}.jpg.{'a' * 32}.tmp"
    partial.write_bytes(b"half")
    mended = collect(tmp_path, server.url("/ok/1"), server.url("/ok/2"))
    assert (mended.fetched, mended.results.read_bytes()) == (1, content)
    assert not partial.exists()


def test_two_collections_do_not_mix(tmp_path: Path, server: Server) -> None:
    from headstart.storage import exclusive_lock

    with (
        exclusive_lock(tmp_path / "photos/.collect.lock", ""),
        pytest.raises(RunError, match=r"another process collects into .*photos"),
    ):
        collect(tmp_path, server.url("/ok/1"))


def test_another_table_is_not_overwritten(tmp_path: Path, server: Server) -> None:
    (tmp_path / "photos").mkdir()
    write_list(tmp_path / "photos/collected.csv", "a,b", "1,2")
    with pytest.raises(DataError, match=r"collected\.csv is no table of results"):
        collect(tmp_path, server.url("/ok/1"))


def test_limits_are_checked_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        collect(tmp_path, "http://a.test", max_bytes=0, timeout=float("nan"), contact="é")
    assert caught.value.problems == (
        "--max-size must be at least 1, got 0",
        "--timeout must be at least 0.001, got nan",
        "--contact must be plain ASCII for a header, got 'é'",
    )
    with pytest.raises(ConfigError, match="no such limit: speed"):
        collect(tmp_path, "http://a.test", speed=3)


def test_a_killed_collection_goes_on(tmp_path: Path, server: Server) -> None:
    """Killed five times; then every picture is there, whole, and has its row."""
    paths = [f"/slowly/{n}" for n in range(40)] + ["/gone/1", "/page/2", "/shaky/3", "/same/4"]
    table = write_list(tmp_path / "cat.csv", *map(server.url, paths))
    photos = tmp_path / "photos"
    command = [sys.executable, "-m", "headstart", "collect", str(table), "--into", str(photos)]
    command += ["--allow-private", "--workers", "2"]
    for kill in range(1, 6):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while len(files_in(photos)) < 5 * kill and process.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        for name in files_in(photos):
            if not Path(name).name.startswith("."):
                Image.open(photos / name).load()
    done = sum(server.asked.values())
    assert 25 <= done < 44 + 2 * 5  # each kill costs at most the two that were running
    last = subprocess.run(command, capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stderr
    rows = rows_in(photos / "collected.csv")
    assert [row["url"] for row in rows] == [server.url(path) for path in paths]
    assert Counter(row["status"] for row in rows)["refused"] == 2
    kept = {row["file"]: row["sha256"] for row in rows if row["status"] == "kept"}
    assert files_in(photos) == kept.keys()
    found = {name: hashlib.sha256((photos / name).read_bytes()).hexdigest() for name in kept}
    assert found == kept
    # Whatever had a row before a kill was not asked for again; `/shaky` is asked twice anyway.
    assert sum(server.asked.values()) <= 45 + 2 * 5
