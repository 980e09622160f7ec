"""What is remembered of files."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from headstart.data.fingerprints import VERSION, FingerprintIndex, Scanned, fingerprint
from headstart.errors import RunError


@pytest.fixture
def index(tmp_path: Path) -> Iterator[FingerprintIndex]:
    opened = FingerprintIndex(tmp_path / "new" / "folder")
    yield opened
    opened.close()


def test_a_fingerprint_is_128_bits_of_blake2b() -> None:
    # RFC 7693 with a digest of 16 bytes; the second value is coreutils' `b2sum -l 128` of "abc".
    assert fingerprint(b"abc") == hashlib.blake2b(b"abc", digest_size=16).hexdigest()
    assert fingerprint(b"abc") == "cf4ab791c62b8d2b2109c90275287816"


def test_verdicts_are_remembered_across_openings(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"abc")
    verdicts = [Scanned("f1"), Scanned("f2", "broken"), Scanned("f3", None, 999)]
    assert len(verdicts) == 3
    for verdict in verdicts:
        first = FingerprintIndex(tmp_path)
        first.put([(path, verdict)])
        first.close()
        second = FingerprintIndex(tmp_path)
        assert second.get(path) == verdict
        second.close()


def test_a_changed_file_is_not_known(tmp_path: Path, index: FingerprintIndex) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"abc")
    index.put([(path, Scanned("f1"))])
    time = path.stat().st_mtime_ns
    for other in (time - 1, time + 1):
        os.utime(path, ns=(time, other))
        assert index.get(path) is None
    os.utime(path, ns=(time, time))
    assert index.get(path) == Scanned("f1")
    path.write_bytes(b"abcd")
    os.utime(path, ns=(time, time))
    assert index.get(path) is None


def test_hashes_are_remembered_across_openings(tmp_path: Path) -> None:
    wanted = {f"f{number}": bytes([number % 256]) * (number % 9) for number in range(1200)}
    first = FingerprintIndex(tmp_path)
    assert first.hashes(wanted) == {}
    first.put_hashes(wanted)
    first.close()
    second = FingerprintIndex(tmp_path)
    assert second.hashes([*wanted, "unknown"]) == wanted
    assert second.hashes(["f7", "f0"]) == {"f7": b"\7" * 7, "f0": b""}
    second.close()


def test_relative_and_absolute_paths_are_one_file(
    tmp_path: Path, index: FingerprintIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(b"abc")
    monkeypatch.chdir(tmp_path)
    index.put([(Path("a.png"), Scanned("f1"))])
    assert index.get(tmp_path / "a.png") == Scanned("f1")


@pytest.mark.parametrize("damage", ["file instead of folder", "no database"])
def test_a_folder_that_cannot_be_used_says_what_to_do(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "cache"
    if damage == "no database":
        folder.mkdir()
        (folder / f"fingerprints-{VERSION}.sqlite").write_bytes(b"not a database" * 100)
    else:
        folder.touch()
    with pytest.raises(
        RunError, match=r"cannot write the cache in .*cache: .*; set HEADSTART_CACHE to a folder"
    ):
        FingerprintIndex(folder)


def test_an_index_that_cannot_be_written_is_an_error(
    tmp_path: Path, index: FingerprintIndex
) -> None:
    with sqlite3.connect(next((tmp_path / "new" / "folder").glob("*.sqlite"))) as other:
        other.execute("drop table files")
    other.close()
    with pytest.raises(RunError, match="cannot write the cache of fingerprints: no such table"):
        index.put([(tmp_path, Scanned("f1"))])
