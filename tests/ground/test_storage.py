"""Files are whole or not there, locks exclude other processes, keys are the same everywhere."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headstart import storage
from headstart.errors import RunError


def test_keys_are_blake2b_of_canonical_json() -> None:
    # Worked out here from the definition, without the function: compact JSON with sorted keys.
    text = '["views",3,{"a":[1,2],"b":"\\u00e4"},null,0.5]'
    expected = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    found = storage.content_key("views", 3, {"b": "ä", "a": (1, 2)}, None, 0.5)
    assert found == expected == "8f6faee8a2e06f0714e876c1b6105c72"
    seed = storage.seed_from("views", 3, {"b": "ä", "a": (1, 2)}, None, 0.5)
    assert seed == int(expected[:16], 16) >> 1
    assert storage.fraction_from("views", 3, {"b": "ä", "a": (1, 2)}, None, 0.5) == seed / 2**63


def test_keys_differ_with_parts_and_their_order() -> None:
    keys = [
        storage.content_key(*parts)
        for parts in ((), ("a",), ("a", "b"), ("b", "a"), ("ab",), (["a", "b"],), (1,), ("1",))
    ]
    assert len(set(keys)) == 8


def test_seeds_fit_torch_and_fractions_spread() -> None:
    fractions = [storage.fraction_from("side", at) for at in range(400)]
    assert all(0 <= fraction < 1 for fraction in fractions)
    # Mean of 400 uniform numbers: 0.5 with a standard deviation of 0.0144.
    assert abs(sum(fractions) / 400 - 0.5) < 0.06
    assert max(storage.seed_from(at) for at in range(400)) < 2**63


def test_files_are_written_with_their_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.json"
    storage.write_json(path, {"ä": [1, 2]})
    assert path.read_bytes() == '{\n  "ä": [\n    1,\n    2\n  ]\n}\n'.encode()
    assert storage.read_json(path) == {"ä": [1, 2]}
    storage.write_text(path, "one\ntwo\r\n")
    assert path.read_bytes() == b"one\ntwo\r\n"
    assert [found.name for found in path.parent.iterdir()] == ["c.json"]


def fails_halfway(temporary: Path) -> None:
    temporary.write_text("half of the new", encoding="utf-8")
    raise ValueError("the writer broke")


def fills_the_disk(temporary: Path) -> None:
    temporary.write_text("half of the new", encoding="utf-8")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("write", "kind", "message"),
    [
        (fails_halfway, ValueError, "the writer broke"),
        (
            fills_the_disk,
            RunError,
            r"cannot write .*model\.json: No space left on device; free space, .*cache --clear",
        ),
    ],
)
def test_a_writer_that_fails_leaves_the_old_file(
    tmp_path: Path, write: Callable[[Path], None], kind: type[Exception], message: str
) -> None:
    path = tmp_path / "model.json"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(kind, match=message):
        storage.write_atomically(path, write)
    assert path.read_text(encoding="utf-8") == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["model.json"]


def test_the_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    seen: list[bool] = []

    def write(temporary: Path) -> None:
        temporary.write_bytes(b"all")
        seen.append(path.exists())
        assert temporary.parent == path.parent, "a rename over file systems is not atomic"

    storage.write_atomically(path, write)
    assert seen == [False]
    assert path.read_bytes() == b"all"


@pytest.mark.parametrize("below", ["a.json", "folder/a.json"])
def test_a_folder_that_is_a_file_is_an_error_that_names_the_path(
    tmp_path: Path, below: str
) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(RunError, match=r"cannot write .*a\.json: (Not a directory|File exists)"):
        storage.write_text(tmp_path / "file" / below, "new")


HOLD = """
import sys
from pathlib import Path
from headstart.errors import RunError
from headstart.storage import exclusive_lock
try:
    with exclusive_lock(Path(sys.argv[1]), "the run is in use"):
        print("held", flush=True)
        sys.stdin.readline()
except RunError as error:
    print(error, flush=True)
"""


def test_a_lock_excludes_other_processes_and_ends_with_them(tmp_path: Path) -> None:
    path = tmp_path / "run" / ".lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with storage.exclusive_lock(path, "unused"):
        other = subprocess.run(command, input="\n", capture_output=True, text=True, check=True)
        assert other.stdout == "the run is in use\n"
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(RunError, match=r"^taken$"),
            storage.exclusive_lock(path, "taken"),
        ):
            pytest.fail("two processes hold the lock")
        holder.kill()
        holder.wait()
    with storage.exclusive_lock(path, "still taken"):
        assert path.exists()


def test_a_shared_lock_is_shared_and_keeps_an_exclusive_one_away(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "views.lock"
    assert not storage.is_locked(path)
    releases = [storage.hold_shared(path), storage.hold_shared(path)]
    for release in releases:
        assert storage.is_locked(path)
        with pytest.raises(RunError, match="in use"), storage.exclusive_lock(path, "in use"):
            pytest.fail("a shared lock does not keep an exclusive one away")
        release()
    assert not storage.is_locked(path)


def test_a_shared_lock_waits_for_an_exclusive_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "views.lock"
    with ThreadPoolExecutor(1) as pool:
        with storage.exclusive_lock(path, "unused"):
            waiting = pool.submit(storage.hold_shared, path)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.1)
        release = waiting.result()
    assert storage.is_locked(path)
    release()
    monkeypatch.setattr(storage, "LOCK_PATIENCE", 0.0)
    with (
        storage.exclusive_lock(path, "unused"),
        pytest.raises(RunError, match=r"another process holds .*views\.lock: try again"),
    ):
        storage.hold_shared(path)


def test_a_shared_lock_that_cannot_be_had_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be locked shared cannot be locked exclusively, so that nothing removes it."""
    (tmp_path / "file").touch()
    storage.hold_shared(tmp_path / "file" / "views.lock")()

    def unsupported(*args: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", unsupported)
    storage.hold_shared(tmp_path / "views.lock")()
    assert storage.is_locked(tmp_path / "views.lock")


def test_a_hidden_folder_frees_its_name(tmp_path: Path) -> None:
    (tmp_path / "views").mkdir()
    (tmp_path / "views" / "a").touch()
    hidden = storage.hide_folder(tmp_path / "views")
    assert [path.name for path in tmp_path.iterdir()] == [hidden.name]
    assert hidden.name.startswith(".views.")
    assert hidden.name.endswith(storage.REMOVED)
    assert (hidden / "a").is_file()


def test_folders_can_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "c"))
    monkeypatch.setenv("HEADSTART_STATE", str(tmp_path / "s"))
    assert (storage.cache_dir(), storage.state_dir()) == (tmp_path / "c", tmp_path / "s")
    monkeypatch.setenv("HEADSTART_CACHE", "")
    monkeypatch.delenv("HEADSTART_STATE")
    assert storage.cache_dir().name == storage.state_dir().name == "headstart"
    assert storage.cache_dir() != storage.state_dir()


def test_the_machine_is_described() -> None:
    assert 1 <= storage.cpu_count() <= (os.cpu_count() or 1)
    peak = storage.peak_memory_bytes()
    assert peak is None or 10_000_000 < peak < 1_000_000_000_000
