"""Every fault of a file that is planted is named, and sound pictures are not."""

from __future__ import annotations

import io
import sys
import types
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from PIL import Image, ImageFilter

import headstart
from headstart.errors import DataError
from headstart.jobs.check_job import CheckResult
from pictures import make_picture, write_class_folders, write_csv, write_picture

SIZE = (96, 128)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_class_folders(tmp_path / "pictures", 6, size=SIZE, suffix=".jpg")


def named(result: CheckResult, check: str) -> list[str]:
    return [image for issue in result.issues if issue.check == check for image in issue.images]


def sound() -> Image.Image:
    return Image.fromarray(make_picture("disc", 900, SIZE))


def plant(path: Path, kind: str) -> None:  # noqa: C901 - a table of faults
    image = sound()
    noise = np.random.default_rng(1).integers(0, 256, (96, 128, 3), dtype=np.uint8)
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not a picture", encoding="utf-8")
    elif kind == "truncated":
        image.save(path)
        path.write_bytes(path.read_bytes()[:-900])
    elif kind == "png":
        image.save(path, "PNG")
    elif kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(path, exif=exif)
    elif kind == "animated":
        image.save(path, "GIF", save_all=True, append_images=[Image.fromarray(noise)])
    elif kind == "tiny":
        image.resize((8, 8)).save(path)
    elif kind == "long":
        image.resize((400, 40)).save(path)
    elif kind == "blank":
        Image.new("RGB", (128, 96), (80, 80, 80)).save(path)
    elif kind == "dark":
        image.point(lambda value: value // 8).save(path)
    elif kind == "bright":
        image.point(lambda value: 206 + value // 5).save(path)
    elif kind == "blurred":
        image.filter(ImageFilter.GaussianBlur(6)).save(path)


FAULTS = [
    ("empty", "unreadable", "a.jpg"),
    ("text", "unreadable", "a.jpg"),
    ("truncated", "unreadable", "a.jpg"),
    ("png", "wrong-extension", "a.jpg"),
    ("turned", "exif-rotated", "a.jpg"),
    ("animated", "animated", "a.gif"),
    ("tiny", "tiny", "a.png"),
    ("long", "odd-aspect-ratio", "a.png"),
    ("blank", "blank", "a.png"),
    ("dark", "dark", "a.png"),
    ("bright", "bright", "a.png"),
    ("blurred", "blurred", "a.png"),
]


@pytest.mark.parametrize(("kind", "check", "name"), FAULTS)
def test_a_planted_fault_is_named_and_nothing_else(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str, check: str, name: str
) -> None:
    without_train(monkeypatch)
    plant(folder / "disc" / name, kind)
    result = headstart.check(folder)
    assert result.n_images == 19
    assert named(result, check) == [f"disc/{name}"]
    assert {image for issue in result.issues for image in issue.images} == {f"disc/{name}"}


def without_train(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parts that need the extra ``train`` are not installed."""
    import sys

    for module in ("safetensors", "imagehash", "cleanlab"):
        monkeypatch.setitem(sys.modules, module, None)
    for module in [name for name in sys.modules if name.startswith("headstart.audit")]:
        if module.rpartition(".")[2] in ("features", "near"):
            monkeypatch.delitem(sys.modules, module)
    for module in ("headstart.data.image_cache", "headstart.data.store"):
        monkeypatch.delitem(sys.modules, module, raising=False)


def test_what_needs_train_is_named_and_the_rest_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_train(monkeypatch)
    (folder / "disc/a.jpg").write_bytes((folder / "disc/000.jpg").read_bytes())
    result = headstart.check(folder)
    assert result.skipped.keys() >= {"near-duplicate", "suspicious-label", "split-leak"}
    assert 'pip install "headstart[train]"' in result.skipped["near-duplicate"]
    assert named(result, "exact-duplicate") == ["disc/000.jpg", "disc/a.jpg"]


def test_a_folder_without_labels_still_has_its_files_checked(tmp_path: Path) -> None:
    write_picture(tmp_path / "loose/a.png", make_picture("disc", 1))
    (tmp_path / "loose/b.png").write_bytes(b"")
    result = headstart.check(tmp_path / "loose")
    assert result.task is None
    assert named(result, "unreadable") == ["b.png"]
    assert [issue.check for issue in result.issues if not issue.images] == ["layout"]


def test_no_picture_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match="holds no picture"):
        headstart.check(tmp_path / "nothing")
    with pytest.raises(DataError, match="does not exist"):
        headstart.check(tmp_path / "nowhere")


def test_rare_classes_and_classes_without_training_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_train(monkeypatch)
    write_class_folders(tmp_path / "data/train", {"disc": 21, "square": 2})
    write_class_folders(tmp_path / "data/test", {"stripes": 2}, first_seed=50)
    messages = [i.message for i in headstart.check(tmp_path / "data").issues if not i.images]
    assert "square has 2 pictures, disc has 21" in messages
    assert "stripes occurs in test but not in train" in messages


def test_a_group_on_two_sides_is_a_leak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_train(monkeypatch)
    rows = []
    for at in range(8):
        write_picture(tmp_path / f"{at}.png", make_picture("disc" if at % 2 else "square", at))
        split = "test" if at < 3 else "train"
        label = "odd" if at % 2 else "even"
        rows.append({"image": f"{at}.png", "label": label, "split": split, "group": f"g{at // 2}"})
    result = headstart.check(write_csv(tmp_path, rows))
    (leak,) = [issue for issue in result.issues if issue.check == "split-leak"]
    assert leak.images == ("2.png", "3.png")
    assert leak.message == "pictures of the group g1 lie in test and train"


def test_heic_is_read_with_the_extra_and_named_without(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first bytes of a file of an iPhone: enough to know it by.
    (folder / "disc/a.heic").write_bytes(b"\0\0\0\x24ftypheic" + b"\0" * 40)
    without_train(monkeypatch)
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    (issue,) = [i for i in headstart.check(folder).issues if i.check == "unreadable"]
    assert issue.images == ("disc/a.heic",)
    assert 'pip install "headstart[heic]"' in issue.message


def test_heic_is_read_once_the_extra_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All pictures of the folder are HEIC: nothing is left to compare, and nothing remembered."""
    root = write_class_folders(tmp_path / "pictures", 2, size=SIZE)
    header = b"\0\0\0\x24ftypheic"
    for path in list(root.rglob("*.png")):
        path.with_suffix(".heic").write_bytes(header + path.read_bytes())
        path.unlink()
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    first = headstart.check(root)
    assert first.n_images == 6
    assert len(named(first, "unreadable")) == 6
    register_stand_in(monkeypatch, header)
    assert named(headstart.check(root), "unreadable") == []


def register_stand_in(monkeypatch: pytest.MonkeyPatch, header: bytes) -> None:
    """A ``pi_heif`` that reads what the test wrote: the real one has no encoder to test with."""

    def opened(file: IO[bytes], _: str) -> Image.Image:
        file.seek(len(header))
        return Image.open(io.BytesIO(file.read()))

    def register() -> None:
        Image.register_open("HEIF", opened, lambda start: start.startswith(header))

    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    module = types.ModuleType("pi_heif")
    monkeypatch.setattr(module, "register_heif_opener", register, raising=False)
    monkeypatch.setitem(sys.modules, "pi_heif", module)
