"""Mask files of every kind: what they hold, and how it becomes indices of classes."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from headstart.config import class_names, dataset_options
from headstart.errors import DataError, UnreadableImageError
from headstart.tasks.segmentation import masks
from headstart.tasks.segmentation.codings import choose
from headstart.tasks.segmentation.masks import Coding, MaskFacts
from headstart.types import IGNORED
from pictures import KINDS, make_mask, make_picture, real_data, write_mask

BLACK, RED, BLUE = (0, 0, 0), (255, 0, 0), (0, 0, 255)
NUMBERS = [[0, 1, 1], [2, 2, 2]]


def facts_of(path: Path) -> MaskFacts:
    return masks.survey([path])[path]


def test_numbers(tmp_path: Path) -> None:
    path = write_mask(tmp_path / "a.png", NUMBERS)
    facts = facts_of(path)
    assert (facts.error, facts.colours, facts.jpeg, facts.palette) == (None, False, False, ())
    assert (facts.size, facts.values, facts.counts) == ((2, 3), (0, 1, 2), (1, 2, 3))
    assert len(facts.fingerprint) == 32
    # Grey is a colour with three equal channels.
    assert facts.coded(True) == (0x000000, 0x010101, 0x020202)
    assert masks.raw_values(path, colours=True).tolist()[0] == [0, 0x010101, 0x010101]


def test_values_become_indices_in_the_order_of_the_classes(tmp_path: Path) -> None:
    path = write_mask(tmp_path / "a.png", NUMBERS)
    indices = masks.read_mask(path, Coding(False, (2, 0), ignored=(1,)))
    assert indices.dtype == np.uint8
    assert indices.tolist() == [[1, IGNORED, IGNORED], [0, 0, 0]]


def test_a_palette_holds_numbers_and_colours(tmp_path: Path) -> None:
    path = write_mask(tmp_path / "a.png", [[0, 2], [2, 0]], palette=[BLACK, RED, BLUE])
    facts = facts_of(path)
    assert (facts.colours, facts.values, facts.palette) == (False, (0, 2), (0x000000, 0x0000FF))
    assert facts.coded(False) == (0, 2)
    assert facts.coded(True) == (0x000000, 0x0000FF)
    assert masks.read_mask(path, Coding(False, (0, 1, 2))).tolist() == [[0, 2], [2, 0]]
    assert masks.read_mask(path, Coding(True, (0x0000FF, 0))).tolist() == [[1, 0], [0, 1]]


def test_colours_and_alpha_beside_them(tmp_path: Path) -> None:
    opaque = write_mask(tmp_path / "a.png", [[BLACK, RED], [(1, 2, 3), RED]])
    facts = facts_of(opaque)
    assert (facts.colours, facts.values) == (True, (0x000000, 0x010203, 0xFF0000))
    assert facts.counts == (1, 1, 2)
    clear = write_mask(tmp_path / "b.png", [[(*RED, 0), (*BLUE, 7)]])
    assert facts_of(clear).values == (0x0000FF, 0xFF0000)


def test_three_equal_channels_are_numbers(tmp_path: Path) -> None:
    path = write_mask(tmp_path / "a.png", [[(7, 7, 7), (0, 0, 0)]])
    assert (facts_of(path).colours, facts_of(path).values) == (False, (0, 7))


def test_one_bit_and_sixteen_bits(tmp_path: Path) -> None:
    bits = write_mask(tmp_path / "bits.png", np.array([[False, True]]))
    assert facts_of(bits).values == (0, 1)
    deep = write_mask(tmp_path / "deep.png", np.array([[0, 300, 65535]], dtype=np.uint16))
    assert facts_of(deep).values == (0, 300, 65535)
    assert masks.read_mask(deep, Coding(False, (0, 300), (65535,))).tolist() == [[0, 1, IGNORED]]
    # A grey of 16 bits has no colour of 8 bits, and is no black either.
    assert facts_of(deep).coded(True) == (0, -1, -1)
    assert masks.problem(facts_of(deep), Coding(True, (0, 0x010101))) == (
        "its mask holds the colour a grey above 255, which is no class "
        "(classes are #000000 and #010101)"
    )


@pytest.mark.parametrize("kind", [np.int32, np.float32])
def test_tif_of_whole_numbers(tmp_path: Path, kind: type) -> None:
    path = write_mask(tmp_path / "a.tif", np.array([[-1, 0], [5, 70000]], dtype=kind))
    assert facts_of(path).values == (-1, 0, 5, 70000)
    assert masks.read_mask(path, Coding(False, (0, 5, 70000), (-1,))).tolist() == [
        [IGNORED, 0],
        [1, 2],
    ]


@pytest.mark.parametrize("odd", [0.5, np.nan, np.inf])
def test_fractions_are_refused(tmp_path: Path, odd: float) -> None:
    path = write_mask(tmp_path / "a.tif", np.array([[0, odd]], dtype=np.float32))
    assert facts_of(path).error == "holds fractions, which stand for no class"


def test_gif(tmp_path: Path) -> None:
    path = write_mask(tmp_path / "a.gif", [[0, 1], [2, 1]], palette=[BLACK, RED, BLUE])
    facts = facts_of(path)
    assert sorted(facts.coded(True)) == [0x000000, 0x0000FF, 0xFF0000]
    coding = Coding(True, (0x000000, 0xFF0000, 0x0000FF))
    assert masks.read_mask(path, coding).tolist() == [[0, 1], [2, 1]]


def test_of_an_animation_the_first_frame_counts(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((2, 2), value, dtype=np.uint8)) for value in (3, 9)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    assert facts_of(tmp_path / "a.tif").values == (3,)


def test_jpeg_is_refused_with_advice(tmp_path: Path) -> None:
    values = 255 * (make_mask("disc", 0) > 0).astype(np.uint8)
    facts = facts_of(write_mask(tmp_path / "a.jpg", values, quality=75))
    assert facts.jpeg
    assert len(facts.values) > 2
    reason = masks.problem(facts, Coding(False, (0, 255)))
    assert reason is not None
    assert reason.startswith("its mask holds the values 1, 2, 3, ")
    assert reason.endswith(
        "which are no classes (classes are 0 and 255) "
        "(JPEG compression changes values: save masks as PNG)"
    )


def test_a_photograph_is_refused(tmp_path: Path) -> None:
    pixels = make_picture("stripes", 0)
    stored = facts_of(write_mask(tmp_path / "a.png", np.tile(pixels, (3, 3, 1))))
    assert stored.error is None, "few pixels hold few values"
    random = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    exact = facts_of(write_mask(tmp_path / "b.png", random))
    assert exact.error is not None
    assert exact.error.endswith(" different values (it is a photograph)")
    blurred = facts_of(write_mask(tmp_path / "b.jpg", random, quality=95))
    assert blurred.error is not None
    assert blurred.error.endswith("(JPEG compression blurs colours: save masks as PNG)")


def test_files_that_are_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("hello", encoding="utf-8")
    whole = io.BytesIO()
    Image.fromarray(make_picture("disc", 0)).save(whole, "PNG")
    (tmp_path / "cut.png").write_bytes(whole.getvalue()[:1000])
    (tmp_path / "folder.png").mkdir()
    names = ("empty", "text", "cut", "folder", "missing")
    found = masks.survey(tmp_path / f"{name}.png" for name in names)
    errors = {path.stem: facts.error for path, facts in found.items()}
    assert list(errors) == list(names)
    assert errors["empty"] == "is empty"
    assert errors["text"] == "cannot be decoded (not a picture of a known format)"
    assert errors["cut"] is not None
    assert errors["cut"].startswith("cannot be decoded (")
    assert errors["folder"] == "cannot be opened (Is a directory)"
    assert errors["missing"] == "does not exist"
    assert {path.stem for path, facts in found.items() if facts.fingerprint} == {"text", "cut"}
    assert masks.problem(found[tmp_path / "empty.png"], Coding(False, (0, 1))) == (
        "its mask is empty"
    )
    with pytest.raises(UnreadableImageError, match="does not exist"):
        masks.read_mask(tmp_path / "missing.png", Coding(False, (0, 1)))


def test_a_huge_mask_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_mask(tmp_path / "a.png", NUMBERS)
    monkeypatch.setattr(masks, "MAX_PIXELS", 5)
    assert facts_of(path).error == "has 3x2 pixels, more than 5"


def test_the_survey_looks_once_and_keeps_warnings(tmp_path: Path) -> None:
    path = write_mask(tmp_path / "a.png", NUMBERS)
    same = write_mask(tmp_path / "b.png", NUMBERS)
    before = list(warnings.filters)
    found = masks.survey([path, same, path])
    assert list(found) == [path, same]
    assert found[path] == found[same]
    assert warnings.filters == before
    assert masks.survey([]) == {}


def test_an_unseen_value_is_named(tmp_path: Path) -> None:
    path = write_mask(tmp_path / "a.png", [[0, 1, 9, 9]])
    coding = Coding(False, (0, 1, 2), (255,))
    problem = "holds the value 9, which is no class (classes are 0 to 2, ignored is 255)"
    assert masks.problem(facts_of(path), coding) == f"its mask {problem}"
    with pytest.raises(DataError) as caught:
        masks.read_mask(path, coding)
    assert str(caught.value) == problem


def test_unseen_values_are_named(tmp_path: Path) -> None:
    path = write_mask(tmp_path / "a.png", [[3, 5, 7, 20, 21, 22, 23, 0]])
    assert masks.problem(facts_of(path), Coding(False, (0, 1), (254, 255))) == (
        "its mask holds the values 3, 5, 7, 20, 21 and 2 more, which are no classes "
        "(classes are 0 and 1, ignored are 254 and 255)"
    )
    colours = write_mask(tmp_path / "b.png", [[BLACK, RED]])
    assert masks.problem(facts_of(colours), Coding(True, (0, 0x0000FF))) == (
        "its mask holds the colour #ff0000, which is no class (classes are #000000 and #0000ff)"
    )


def test_colours_are_no_numbers(tmp_path: Path) -> None:
    """(0, 0, 1) packed is 1, which must not pass for the number 1."""
    path = write_mask(tmp_path / "a.png", [[BLACK, (0, 0, 1)]])
    assert masks.problem(facts_of(path), Coding(False, (0, 1))) == (
        "its mask holds colours (#000000 and #000001), where others hold numbers"
    )
    assert masks.problem(facts_of(path), Coding(True, (0, 1))) is None


def test_a_mask_without_a_pixel_that_counts(tmp_path: Path) -> None:
    path = write_mask(tmp_path / "a.png", [[255, 254], [255, 255]])
    facts = facts_of(path)
    assert masks.problem(facts, Coding(False, (0, 1), (254, 255))) == (
        "every pixel of its mask is ignored"
    )
    assert masks.problem(facts, Coding(False, (0, 254), (255,))) is None
    assert (masks.read_mask(path, Coding(False, (0, 1), (254, 255))) == IGNORED).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_are_pillows(tmp_path: Path, orientation: int) -> None:
    """Pillow's ``exif_transpose`` turns a picture with the same pixels."""
    values = np.arange(6, dtype=np.uint8).reshape(2, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG", exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(stream)))
    path = write_mask(tmp_path / "a.png", values)
    found = masks.read_mask(path, Coding(False, tuple(range(6))), orientation)
    assert found.tolist() == upright.tolist()
    assert found.flags.c_contiguous


def test_masks_fit_their_pictures() -> None:
    for kind in KINDS:
        shape = make_mask(kind, 3)
        assert set(np.unique(shape).tolist()) == {0, 1 + KINDS.index(kind)}
        inside = make_picture(kind, 3)[shape > 0]
        assert (inside == inside[0]).all(), "the shape has one colour"


def test_codings_survive_json() -> None:
    coding = Coding(True, (0, 0xFFFFFF), (0x010203,))
    assert Coding.from_json(coding.to_json()) == coding


@pytest.mark.parametrize(
    ("values", "colours", "text"),
    [
        ([4], False, "4"),
        ([0, 1], False, "0 and 1"),
        ([3, 4, 5], False, "3 to 5"),
        ([0, 2, 255], False, "0, 2 and 255"),
        (list(range(0, 14, 2)), False, "0, 2, 4, 6, 8 and 2 more"),
        ([0, 1, 2], True, "#000000, #000001 and #000002"),
    ],
)
def test_values_in_words(values: list[int], colours: bool, text: str) -> None:
    assert masks.shown(values, colours) == text


def test_from_files_to_indices(tmp_path: Path) -> None:
    """Each way to store the same mask gives the same indices."""
    shape = (make_mask("disc", 1) > 0).astype(np.uint8)
    table = np.array([[70, 130, 180], [128, 64, 128]], dtype=np.uint8)
    files = {
        "index.png": shape,
        "binary.png": 255 * shape,
        "deep.png": shape.astype(np.uint16) * 65535,
        "bits.tif": shape.astype(bool),
        "binary.gif": 255 * shape,
        "rgb.png": table[shape],
    }
    lines = ["70 130 180 sky", "128 64 128 road"]
    for name, values in files.items():
        path = write_mask(tmp_path / name, values)
        facts = list(masks.survey([path]).values())
        _, coding, _ = choose(facts, lines if name == "rgb.png" else ["sky", "road"], None)
        assert masks.problem(facts[0], coding) is None, name
        assert masks.read_mask(path, coding).tolist() == shape.tolist(), name


def test_camvid() -> None:
    camvid = real_data("camvid")
    options = dataset_options(camvid)
    facts = masks.survey(sorted(camvid.glob("valannot/*.png")))
    assert len(facts) == 101
    lines = class_names(options, camvid, ("classes.txt",))
    names, coding, notes = choose(list(facts.values()), lines, options.ignore_index)
    assert len(names) == 11
    assert (names[0], names[-1]) == ("Sky", "Bicyclist")
    assert (coding, notes) == (Coding(False, tuple(range(11)), (11,)), ())
    assert not any(masks.problem(entry, coding) for entry in facts.values())
