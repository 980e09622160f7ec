"""Settings: all mistakes at once, with the name of the option and what was received."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headstart.config import (
    DatasetOptions,
    TrainConfig,
    class_names,
    dataset_options,
    train_config,
)
from headstart.errors import ConfigError, DataError

NO_BYTES = "must be a number of bytes, or one with kB, MB, GB or TB such as 20GB"
NO_SIZE = "must be N or HxW, for example 224 or 240x320"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("epochs", 0, "--epochs must be greater than or equal to 1, got 0"),
        ("epochs", 10_001, "--epochs must be less than or equal to 10000, got 10001"),
        ("freeze_epochs", -1, "--freeze-epochs must be greater than or equal to 0, got -1"),
        ("lr", 0, "--lr must be greater than 0, got 0"),
        ("lr", float("nan"), "--lr must be less than or equal to 10, got nan"),
        ("batch_size", 1, "--batch-size must be greater than or equal to 2, got 1"),
        ("image_size", "big", f"--image-size {NO_SIZE}, got 'big'"),
        ("image_size", "1x2x3", f"--image-size {NO_SIZE}, got '1x2x3'"),
        ("image_size", [1, 2, 3], f"--image-size {NO_SIZE}, got [1, 2, 3]"),
        ("image_size", -224, f"--image-size {NO_SIZE}, got -224"),
        ("image_size", True, f"--image-size {NO_SIZE}, got True"),
        ("image_size", 0, "--image-size must be at least 32 on both sides, got 0"),
        ("image_size", "224x31", "--image-size must be at least 32 on both sides, got '224x31'"),
        ("train_size", "small", f"--train-size {NO_SIZE}, got 'small'"),
        ("resize", "zoom", "--resize must be 'letterbox', 'crop' or 'squash', got 'zoom'"),
        ("strategy", "deep", "--strategy must be 'features', 'finetune' or 'full', got 'deep'"),
        ("cache_size", "20 apples", f"--cache-size {NO_BYTES}, got '20 apples'"),
        ("cache_size", "-1GB", f"--cache-size {NO_BYTES}, got '-1GB'"),
        ("cache_size", "1.2.3", f"--cache-size {NO_BYTES}, got '1.2.3'"),
        ("cache_size", "GB", f"--cache-size {NO_BYTES}, got 'GB'"),
        ("cache_size", True, f"--cache-size {NO_BYTES}, got True"),
        ("views", 101, "--views must be less than or equal to 100, got 101"),
        ("limit", 0, "--limit must be greater than or equal to 1, got 0"),
        ("seed", 2**31, "--seed must be less than 2147483648, got 2147483648"),
        ("dropout", 1.0, "--dropout must be less than 1, got 1.0"),
        ("patience", 0, "--patience must be greater than or equal to 1, got 0"),
        (
            "epochs",
            "ten",
            "--epochs must be a valid integer, unable to parse string as an integer, got 'ten'",
        ),
    ],
)
def test_a_setting_is_checked(name: str, value: Any, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        train_config({"data": "photos", name: value})
    assert caught.value.problems == (problem,)


def test_all_mistakes_are_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        train_config({"epochs": 0, "lr": 11, "colour": "red"})
    first, second, third, fourth = caught.value.problems
    assert first == "--data is required"
    assert second == "--epochs must be greater than or equal to 1, got 0"
    assert third == "--lr must be less than or equal to 10, got 11"
    assert fourth.startswith("--colour is no known setting; known are data, task, backbone, ")


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (96, (96, 96)),
        ("96", (96, 96)),
        ("64x96", (64, 96)),
        ("64X96", (64, 96)),
        (" 64 x 96 ", (64, 96)),
        ([64, 96], (64, 96)),
        ((64, 96), (64, 96)),
        ([96], (96, 96)),
    ],
)
def test_a_size_is_height_and_width(value: Any, size: tuple[int, int]) -> None:
    assert train_config({"data": "photos", "image_size": value}).image_size == size


@pytest.mark.parametrize(
    ("value", "count"),
    [
        ("20GB", 20 * 10**9),
        ("500 mb", 500 * 10**6),
        ("1.5TB", 1_500 * 10**9),
        ("7kB", 7_000),
        ("1234567", 1_234_567),
        (1_234_567, 1_234_567),
        (0, 0),
    ],
)
def test_bytes_have_units(value: Any, count: int) -> None:
    assert train_config({"data": "photos", "cache_size": value}).cache_size == count


def test_yaml_holds_the_whole_configuration(tmp_path: Path) -> None:
    written = train_config(
        {
            "data": "Fotos/Äpfel",
            "task": "classification",
            "epochs": 3,
            "lr": 0.003,
            "image_size": "64x96",
            "train_size": "32x64",
            "resize": "crop",
            "split_stage": 4,
            "engine": "torch-float32",
            "cache_size": "20GB",
            "precision": "32-true",
        }
    )
    file = tmp_path / "config.yaml"
    file.write_text(written.to_yaml(), encoding="utf-8")
    assert "image_size: 64x96" in written.to_yaml()
    assert "Äpfel" in written.to_yaml()
    assert train_config({}, file) == written


def test_given_values_win_over_the_file_and_none_does_not(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("data: a\nepochs: 3\nseed: 5\n", encoding="utf-8")
    config = train_config({"epochs": 7, "seed": None}, file)
    assert (config.data, config.epochs, config.seed) == (Path("a"), 7, 5)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"epochs: [1", "config.yaml is not valid YAML: while parsing a flow sequence"),
        (b"\xff\xfe\x00", "config.yaml is not valid YAML: "),
        (b"- a\n- b\n", "config.yaml must hold 'name: value' lines, got list"),
        (b"epoch: 3\ndata: a\n", "--epoch is no known setting; known are data, task"),
        (b"", "--data is required"),
        (None, "config.yaml cannot be read: No such file or directory"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: bytes | None, problem: str) -> None:
    file = tmp_path / "config.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        train_config({}, file)
    (found,) = caught.value.problems
    assert problem in found


def test_a_configuration_cannot_be_changed() -> None:
    config = TrainConfig(data=Path("photos"))
    with pytest.raises(ValueError, match="frozen"):
        config.epochs = 3


def test_without_a_file_nothing_is_set(tmp_path: Path) -> None:
    assert dataset_options(tmp_path) == DatasetOptions()


def test_dataset_options_are_read(tmp_path: Path) -> None:
    (tmp_path / "dataset.yaml").write_text(
        "classes: [b, a]\ngroup: person\nflip_pairs: [[0, 1], [2, 3]]\n", encoding="utf-8-sig"
    )
    options = dataset_options(tmp_path)
    assert (options.classes, options.group) == (("b", "a"), "person")
    assert options.flip_pairs == ((0, 1), (2, 3))


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        ("klasses: [a]", ["klasses is no known setting; known are task, classes, group"]),
        (
            "group: 3\nignore_index: x",
            ["group must be a valid string, got 3", "ignore_index must be a valid integer"],
        ),
        (
            "normalise_by: [1]",
            ["normalise_by must be two different whole numbers, for example 36,45, got [1]"],
        ),
        ("normalise_by: [1, 2, 3]", ["normalise_by must be two different whole numbers"]),
        (
            "classes: 5",
            ["classes must be a valid tuple, got 5", "classes must be a valid string, got 5"],
        ),
    ],
)
def test_mistakes_in_dataset_yaml_name_the_file(
    tmp_path: Path, content: str, problems: list[str]
) -> None:
    path = tmp_path / "dataset.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        dataset_options(tmp_path)
    assert len(caught.value.problems) == len(problems)
    for found, expected in zip(caught.value.problems, problems, strict=True):
        assert found.startswith(f"{path}: {expected}")


def test_class_names_come_from_the_list_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("b\n\n a \n", encoding="utf-8-sig")
    assert class_names(DatasetOptions(classes=("b", "a")), tmp_path) == ("b", "a")
    assert class_names(DatasetOptions(classes="classes.txt"), tmp_path) == ("b", "a")
    assert class_names(DatasetOptions(), tmp_path) == ()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "classes.txt cannot be read as UTF-8 text: .*No such file"),
        (b"\xffa", "classes.txt cannot be read as UTF-8 text: .*invalid start byte"),
    ],
)
def test_a_broken_file_of_classes_is_named(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(DataError, match=problem):
        class_names(DatasetOptions(classes="classes.txt"), tmp_path)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5m", 300), ("1.5h", 5400), ("120", 120), (45, 45)]
)
def test_durations(text: Any, seconds: float) -> None:
    assert train_config({"data": "x", "budget": text}).budget == seconds


@pytest.mark.parametrize("text", ["soon", "5 days", "-5m", "5"])
def test_wrong_durations_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--budget must"):
        train_config({"data": "x", "budget": text})
