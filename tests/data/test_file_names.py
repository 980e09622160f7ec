"""Labels that are written in the pictures' names."""

from __future__ import annotations

from pathlib import Path

import pytest

from headstart.config import DatasetOptions, dataset_options, train_config
from headstart.data import readers
from headstart.data.manifest import parse_data
from headstart.errors import ConfigError, DataError
from headstart.types import DataListing

PETS = r"([^/]+)_\d+\.jpg$"


def listed(root: Path, pattern: str, *files: str) -> DataListing:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return readers.read(root, DatasetOptions(label_from=pattern))


def test_the_usual_pets(tmp_path: Path) -> None:
    listing = listed(tmp_path, PETS, "images/Abyssinian_1.jpg", "images/great_pyrenees_12.jpg")
    found = [(a.image, a.fields, a.split, a.group) for a in listing.annotations]
    assert found == [
        ("images/Abyssinian_1.jpg", {"label": "Abyssinian"}, None, None),
        ("images/great_pyrenees_12.jpg", {"label": "great_pyrenees"}, None, None),
    ]
    assert listing.layout == "file-names"


def test_group_and_split_may_be_named_too(tmp_path: Path) -> None:
    pattern = r"^(?P<split>\w+)/(?P<group>p\d+)-(?P<label>[a-z]+)"
    listing = listed(tmp_path, pattern, "Train/p1-cat-7.jpg", "test/p2-dog-8.jpg")
    found = [(a.fields["label"], a.split, a.group) for a in listing.annotations]
    assert found == [("cat", "train", "p1"), ("dog", "test", "p2")]
    with pytest.raises(DataError, match=r"odd/p3-cat\.jpg: the split must be one of .*'odd'"):
        listed(tmp_path, pattern, "odd/p3-cat.jpg")


def test_names_without_a_label_are_left_out_by_name(tmp_path: Path) -> None:
    listing = listed(tmp_path, PETS, "a/cat_1.jpg", "a/dog_2.jpg", "b/logo.png")
    assert len(listing.annotations) == 2
    assert [(o.image, o.reason) for o in listing.omissions] == [
        ("b/logo.png", f"{PETS!r} finds no label in it")
    ]


def test_an_expression_that_fits_nothing_shows_a_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no label in any of 1 pictures, such as cat-1\.jpg"):
        listed(tmp_path, PETS, "cat-1.jpg")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(", r"--label-from must be a regular expression \(.*got '\('"),
        ("cat", "--label-from must have the label in brackets"),
        ("(?P<name>.+)", "--label-from must name its groups label, group or split"),
        ("(?P<group>.+)", "and label among them"),
    ],
)
def test_an_expression_that_cannot_work_is_a_mistake(pattern: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train_config({"data": "photos", "label_from": pattern})


def test_the_command_line_wins_over_dataset_yaml_and_folders(tmp_path: Path) -> None:
    listed(tmp_path, PETS, "one/cat_1.jpg", "two/dog_2.jpg")
    (tmp_path / "dataset.yaml").write_text("label_from: '(\\w)[^/]*$'\n", encoding="utf-8")
    options = dataset_options(tmp_path)
    assert {a.fields["label"] for a in readers.read(tmp_path, options).annotations} == {"c", "d"}
    parsed = parse_data(tmp_path, overrides={"label_from": PETS})
    assert parsed.schema.classes == ("cat", "dog")
    assert parsed.notes == ()


def test_pictures_without_a_layout_are_told_of_the_option(tmp_path: Path) -> None:
    (tmp_path / "cat_1.jpg").touch()
    with pytest.raises(DataError, match=r"if names such as cat_1\.jpg say the class: --label-from"):
        readers.read(tmp_path, DatasetOptions())
