"""``headstart cache``: what it lists and removes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

import headstart
from cli.processes import WITHOUT_NETWORK, WITHOUT_TORCH
from cli.processes import headstart as headstart_in_process
from headstart.cli.main import run
from headstart.data.store import ArrayStore
from headstart.errors import ConfigError
from headstart.storage import cache_dir, lock_path

Captured = pytest.CaptureFixture[str]

VIEWS = {"kind": "views", "backbone": "tiny", "stage": 6, "size": [64, 96], "engine": "torch"}


@pytest.fixture
def stores() -> Path:
    """Decoded pictures of 1970 and views that were used a moment ago."""
    folder = cache_dir()
    for name, description in (("images-73", {"kind": "pictures", "side": 73}), ("views-0", VIEWS)):
        store = ArrayStore(folder / name, description)
        store.put({"a": np.zeros(1000), "b": np.zeros(1000)})
        store.close()
    os.utime(lock_path(folder / "images-73"), (86_400 * 200, 86_400 * 200))
    return folder


def cache(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        run(["cache", *arguments])
    return int(caught.value.code or 0)


def test_the_list_is_for_people(stores: Path, capsys: Captured) -> None:
    held = ArrayStore(stores / "views-0")
    assert cache() == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{stores}: 2 stores, ")
    assert first.endswith(" kB of at most 50 GB")
    assert lines[0].startswith("  1970-07-")
    assert lines[0].endswith("2 arrays  pictures  shorter side 73 px")
    assert lines[1].endswith("2 arrays  views     tiny before stage 6, 64x96 px, torch  in use")
    assert held.missing(["a"]) == []


def test_json_has_the_promised_keys(stores: Path, capsys: Captured) -> None:
    assert cache("--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["folder", "bytes", "limit", "stores", "removed"]
    assert (found["folder"], found["limit"], found["removed"]) == (str(stores), 50 * 10**9, [])
    pictures, views = found["stores"]
    assert pictures["last_used"] == "1970-07-20T00:00:00+00:00"
    assert list(pictures) == ["store", "kind", "side", "arrays", "bytes", "last_used", "in_use"]
    expected = {"store": "views-0", **VIEWS, "arrays": 2, "in_use": False}
    assert views.items() >= expected.items()
    assert found["bytes"] == pictures["bytes"] + views["bytes"]


def test_clear_removes_all_that_is_not_in_use(stores: Path, capsys: Captured) -> None:
    held = ArrayStore(stores / "views-0")
    assert cache("--clear") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Removed 1 store of ")
    assert lines[1].endswith("shorter side 73 px")
    assert ": 1 stores, " in lines[2]
    held.close()
    cache("--clear")
    cache("--clear")
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "Removed nothing",
        f"{stores}: 0 stores, 0 B of at most 50 GB",
    ]


def test_a_size_removes_the_oldest(stores: Path, capsys: Captured) -> None:
    assert cache("--cache-size", "40kB", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [store["store"] for store in found["removed"]] == ["images-73"]
    assert [store["store"] for store in found["stores"]] == ["views-0"]
    assert found["limit"] == 40_000


def test_an_empty_cache_is_no_mistake(capsys: Captured) -> None:
    assert cache() == 0
    assert capsys.readouterr().out == f"{cache_dir()}: 0 stores, 0 B of at most 50 GB\n"
    assert cache("--clear") == 0
    assert not cache_dir().exists()


def test_mistakes_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        headstart.cache(clear=True, cache_size="much")
    first, second = caught.value.problems
    assert first.startswith("--cache-size must be a number of bytes, or one with kB, MB, GB or TB")
    assert first.endswith(", got 'much'")
    assert second == "--clear and --cache-size exclude each other: give one of them"


def test_it_runs_without_torch_and_without_network(stores: Path) -> None:
    forbid = WITHOUT_TORCH + WITHOUT_NETWORK
    found = headstart_in_process("cache", "--json", forbid=forbid, cwd=stores)
    assert found.returncode == 0, found.stderr
    assert len(json.loads(found.stdout)["stores"]) == 2
