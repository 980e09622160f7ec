"""Files are looked into once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.data import scan as scanning
from headstart.data.fingerprints import fingerprint
from headstart.data.image_cache import ImageCache
from headstart.data.scan import scan
from headstart.progress import QuietProgress
from headstart.runtime.images import read_image
from pictures import make_picture, write_picture

QUIET = QuietProgress()


@pytest.fixture
def paths(tmp_path: Path) -> list[Path]:
    found = [write_picture(tmp_path / f"{at}.png", make_picture("disc", at)) for at in range(4)]
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello", encoding="utf-8")
    return [*found, tmp_path / "empty.png", tmp_path / "text.png"]


def cache_of(tmp_path: Path, with_cache: bool) -> ImageCache | None:
    return ImageCache(tmp_path / "images", (32, 32)) if with_cache else None


def deep(path: Path, values: Any, kind: Any = np.uint16) -> Path:
    Image.fromarray(np.array(values, kind)).save(path)
    return path


def forbid_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    def opened(*args: Any, **options: Any) -> None:
        pytest.fail(f"a picture was opened: {args[0]!r:.80}")

    monkeypatch.setattr(Path, "read_bytes", opened)
    monkeypatch.setattr("headstart.data.image_cache.read_image", opened)
    monkeypatch.setattr(scanning, "read_image", opened)


@pytest.mark.parametrize("with_cache", [False, True])
def test_every_file_gets_a_verdict(tmp_path: Path, paths: list[Path], with_cache: bool) -> None:
    found = scan(paths, cache_of(tmp_path, with_cache), QUIET).files
    assert list(found) == paths
    for path in paths[:4]:
        assert found[path].error is None
        assert found[path].fingerprint == fingerprint(path.read_bytes())
    assert found[paths[4]].error == "the file is empty"
    assert found[paths[5]].error == "cannot be decoded (not a picture of a known format)"


def test_pictures_are_kept_in_the_cache(tmp_path: Path, paths: list[Path]) -> None:
    cache = ImageCache(tmp_path / "images", (32, 32))
    found = scan(paths, cache, QUIET)
    again = ImageCache(tmp_path / "images", (32, 32))
    for path in paths[:4]:
        np.testing.assert_array_equal(again.get(found.pixels_key(path)), cache.decode(path))
    assert found.files[paths[4]].fingerprint not in again


@pytest.mark.parametrize("with_cache", [False, True])
def test_the_second_time_no_file_is_opened(
    tmp_path: Path, paths: list[Path], with_cache: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths.append(deep(tmp_path / "deep.png", [[1, 4000]]))
    first = scan(paths, cache_of(tmp_path, with_cache), QUIET)
    forbid_opening(monkeypatch)
    assert scan(paths, cache_of(tmp_path, with_cache), QUIET) == first


def test_a_changed_file_is_looked_into_again(
    tmp_path: Path, paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = scan(paths, None, QUIET)
    write_picture(paths[1], make_picture("square", 9))
    os.utime(paths[1], ns=(1, 1))  # even when it seems older
    second = scan(paths, None, QUIET)
    assert second.files[paths[1]].fingerprint == fingerprint(paths[1].read_bytes())
    assert second.files[paths[1]] != first.files[paths[1]]
    forbid_opening(monkeypatch)
    assert scan([paths[0], paths[2]], None, QUIET).files[paths[0]] == first.files[paths[0]]


def test_a_new_cache_is_filled_from_known_files(tmp_path: Path, paths: list[Path]) -> None:
    scan(paths, None, QUIET)
    cache = ImageCache(tmp_path / "images", (32, 32))
    found = scan(paths, cache, QUIET)
    assert all(found.pixels_key(path) in cache for path in paths[:4])


def test_pictures_that_need_not_be_kept_are_looked_into_all_the_same(
    tmp_path: Path, paths: list[Path]
) -> None:
    paths.append(deep(tmp_path / "deep.png", [[1, 4000]]))
    broken = tmp_path / "half.png"
    broken.write_bytes(paths[0].read_bytes()[:200])
    unkept = {paths[1], paths[-1], broken}
    cache = ImageCache(tmp_path / "images", (32, 32))
    found = scan([*paths, broken], cache, QUIET, unkept)
    assert [path for path in paths[:4] if found.pixels_key(path) not in cache] == [paths[1]]
    assert found.pixels_key(paths[-1]) not in cache
    assert found.white_level == 4095
    assert found.files[paths[1]].error is None
    assert str(found.files[broken].error).startswith("cannot be decoded")
    # Wanted after all: what is known of them does not stand in the way.
    again = scan(paths, cache, QUIET)
    assert again.pixels_key(paths[1]) in cache
    assert again.pixels_key(paths[-1]) in cache


def test_of_equal_files_one_that_is_kept_is_enough(tmp_path: Path, paths: list[Path]) -> None:
    copy = tmp_path / "copy.png"
    copy.write_bytes(paths[0].read_bytes())
    cache = ImageCache(tmp_path / "images", (32, 32))
    scan([copy], None, QUIET)
    found = scan([copy, paths[0]], cache, QUIET, {copy})
    assert found.pixels_key(paths[0]) in cache


def test_a_file_that_could_not_be_opened_is_tried_again(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        found = scan(paths[:1], None, QUIET).files[paths[0]]
        assert found.error == "cannot be opened (Permission denied)"
    assert scan(paths[:1], None, QUIET).files[paths[0]].error is None


def test_a_file_that_is_not_there_has_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "lost.png"
    error = scan([path], None, QUIET).files[path].error
    assert error == "cannot be opened (No such file or directory)"


def test_a_path_may_be_named_twice(paths: list[Path]) -> None:
    assert list(scan([paths[0], paths[0]], None, QUIET).files) == [paths[0]]


def test_no_paths_are_no_work() -> None:
    assert scan([], None, QUIET) == scanning.Scan({}, 65535)


@pytest.mark.parametrize(
    ("values", "kind", "white_level"),
    [
        ([[0, 200]], np.uint16, 255),
        ([[0, 255]], np.uint16, 255),
        ([[0, 256]], np.uint16, 511),
        ([[0, 4000]], np.uint16, 4095),
        ([[0, 65535]], np.uint16, 65535),
        ([[0, 0]], np.uint16, 65535),
        ([[0.0, 0.8]], np.float32, 1),
        ([[0.0, 1.5]], np.float32, 255),
        ([[0.0, np.inf]], np.float32, 65535),
    ],
)
def test_the_white_level_fits_the_deepest_picture(
    tmp_path: Path, values: Any, kind: Any, white_level: int
) -> None:
    path = deep(tmp_path / "deep.tiff", values, kind)
    assert scan([path], None, QUIET).white_level == white_level
    assert scan([path], None, QUIET).white_level == white_level  # from the index


def test_one_white_level_serves_the_whole_set(tmp_path: Path, paths: list[Path]) -> None:
    dark, bright = deep(tmp_path / "d.png", [[0, 500]]), deep(tmp_path / "b.png", [[0, 4000]])
    cache = ImageCache(tmp_path / "images", (32, 32))
    found = scan([*paths, dark, bright], cache, QUIET)
    assert found.white_level == 4095
    assert found.pixels_key(dark) == f"{found.files[dark].fingerprint}@4095"
    assert found.pixels_key(paths[0]) == found.files[paths[0]].fingerprint
    # By hand: 500 * 255 / 4095 = 31.1 and 4000 * 255 / 4095 = 249.1.
    assert cache.get(found.pixels_key(dark))[0, 1].tolist() == [31, 31, 31]
    assert cache.get(found.pixels_key(bright))[0, 1].tolist() == [249, 249, 249]
    # Alone, the dark picture has another white and other pixels.
    alone = scan([dark], cache, QUIET)
    assert (alone.white_level, cache.get(alone.pixels_key(dark))[0, 1, 0]) == (511, 250)


def test_the_cached_size_is_that_of_training_with_a_margin(tmp_path: Path) -> None:
    path = write_picture(tmp_path / "a.jpg", make_picture("disc", 1, (300, 500)))
    cache = ImageCache(tmp_path / "images", (64, 112))
    # The shorter side is 112 * 8 / 7 = 128, by hand; 500 * 128 / 300 = 213.3.
    assert cache.side == 128
    found = scan([path], cache, QUIET)
    assert cache.get(found.pixels_key(path)).shape == (128, 213, 3)
    small = write_picture(tmp_path / "b.png", make_picture("disc", 1, (20, 30)))
    np.testing.assert_array_equal(cache.decode(small), read_image(small))
