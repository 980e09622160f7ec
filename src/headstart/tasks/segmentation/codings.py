"""Which class each value of the mask files stands for: read from names, colours and the masks."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from headstart.errors import DataError
from headstart.tasks.segmentation.masks import GREY, MAX_CLASSES, Coding, MaskFacts, shown

MAX_UNNAMED_COLOURS = 64
"""With more values and no names a mask was compressed like a photograph, or is one."""

Chosen = tuple[tuple[str, ...], Coding, tuple[str, ...]]
"""Class names, the coding, and sentences that the person should read."""

_BINARY = ("background", "foreground")
_WHITES = (1, 255, 65535)
_BORDER = 255
# Beside numbers below this one 255 is the border of PASCAL VOC, and no shade of grey.
_SMALL = 64
_VOID_NAMES = frozenset(
    {"don't care", "ignore", "ignored", "unlabeled", "unlabelled", "void", "unannotated"}
)
_COLOUR_FIRST = re.compile(r"(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+()(.*\S)")
_NAME_FIRST = re.compile(r"(.*[^\s,;])[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})[\s,;]+(\d{1,3})")
_LABELMAP = re.compile(r"([^:#]+):(\d{1,3},\d{1,3},\d{1,3})(?::.*)?")
_HEADER = re.compile(r"\b(r|red)\b.*\b(g|green)\b.*\b(b|blue)\b", re.IGNORECASE)


def choose(
    facts: Sequence[MaskFacts], lines: Sequence[str], ignore_index: int | None = None
) -> Chosen:
    """Decides which class each value of the masks stands for.

    Lines with colours decide by colour, lines with names by number (value k is the class of line
    k); without lines the values that occur are the classes. Masks that hold anything else do not
    matter here: ``masks.problem`` names them.

    Args:
        facts: of every mask file; those with an error are passed over.
        lines: one class each, as ``parse_class_lines`` reads them; may be empty.
        ignore_index: a stored number that counts for nothing, as does the class of its line.

    Raises:
        DataError: no file is usable, or the classes cannot be told, or there are fewer than two
            or more than ``MAX_CLASSES``.
    """
    masks = [entry for entry in facts if entry.error is None]
    if not facts:
        raise DataError("there are no mask files")
    if not masks:
        raise DataError(
            f"none of the {len(facts)} mask files can be used: the first one {facts[0].error}"
        )
    names, table = parse_class_lines(lines)
    if table is not None and not _are_positions(masks, table):
        chosen = _by_colour(masks, names, table, ignore_index)
    elif names:
        chosen = _by_number(masks, names, ignore_index)
        if table is not None:
            note = "the masks hold positions in the list of classes (0, 1, ...), not its colours"
            chosen = (*chosen[:2], (note, *chosen[2]))
    elif _by_palette(masks) or any(mask.colours for mask in masks):
        chosen = _unnamed_colours(masks, ignore_index)
    else:
        chosen = _unnamed_numbers(masks, ignore_index)
    _check_count(masks, chosen)
    return chosen


def parse_class_lines(
    lines: Sequence[str],
) -> tuple[tuple[str, ...], tuple[int, ...] | None]:
    """Reads ``R G B name``, ``name R G B``, ``name,R,G,B``, CVAT's ``name:R,G,B::``, or names.

    Args:
        lines: one class each, in the order of the classes; empty lines and a header of colours
            are passed over.

    Returns:
        Class names, and their colours packed as 0xRRGGBB, or None where the lines hold none.

    Raises:
        DataError: some lines hold a colour and others none, or two classes have the same name or
            colour.
    """
    kept = [line.strip() for line in lines if line.strip()]
    if any(_LABELMAP.fullmatch(line) for line in kept):
        # CVAT's labelmap.txt, whose header is a comment: "# label:color_rgb:parts:actions".
        kept = [_LABELMAP.sub(r"\1,\2", line) for line in kept if not line.startswith("#")]
    if len(kept) > 1 and _HEADER.search(kept[0]) and _named_colour(kept[1]):
        kept = kept[1:]
    found = [_named_colour(line) for line in kept]
    without = [line for line, entry in zip(kept, found, strict=True) if entry is None]
    if without and len(without) < len(kept):
        raise DataError(
            f"the classes must all have a colour (R G B name, each of 0 to 255) or none; "
            f"without one is {without[0]!r}"
        )
    if without or not kept:
        return _unique(kept, "name"), None
    named = [entry for entry in found if entry is not None]
    names = _unique([name for name, _ in named], "name")
    _unique([f"#{colour:06x}" for _, colour in named], "colour")
    return names, tuple(colour for _, colour in named)


def _named_colour(line: str) -> tuple[str, int] | None:
    """Name and packed colour of a class; None where the line holds no colour."""
    first, last = _COLOUR_FIRST.fullmatch(line), _NAME_FIRST.fullmatch(line)
    for name, channels in (
        (first and first[5], first and first.groups()[:3]),
        (last and last[1], last and last.groups()[1:]),
    ):
        if name and channels and all(int(channel) <= 255 for channel in channels):
            red, green, blue = map(int, channels)
            return name.strip("\"' "), red << 16 | green << 8 | blue
    return None


def _unique(texts: Sequence[str], kind: str) -> tuple[str, ...]:
    for text, count in Counter(texts).items():
        if count > 1:
            raise DataError(f"{count} classes have the {kind} {text!r}: each needs its own")
    return tuple(texts)


def _by_colour(
    masks: Sequence[MaskFacts],
    names: Sequence[str],
    table: Sequence[int],
    ignore_index: int | None,
) -> Chosen:
    """Classes by the colours of their lines."""
    void, notes = _void(names, ignore_index)
    ignored = [table[at] for at in void]
    if ignore_index not in range(len(names)):
        ignored += _given(masks, ignore_index, True)
    if _has_border(_numbers(mask for mask in masks if mask.palette), _SMALL):
        border = [colour for colour in _colours_of(_BORDER, masks) if colour not in table]
        if set(border).difference(ignored):
            notes.append(_border_note())
        ignored += border
    kept = [at for at in range(len(names)) if table[at] not in ignored]
    coding = Coding(True, tuple(table[at] for at in kept), tuple(sorted(set(ignored))))
    return tuple(names[at] for at in kept), coding, tuple(notes)


def _by_number(
    masks: Sequence[MaskFacts], names: Sequence[str], ignore_index: int | None
) -> Chosen:
    """Value k is the class of line k; with two names also black and white."""
    colours = _by_palette(masks) or _are_coloured(masks, len(names))
    held = _colours(masks) if colours else _numbers(masks)
    given = _given(masks, ignore_index, colours)
    white = _white(held.difference(given), colours)
    if len(names) == 2 and white not in (None, 1):
        black, bright = (shown((value,), colours) for value in (0, white))
        note = f"{black} is {names[0]!r} and {bright} is {names[1]!r}"
        return tuple(names), Coding(colours, (0, white), tuple(given)), (note,)
    if colours:
        raise DataError(_advice_for_colours(masks, names, held))
    void, notes = _void(names, ignore_index)
    ignored = {*void, *given}
    # Nothing but 0 and 255 is black and white, for which there are too many names here.
    if white is None and _has_border(held.difference(given), max(_SMALL, len(names))):
        ignored.add(_BORDER)
        notes.append(_border_note())
    if 0 not in held and len(names) in held:
        notes.append(
            f"line k of the classes is value k, from 0 on; the masks hold {_listed(held, False)}: "
            "if they count from 1, put a line for 0 before the others"
        )
    kept = tuple(at for at in range(len(names)) if at not in ignored)
    coding = Coding(False, kept, tuple(sorted(ignored)))
    return tuple(names[at] for at in kept), coding, tuple(notes)


def _unnamed_numbers(masks: Sequence[MaskFacts], ignore_index: int | None) -> Chosen:
    """A class for each number that occurs."""
    ignored = set(_given(masks, ignore_index, False))
    held = _numbers(_exact(masks)).difference(ignored)
    notes = []
    if _white(held, False) is None and _has_border(held, _SMALL):
        held.remove(_BORDER)
        ignored.add(_BORDER)
        notes.append(_border_note())
    coding = Coding(False, tuple(sorted(held)), tuple(sorted(ignored)))
    white = _white(held, False)
    if white is not None:
        notes.append(f"0 is the background and {white} the foreground")
        return _BINARY, coding, tuple(notes)
    _check_unnamed(masks, held, False)
    notes.append(
        f"the values {_listed(held, False)} have no names: to give them some, write classes.txt "
        "with one name a line, the first one for value 0"
    )
    return tuple(f"class {value}" for value in coding.values), coding, tuple(notes)


def _unnamed_colours(masks: Sequence[MaskFacts], ignore_index: int | None) -> Chosen:
    """A class for each colour that occurs."""
    ignored = _given(masks, ignore_index, True)
    held = _colours(_exact(masks)).difference(ignored)
    coding = Coding(True, tuple(sorted(held)), tuple(ignored))
    if _white(held, True) is not None:
        return _BINARY, coding, ("black is the background and white the foreground",)
    _check_unnamed(masks, held, True)
    note = (
        f"the colours {_listed(held, True)} have no names: to give them some, write classes.txt "
        "with one line 'R G B name' for each class"
    )
    return tuple(f"#{colour:06x}" for colour in coding.values), coding, (note,)


def _numbers(masks: Iterable[MaskFacts]) -> set[int]:
    """Stored numbers that occur; masks in colours hold none."""
    return {value for mask in masks if not mask.colours for value in mask.values}


def _colours(masks: Iterable[MaskFacts]) -> set[int]:
    """Colours that occur, of palettes and greys too; greys above 255 are none."""
    return {colour for mask in masks for colour in mask.coded(True) if colour >= 0}


def _given(masks: Sequence[MaskFacts], ignore_index: int | None, colours: bool) -> list[int]:
    """The values that ``dataset.yaml`` says to ignore."""
    if ignore_index is None:
        return []
    return _colours_of(ignore_index, masks) if colours else [ignore_index]


def _colours_of(number: int, masks: Sequence[MaskFacts]) -> list[int]:
    """Colours that a stored number has: of the palettes, else its grey."""
    palettes = [dict(zip(mask.values, mask.palette, strict=True)) for mask in masks if mask.palette]
    if palettes and not _by_palette(masks):
        return sorted({palette[number] for palette in palettes if number in palette})
    return [number * GREY] if 0 <= number <= 255 else []


def _by_palette(masks: Sequence[MaskFacts]) -> bool:
    """Whether a number has another colour in every palette, so that only colours mean something.

    Programs that save few colours, as GIF for example, number them anew in every file.
    """
    seen: dict[int, set[int]] = defaultdict(set)
    for mask in masks:
        for value, colour in zip(mask.values, mask.palette, strict=False):
            seen[value].add(colour)
    return any(len(found) > 1 for found in seen.values())


def _are_positions(masks: Sequence[MaskFacts], table: Sequence[int]) -> bool:
    """Whether masks hold positions in the table and not its colours.

    Some grey or colour of theirs is not in the table, and what is stands at its own number.
    """
    if any(mask.colours for mask in masks) or _by_palette(masks):
        return False
    pairs = {pair for mask in masks for pair in zip(mask.values, mask.coded(True), strict=True)}
    inside = [(number, colour) for number, colour in pairs if 0 <= number < len(table)]
    known = [(number, colour) for number, colour in pairs if colour in table]
    strange = any(colour not in table for _, colour in inside)
    return strange and all(0 <= n < len(table) and table[n] == colour for n, colour in known)


def _are_coloured(masks: Sequence[MaskFacts], count: int) -> bool:
    """Whether masks hold colours, in spite of classes that have none.

    A few files in colours among masks with numbers do not make a data set of colours.
    """
    few = len(_numbers(masks).intersection(range(count))) < 2
    return few and any(mask.colours for mask in masks)


def _white(held: Iterable[int], colours: bool) -> int | None:
    """The other value of masks that hold 0 and one more that means yes; else None."""
    others = sorted(held)
    whites = (255 * GREY,) if colours else _WHITES
    return others[1] if len(others) == 2 and others[0] == 0 and others[1] in whites else None


def _has_border(held: Iterable[int], limit: int) -> bool:
    """Whether 255 occurs beside numbers below a limit only."""
    others = set(held)
    return _BORDER in others and len(others) > 1 and max(others - {_BORDER}) < limit


def _border_note() -> str:
    return f"{_BORDER} is ignored: beside small numbers it marks borders, which are no class"


def _void(names: Sequence[str], ignore_index: int | None) -> tuple[list[int], list[str]]:
    """Positions of lines that are no classes, and a note about those that only their name tells."""
    named = [at for at, name in enumerate(names) if name.casefold() in _VOID_NAMES]
    notes = [
        f"pixels of {names[at]!r} are ignored, because of the name: rename it to make it a class"
        for at in named
        if at != ignore_index
    ]
    given = [at for at in range(len(names)) if at == ignore_index]
    return sorted({*named, *given}), notes


def _exact(masks: Sequence[MaskFacts]) -> Sequence[MaskFacts]:
    """The masks whose values are as they were drawn, if there are any."""
    return [mask for mask in masks if not mask.jpeg] or masks


def _check_unnamed(masks: Sequence[MaskFacts], held: set[int], colours: bool) -> None:
    """Refuses values that nobody drew as classes."""
    kind = "colours" if colours else "values"
    how = "one line 'R G B name' for each class" if colours else "one name a line, from value 0 on"
    name_them = f"name the classes in classes.txt, {how}"
    if all(mask.jpeg for mask in masks):
        raise DataError(
            f"the masks are JPEG files with {len(held)} {kind}, and JPEG compression adds some "
            f"that mean nothing: save masks as PNG, or {name_them}"
        )
    if len(held) > MAX_UNNAMED_COLOURS:
        raise DataError(
            f"the masks hold {len(held)} {kind} ({_listed(held, colours)}), more than the "
            f"{MAX_UNNAMED_COLOURS} that are taken for classes without names: if they are "
            "photographs or were compressed as JPEG, save masks as PNG; if they are classes, "
            f"{name_them}"
        )


def _check_count(masks: Sequence[MaskFacts], chosen: Chosen) -> None:
    names, coding, _ = chosen
    held = _listed(_colours(masks) if coding.colours else _numbers(masks), coding.colours)
    if len(names) > MAX_CLASSES:
        raise DataError(
            f"there are {len(names)} classes, at most {MAX_CLASSES} are possible: give several of "
            "them one value in the masks"
        )
    if len(names) < 2:
        ignored = _listed(coding.ignored, coding.colours)
        raise DataError(
            f"at least two classes are needed, got {', '.join(names) or 'none'}: the masks hold "
            f"{held or 'no numbers'}, ignored is {ignored or 'nothing'}; the background is a "
            "class too, and classes.txt needs a line for it"
        )


def _advice_for_colours(
    masks: Sequence[MaskFacts], names: Sequence[str], held: Iterable[int]
) -> str:
    count = sum(mask.colours or bool(mask.palette) for mask in masks)
    blurred = all(mask.jpeg for mask in masks)
    return (
        f"{count} of the {len(masks)} masks hold colours ({_listed(held, True)}), and the "
        f"{len(names)} classes have none: write one line 'R G B name' for each class into "
        f"classes.txt, such as '128 64 128 {names[0]}'"
        + (", and save masks as PNG: JPEG compression changes colours" if blurred else "")
    )


def _listed(values: Iterable[int], colours: bool) -> str:
    """Values in words; empty for none."""
    found = sorted(values)
    return shown(found, colours) if found else ""
