"""Which class each value of the masks stands for."""

from __future__ import annotations

import dataclasses

import pytest

from headstart.errors import DataError
from headstart.tasks.segmentation import masks
from headstart.tasks.segmentation.codings import MAX_UNNAMED_COLOURS, choose, parse_class_lines
from headstart.tasks.segmentation.masks import MAX_CLASSES, Coding, MaskFacts

ROAD, SKY, VOID, WHITE = 0x804080, 0x4682B4, 0x111111, 0xFFFFFF
BORDER_NOTE = "255 is ignored: beside small numbers it marks borders, which are no class"


def numbers(*values: int, jpeg: bool = False) -> MaskFacts:
    """A mask that stores numbers."""
    return MaskFacts("0" * 32, values=values, counts=(1,) * len(values), jpeg=jpeg)


def colours(*values: int, jpeg: bool = False) -> MaskFacts:
    """A mask in colours."""
    return dataclasses.replace(numbers(*sorted(values), jpeg=jpeg), colours=True)


def palette(table: dict[int, int]) -> MaskFacts:
    """A mask with a palette, of the number and colour of each value that occurs."""
    return dataclasses.replace(numbers(*table), palette=tuple(table.values()))


# Lines with colours


@pytest.mark.parametrize(
    "lines",
    [
        ["128 64 128 road", "70 130 180 sky"],
        ["128, 64, 128, road", "70, 130, 180, sky"],
        ["128\t64\t128\troad", "", "70\t130\t180\tsky"],
        ["road 128 64 128", "sky 70 130 180"],
        ["name,r,g,b", "road,128,64,128", "sky,70,130,180"],
        ['"road",128,64,128', '"sky",70,130,180'],
    ],
)
def test_lines_with_colours(lines: list[str]) -> None:
    assert parse_class_lines(lines) == (("road", "sky"), (ROAD, SKY))


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        ([], ()),
        (["  ", ""], ()),
        (["road", "  sky "], ("road", "sky")),
        (["road 300 64 128", "lane 2"], ("road 300 64 128", "lane 2")),
    ],
)
def test_lines_without_colours(lines: list[str], names: tuple[str, ...]) -> None:
    assert parse_class_lines(lines) == (names, None)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["128 64 128 road", "sky"], r"must all have a colour .* without one is 'sky'"),
        (["road", "sky", "road"], "2 classes have the name 'road': each needs its own"),
        (["1 2 3 a", "1 2 3 b"], "2 classes have the colour '#010203': each needs its own"),
    ],
)
def test_lines_that_contradict_each_other(lines: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        choose([numbers(0, 1)], lines, None)


TABLE = ["128 64 128 road", "17 17 17 Unlabelled", "70 130 180 sky"]


def test_colours_of_the_lines() -> None:
    names, coding, notes = choose([colours(ROAD, SKY)], [TABLE[2], TABLE[0]], None)
    assert (names, coding, notes) == (("sky", "road"), Coding(True, (SKY, ROAD)), ())


def test_a_void_class_is_ignored_and_said() -> None:
    names, coding, notes = choose([colours(ROAD, SKY, VOID)], TABLE, None)
    assert names == ("road", "sky")
    assert coding == Coding(True, (ROAD, SKY), (VOID,))
    assert notes == (
        "pixels of 'Unlabelled' are ignored, because of the name: rename it to make it a class",
    )
    # Whoever names it in dataset.yaml need not be told.
    assert choose([colours(ROAD, SKY, VOID)], TABLE, 1) == (names, coding, ())


def test_palettes_are_read_by_colour() -> None:
    mask = palette({0: SKY, 3: ROAD})
    names, coding, _ = choose([mask], [TABLE[0], TABLE[2]], None)
    assert (names, coding) == (("road", "sky"), Coding(True, (ROAD, SKY)))
    assert masks.problem(mask, coding) is None


def test_an_unknown_colour_is_left_to_the_mask_that_holds_it() -> None:
    good, bad = colours(ROAD, SKY), colours(ROAD, 0xFF0000)
    _, coding, notes = choose([good, bad], [TABLE[0], TABLE[2]], None)
    assert (coding, notes) == (Coding(True, (ROAD, SKY)), ())
    assert masks.problem(good, coding) is None
    assert masks.problem(bad, coding) is not None


def test_the_border_of_a_palette_is_ignored() -> None:
    """PASCAL VOC draws borders with number 255, whose colour is no class; here by colour."""
    mask = palette({0: SKY, 3: ROAD, 255: 0xE0E0C0})
    names, coding, notes = choose([mask], [TABLE[0], TABLE[2]], None)
    assert names == ("road", "sky")
    assert coding == Coding(True, (ROAD, SKY), (0xE0E0C0,))
    assert notes == (BORDER_NOTE,)
    assert choose([mask], [TABLE[0], TABLE[2]], 255)[1:] == (coding, ())
    # Unless the lines say that it is a class.
    lines = [TABLE[0], TABLE[2], "224 224 192 edge"]
    assert choose([mask], lines, None)[1:] == (Coding(True, (ROAD, SKY, 0xE0E0C0)), ())


def test_black_and_white_of_the_lines_are_classes() -> None:
    names, coding, notes = choose([numbers(0, 255)], ["0 0 0 no", "255 255 255 yes"], None)
    assert (names, coding, notes) == (("no", "yes"), Coding(True, (0, WHITE)), ())


def test_numbers_may_be_positions_in_a_table_of_colours() -> None:
    _, coding, notes = choose([numbers(0, 1, 2, 255)], [TABLE[0], TABLE[2], "1 2 3 car"], None)
    assert coding == Coding(False, (0, 1, 2), (255,))
    assert notes == (
        "the masks hold positions in the list of classes (0, 1, ...), not its colours",
        BORDER_NOTE,
    )


def test_a_palette_in_another_order_is_not_taken_for_positions() -> None:
    mask = palette({0: SKY, 1: ROAD, 2: 0xFF0000})
    _, coding, _ = choose([mask], [TABLE[0], TABLE[2], "1 2 3 car"], None)
    assert coding.colours


# Lines with names only


def test_value_k_is_the_class_of_line_k() -> None:
    names, coding, notes = choose([numbers(0, 2), numbers(1)], ["a", "b", "c", "d"], None)
    assert (names, coding, notes) == (("a", "b", "c", "d"), Coding(False, (0, 1, 2, 3)), ())


def test_the_class_that_is_ignored() -> None:
    names, coding, notes = choose([numbers(0, 1, 2)], ["a", "b", "c"], 1)
    assert (names, coding, notes) == (("a", "c"), Coding(False, (0, 2), (1,)), ())


def test_ignored_numbers_outside_the_names() -> None:
    names, coding, notes = choose([numbers(0, 1, 200)], ["a", "b"], 200)
    assert (names, coding, notes) == (("a", "b"), Coding(False, (0, 1), (200,)), ())


def test_void_names_without_colours() -> None:
    names, coding, notes = choose([numbers(0, 1, 2)], ["a", "Void", "c"], None)
    assert (names, coding) == (("a", "c"), Coding(False, (0, 2), (1,)))
    assert len(notes) == 1
    assert notes[0].startswith("pixels of 'Void' are ignored")


@pytest.mark.parametrize(
    ("values", "count", "ignored"),
    [
        ((0, 1, 2, 255), 3, (255,)),
        ((0, 63, 255), 3, (255,)),
        ((0, 64, 255), 3, ()),
        ((0, 149, 255), 150, (255,)),
        ((255,), 3, ()),
        ((0, 255), 3, ()),
    ],
)
def test_the_border_beside_names(
    values: tuple[int, ...], count: int, ignored: tuple[int, ...]
) -> None:
    _, coding, notes = choose([numbers(*values)], [f"c{at}" for at in range(count)], None)
    assert coding == Coding(False, tuple(range(count)), ignored)
    assert notes == ((BORDER_NOTE,) if ignored else ())


@pytest.mark.parametrize("white", [255, 65535])
def test_two_names_for_black_and_white(white: int) -> None:
    names, coding, notes = choose([numbers(0, white), numbers(0)], ["no", "yes"], None)
    assert (names, coding) == (("no", "yes"), Coding(False, (0, white)))
    assert notes == (f"0 is 'no' and {white} is 'yes'",)


def test_two_names_and_other_values() -> None:
    for values in ((0, 7), (3, 255), (0, 1)):
        _, coding, _ = choose([numbers(*values)], ["no", "yes"], None)
        assert coding.values == (0, 1), values


def test_an_explicit_ignore_index_wins_over_black_and_white() -> None:
    _, coding, _ = choose([numbers(0, 255)], ["no", "yes"], 255)
    assert coding == Coding(False, (0, 1), (255,))


def test_numbers_from_one_on_are_said() -> None:
    mask = numbers(1, 2, 3)
    assert choose([numbers(0, 1, 2, 3)], ["a", "b", "c"], None)[2] == ()
    _, coding, notes = choose([mask], ["a", "b", "c"], None)
    assert coding.values == (0, 1, 2)
    assert masks.problem(mask, coding) is not None
    (note,) = notes
    assert note == (
        "line k of the classes is value k, from 0 on; the masks hold 1 to 3: "
        "if they count from 1, put a line for 0 before the others"
    )


def test_names_of_palettes_are_for_their_numbers() -> None:
    _, coding, _ = choose([palette({0: SKY, 1: ROAD})], ["sky", "road"], None)
    assert coding == Coding(False, (0, 1))


def test_colours_need_a_table() -> None:
    with pytest.raises(DataError) as caught:
        choose([colours(ROAD, SKY), numbers(0)], ["road", "sky"], None)
    assert str(caught.value) == (
        "1 of the 2 masks hold colours (#000000, #4682b4 and #804080), and the 2 classes have "
        "none: write one line 'R G B name' for each class into classes.txt, such as "
        "'128 64 128 road'"
    )
    with pytest.raises(DataError, match=r"classes\.txt.*, and save masks as PNG: JPEG"):
        choose([colours(ROAD, SKY, jpeg=True)], ["road", "sky"], None)


def test_a_stray_mask_in_colours_does_not_change_the_others() -> None:
    stray = colours(ROAD, SKY)
    _, coding, _ = choose([numbers(0, 1), numbers(0, 2), stray], ["a", "b", "c"], None)
    assert coding == Coding(False, (0, 1, 2))
    assert masks.problem(stray, coding) == (
        "its mask holds colours (#4682b4 and #804080), where others hold numbers"
    )


# Palettes that number their colours anew in every file, as programs that write GIF do.
RENUMBERED = [palette({0: 0, 1: WHITE}), palette({0: WHITE})]


def test_renumbered_palettes_are_read_by_colour() -> None:
    names, coding, notes = choose(RENUMBERED, [], None)
    assert (names, coding) == (("background", "foreground"), Coding(True, (0, WHITE)))
    assert notes == ("black is the background and white the foreground",)
    names, coding, notes = choose(RENUMBERED, ["no", "yes"], None)
    assert (names, coding) == (("no", "yes"), Coding(True, (0, WHITE)))
    assert notes == ("#000000 is 'no' and #ffffff is 'yes'",)
    with pytest.raises(DataError, match="2 of the 2 masks hold colours"):
        choose([palette({0: ROAD, 1: SKY}), palette({0: SKY})], ["road", "sky"], None)


def test_an_ignored_number_is_a_grey_where_palettes_are_renumbered() -> None:
    found = [palette({0: 0, 1: ROAD, 2: SKY}), palette({0: ROAD})]
    assert choose(found, [], 0)[1] == Coding(True, (SKY, ROAD), (0,))


# Without lines


@pytest.mark.parametrize("white", [1, 255, 65535])
def test_black_and_white(white: int) -> None:
    names, coding, notes = choose([numbers(0, white), numbers(0)], [], None)
    assert (names, coding) == (("background", "foreground"), Coding(False, (0, white)))
    assert notes == (f"0 is the background and {white} the foreground",)


def test_only_values_that_occur_are_classes() -> None:
    names, coding, notes = choose([numbers(0, 4), numbers(2)], [], None)
    assert (names, coding) == (("class 0", "class 2", "class 4"), Coding(False, (0, 2, 4)))
    (note,) = notes
    assert note == (
        "the values 0, 2 and 4 have no names: to give them some, write classes.txt with one name "
        "a line, the first one for value 0"
    )


@pytest.mark.parametrize(
    ("values", "kept", "ignored"),
    [
        ((0, 1, 2, 255), (0, 1, 2), (255,)),
        ((0, 1, 255), (0, 1), (255,)),
        ((0, 63, 255), (0, 63), (255,)),
        ((0, 64, 255), (0, 64, 255), ()),
    ],
)
def test_the_border_without_names(
    values: tuple[int, ...], kept: tuple[int, ...], ignored: tuple[int, ...]
) -> None:
    _, coding, notes = choose([numbers(*values)], [], None)
    assert coding == Coding(False, kept, ignored)
    assert (BORDER_NOTE in notes) == bool(ignored)


def test_an_ignored_number_is_no_class() -> None:
    _, coding, _ = choose([numbers(0, 1, 2)], [], 0)
    assert coding == Coding(False, (1, 2), (0,))


def test_palettes_count_by_number() -> None:
    names, coding, _ = choose([palette({0: 0, 1: ROAD, 2: SKY})], [], None)
    assert (names, coding) == (("class 0", "class 1", "class 2"), Coding(False, (0, 1, 2)))


def test_each_colour_is_a_class() -> None:
    names, coding, notes = choose([colours(ROAD, SKY), numbers(0, 17)], [], None)
    assert names == ("#000000", "#111111", "#4682b4", "#804080")
    assert coding == Coding(True, (0, VOID, SKY, ROAD))
    (note,) = notes
    assert note == (
        "the colours #000000, #111111, #4682b4 and #804080 have no names: to give them some, "
        "write classes.txt with one line 'R G B name' for each class"
    )
    assert choose([colours(ROAD, SKY), numbers(0)], [], 0)[1] == Coding(True, (SKY, ROAD), (0,))


def test_greys_above_255_are_no_colours() -> None:
    assert choose([colours(ROAD, SKY), numbers(300)], [], None)[1] == Coding(True, (SKY, ROAD))


def test_too_many_without_names() -> None:
    most = range(MAX_UNNAMED_COLOURS)
    assert len(choose([numbers(*most)], [], None)[0]) == MAX_UNNAMED_COLOURS
    assert len(choose([colours(*most)], [], None)[0]) == MAX_UNNAMED_COLOURS
    more = range(MAX_UNNAMED_COLOURS + 1)
    with pytest.raises(DataError, match=r"hold 65 values \(0 to 64\), more than the 64 .* as PNG"):
        choose([numbers(*more)], [], None)
    with pytest.raises(DataError, match=r"hold 65 colours .* as PNG; .* 'R G B name'"):
        choose([colours(*more)], [], None)


def test_jpeg_without_names() -> None:
    blurred = numbers(0, 1, 2, 254, 255, jpeg=True)
    with pytest.raises(DataError, match=r"JPEG files with 5 values, .* save masks as PNG, or name"):
        choose([blurred], [], None)
    with pytest.raises(DataError, match="JPEG files with 2 colours"):
        choose([colours(ROAD, SKY, jpeg=True)], [], None)
    # Where others are exact, they say what the classes are; this one is left out by itself.
    _, coding, _ = choose([numbers(0, 255), blurred], [], None)
    assert coding == Coding(False, (0, 255))
    assert "save masks as PNG" in str(masks.problem(blurred, coding))
    # Large areas of black and white can survive.
    assert choose([numbers(0, 255, jpeg=True)], [], None)[1] == coding


# How many


def test_unusable_masks_are_passed_over() -> None:
    broken = MaskFacts("", "is empty")
    assert choose([broken, numbers(0, 1, 2)], [], None)[1].values == (0, 1, 2)
    with pytest.raises(DataError, match=r"none of the 2 mask files can .* first one is empty"):
        choose([broken, broken], ["a", "b"], None)
    with pytest.raises(DataError, match="there are no mask files"):
        choose([], ["a", "b"], None)


@pytest.mark.parametrize(
    ("mask", "lines", "ignore_index", "message"),
    [
        (numbers(0), [], None, "got class 0: the masks hold 0, ignored is nothing"),
        (numbers(0, 255), [], 255, "got class 0: the masks hold 0 and 255, ignored is 255"),
        (numbers(0, 1), ["crack"], None, "got crack: the masks hold 0 and 1, ignored is nothing"),
        (numbers(0, 1), ["a", "b"], 1, "got a: the masks hold 0 and 1, ignored is 1"),
        (numbers(5), [], 5, "got none: the masks hold 5, ignored is 5"),
        (colours(ROAD), [], None, "got #804080: the masks hold #804080, ignored is nothing"),
        (colours(ROAD), TABLE[:2], None, "got road: the masks hold #804080, ignored is #111111"),
    ],
)
def test_one_class_is_too_few(
    mask: MaskFacts, lines: list[str], ignore_index: int | None, message: str
) -> None:
    with pytest.raises(DataError, match=f"at least two classes are needed, {message}"):
        choose([mask], lines, ignore_index)


def test_the_largest_number_of_classes() -> None:
    names = [f"c{at}" for at in range(MAX_CLASSES + 1)]
    assert len(choose([numbers(0, 1)], names[:-1], None)[0]) == MAX_CLASSES
    with pytest.raises(DataError, match="there are 256 classes, at most 255 are possible: give"):
        choose([numbers(0, 1)], names, None)


def test_a_label_map_of_cvat_has_colours() -> None:
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::", "road side:128,64,128::"]
    assert parse_class_lines(lines) == (("background", "road side"), (0, 0x804080))
