"""Pictures with a mask each, in every arrangement of folders."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from headstart.config import DatasetOptions, dataset_options
from headstart.data import readers
from headstart.data.readers.mask_folders import READER
from headstart.errors import DataError
from headstart.types import DataListing
from pictures import KINDS, real_data, write_class_table, write_mask_folders


def make(root: Path, *files: str) -> Path:
    """Makes empty files: readers open none."""
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def listed(root: Path, *files: str) -> DataListing:
    listing = readers.read(make(root, *files), DatasetOptions())
    assert listing.layout == "mask-folders"
    return listing


def rows(listing: DataListing) -> list[tuple[str, str, str | None]]:
    return [(a.image, a.fields["mask"], a.split) for a in listing.annotations]


def left_out(listing: DataListing) -> dict[str, str]:
    return {omission.image: omission.reason for omission in listing.omissions}


@pytest.mark.parametrize(
    ("pictures", "masks"),
    [
        ("images", "masks"),
        ("Images", "Labels"),
        ("imgs", "gt"),
        ("JPEGImages", "SegmentationClass"),
        ("img", "annotations"),
    ],
)
def test_folders_beside_each_other(tmp_path: Path, pictures: str, masks: str) -> None:
    listing = listed(
        tmp_path, *(f"{pictures}/{n}.jpg" for n in "ba"), *(f"{masks}/{n}.png" for n in "ab")
    )
    assert rows(listing) == [
        (f"{pictures}/a.jpg", f"{masks}/a.png", None),
        (f"{pictures}/b.jpg", f"{masks}/b.png", None),
    ]
    assert (listing.omissions, listing.notes) == ((), ())
    assert all(a.path == tmp_path / a.image for a in listing.annotations)


def test_folders_inside_both(tmp_path: Path) -> None:
    """Masks are found by folder and name: the same name occurs twice."""
    listing = listed(
        tmp_path, "images/x/1.jpg", "images/y/1.jpg", "masks/x/1.png", "masks/y/1_mask.png"
    )
    assert rows(listing) == [
        ("images/x/1.jpg", "masks/x/1.png", None),
        ("images/y/1.jpg", "masks/y/1_mask.png", None),
    ]


def test_sides_above_the_folders(tmp_path: Path) -> None:
    listing = listed(
        tmp_path,
        *("train/images/a.jpg", "train/masks/a.png", "valid/images/a.jpg", "valid/masks/a.png"),
    )
    assert rows(listing) == [
        ("train/images/a.jpg", "train/masks/a.png", "train"),
        ("valid/images/a.jpg", "valid/masks/a.png", "val"),
    ]


def test_sides_inside_the_folders(tmp_path: Path) -> None:
    listing = listed(
        tmp_path,
        *("images/training/a.jpg", "annotations/training/a.png"),
        *("images/validation/b.jpg", "annotations/validation/b.png"),
    )
    assert rows(listing) == [
        ("images/training/a.jpg", "annotations/training/a.png", "train"),
        ("images/validation/b.jpg", "annotations/validation/b.png", "val"),
    ]


@pytest.mark.parametrize(
    ("pictures", "masks"),
    [("{}", "{}annot"), ("{}", "{}_masks"), ("{}_images", "{}-labels"), ("{}", "{}mask")],
)
def test_folders_named_after_the_sides(tmp_path: Path, pictures: str, masks: str) -> None:
    files = [
        f"{folder.format(side)}/{side}{ending}"
        for side in ("train", "val", "test")
        for folder, ending in ((pictures, ".jpg"), (masks, ".png"))
    ]
    assert rows(listed(tmp_path, *files)) == [
        (f"{pictures.format(side)}/{side}.jpg", f"{masks.format(side)}/{side}.png", side)
        for side in ("test", "train", "val")
    ]


def test_masks_beside_their_pictures(tmp_path: Path) -> None:
    listing = listed(tmp_path, "a.jpg", "a_mask.png", "b.png", "b_MASK.gif", "README.md")
    assert rows(listing) == [("a.jpg", "a_mask.png", None), ("b.png", "b_MASK.gif", None)]
    assert listing.omissions == ()


def test_masks_beside_their_pictures_in_each_side(tmp_path: Path) -> None:
    listing = listed(tmp_path, "train/a.jpg", "train/a_mask.png", "test/a.jpg", "test/a_mask.png")
    assert rows(listing) == [
        ("test/a.jpg", "test/a_mask.png", "test"),
        ("train/a.jpg", "train/a_mask.png", "train"),
    ]


@pytest.mark.parametrize("suffix", ["_P", "_L", "_mask", "_seg"])
def test_suffixes_in_a_folder_of_masks(tmp_path: Path, suffix: str) -> None:
    """``images/x.png`` and ``labels/x_P.png`` is how fastai ships CamVid."""
    listing = listed(tmp_path, "images/x.png", f"labels/x{suffix}.png", "codes.txt", "valid.txt")
    assert rows(listing) == [("images/x.png", f"labels/x{suffix}.png", None)]
    assert listing.omissions == ()


def test_a_single_letter_beside_the_pictures_is_no_mask(tmp_path: Path) -> None:
    make(tmp_path, "face.jpg", "face_l.jpg", "face_p.jpg")
    assert not READER.claims(tmp_path)
    listing = listed(tmp_path, "face_l_mask.png")
    assert rows(listing) == [("face_l.jpg", "face_l_mask.png", None)]
    assert left_out(listing) == {
        "face.jpg": "it has no mask (looked for face_mask.* in .)",
        "face_p.jpg": "it has no mask (looked for face_p_mask.* in .)",
    }


def test_the_same_name_goes_before_a_suffix(tmp_path: Path) -> None:
    listing = listed(tmp_path, "images/a.jpg", "images/a_l.jpg", "masks/a.png", "masks/a_l.png")
    assert rows(listing) == [
        ("images/a.jpg", "masks/a.png", None),
        ("images/a_l.jpg", "masks/a_l.png", None),
    ]


def test_what_has_no_partner_is_named(tmp_path: Path) -> None:
    listing = listed(
        tmp_path,
        *("images/a.jpg", "masks/a.png"),
        *("images/sub/lonely.jpg", "masks/orphan.png", "stray.jpg", "other/b.jpg"),
        *("masks/Thumbs.db", "masks/.hidden.png", ".cache/x.png"),
        *("masks/notes.txt", "notes.txt", "raw.cr2"),
    )
    assert rows(listing) == [("images/a.jpg", "masks/a.png", None)]
    assert left_out(listing) == {
        "masks/orphan.png": "no picture belongs to this mask",
        "images/sub/lonely.jpg": "it has no mask (looked for lonely.* in masks/sub)",
        "masks/Thumbs.db": "its ending '.db' is not a picture's",
        "masks/notes.txt": "its ending '.txt' is not a picture's",
        "other/b.jpg": "it lies beside the folders of pictures and masks",
        "stray.jpg": "it lies beside the folders of pictures and masks",
    }


def test_masks_beside_pictures_without_partner_are_named(tmp_path: Path) -> None:
    listing = listed(tmp_path, "a.jpg", "a_mask.png", "b.jpg", "c_mask.png")
    assert rows(listing) == [("a.jpg", "a_mask.png", None)]
    assert left_out(listing) == {
        "c_mask.png": "no picture belongs to this mask",
        "b.jpg": "it has no mask (looked for b_mask.* in .)",
    }


def test_two_masks_for_one_picture(tmp_path: Path) -> None:
    listing = listed(
        tmp_path,
        *("images/a.jpg", "masks/a.png", "images/b.jpg", "masks/b.png", "masks/b_mask.png"),
    )
    assert rows(listing) == [("images/a.jpg", "masks/a.png", None)]
    assert left_out(listing) == {
        "images/b.jpg": "it has more than one mask: masks/b.png and masks/b_mask.png"
    }


def test_two_pictures_for_one_mask(tmp_path: Path) -> None:
    listing = listed(
        tmp_path, "images/a.jpg", "masks/a.png", "images/b.jpg", "images/b.png", "masks/b.png"
    )
    assert rows(listing) == [("images/a.jpg", "masks/a.png", None)]
    reason = "masks/b.png may be the mask of any of images/b.jpg and images/b.png"
    assert left_out(listing) == {"images/b.jpg": reason, "images/b.png": reason}


def test_a_side_without_masks_or_pictures_is_noted(tmp_path: Path) -> None:
    listing = listed(tmp_path, "train/a.jpg", "trainannot/a.png", "test/b.jpg", "valannot/c.png")
    assert rows(listing) == [("train/a.jpg", "trainannot/a.png", "train")]
    assert left_out(listing) == {
        "test/b.jpg": "it has no mask (there is no folder of masks for it)",
        "valannot/c.png": "no picture belongs to this mask",
    }
    assert listing.notes == (
        "test has no folder of masks: its pictures are left out",
        "valannot has no folder of pictures: its masks are left out",
    )


def test_two_folders_of_masks_that_both_fit(tmp_path: Path) -> None:
    make(tmp_path, "images/a.jpg", "masks/a.png", "labels/a.png")
    with pytest.raises(DataError) as caught:
        readers.read(tmp_path, DatasetOptions())
    assert str(caught.value) == (
        f"{tmp_path}: of the folders images, labels, masks more than one pair holds pictures and "
        "masks of the same names: leave one folder of pictures and one of masks"
    )


def test_of_two_folders_of_masks_the_one_that_fits(tmp_path: Path) -> None:
    listing = listed(tmp_path, "images/a.jpg", "masks/a.png", "annotations/a.xml", "labels/z.png")
    assert rows(listing) == [("images/a.jpg", "masks/a.png", None)]
    assert list(left_out(listing)) == ["labels/z.png"]


@pytest.mark.parametrize(
    "files",
    [
        ("cats/1.jpg", "dogs/1.jpg"),
        ("train/cats/1.jpg", "train/dogs/1.jpg", "test/cats/1.jpg", "test/dogs/1.jpg"),
        ("train/cats/a.jpg", "train/cats/a_mask.jpg", "train/dogs/1.jpg"),
        ("cat/a.jpg", "cat_mask/a.jpg"),
        ("mask/1.jpg", "no_mask/1.jpg"),
        ("images/1.jpg", "other/1.jpg"),
        ("images/1.jpg", "masks/2.png"),
    ],
)
def test_folders_of_classes_are_not_claimed(tmp_path: Path, files: tuple[str, ...]) -> None:
    make(tmp_path, *files)
    assert not READER.claims(tmp_path)
    assert readers.read(tmp_path, DatasetOptions()).layout == "class-folders"


def test_tables_are_not_claimed(tmp_path: Path) -> None:
    table = write_class_table(tmp_path, 2)
    assert not READER.claims(table)
    assert not READER.claims(tmp_path)
    assert readers.read(tmp_path, DatasetOptions()).layout == "csv"


def test_masks_go_before_a_table_beside_them(tmp_path: Path) -> None:
    table = write_class_table(tmp_path, 2)
    make(tmp_path, *(f"masks/{kind}-{at:03}.png" for kind in KINDS for at in range(2)))
    assert readers.read(tmp_path, DatasetOptions()).layout == "mask-folders"
    # The table can still be asked for by its name.
    assert readers.read(table, DatasetOptions()).layout == "csv"


def test_reading_what_was_not_claimed_says_that_nothing_is_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no picture with a mask"):
        READER.read(tmp_path, DatasetOptions())


def test_written_data_is_complete(tmp_path: Path) -> None:
    listing = readers.read(write_mask_folders(tmp_path, 2), DatasetOptions())
    assert len(listing.annotations) == 2 * len(KINDS)
    assert listing.omissions == ()
    assert all((listing.root / a.fields["mask"]).is_file() for a in listing.annotations)


def test_camvid() -> None:
    """The folder holds a table of other targets too."""
    camvid = real_data("camvid")
    assert (camvid / "objects.csv").is_file()
    listing = readers.read(camvid, dataset_options(camvid))
    assert listing.layout == "mask-folders"
    counts = Counter(annotation.split for annotation in listing.annotations)
    assert counts == {"train": 367, "val": 101, "test": 233}
    assert (listing.omissions, listing.notes) == ((), ())
    first = listing.annotations[0]
    assert first.fields == {"mask": first.image.replace("test/", "testannot/")[:-3] + "png"}
