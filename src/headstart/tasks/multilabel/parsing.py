"""Reads label sets: names in one text, or one column of zeros and ones for each class."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from headstart.errors import DataError
from headstart.tasks.fields import field_names
from headstart.tasks.protocol import ParsedTargets
from headstart.types import Annotation, Omission

FIELD = "labels"

PRESENT, ABSENT, UNKNOWN = 1, 0, -1

UNKNOWN_MARK = "?"
"""Before a name: whether the picture has this label is not known."""

SEPARATORS = ("|", ";", ",", " ")
"""In the order in which they are looked for: names hold the later ones more often."""

# -1 is how CheXpert (J. Irvin et al., AAAI 2019) writes "uncertain"; pandas writes whole numbers of
# a column with gaps as 1.0 and gaps as nan.
FLAGS: Mapping[str, int] = {
    **dict.fromkeys(("1", "1.0", "true", "yes"), PRESENT),
    **dict.fromkeys(("0", "0.0", "false", "no"), ABSENT),
    **dict.fromkeys(("", "?", "nan", "-1", "-1.0"), UNKNOWN),
}


@dataclasses.dataclass(frozen=True)
class LabelSchema:
    """The classes, in the order of the graph's ``probabilities`` and of the targets."""

    classes: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Statement:
    """What is said about one picture.

    Attributes:
        values: PRESENT, ABSENT or UNKNOWN by label.
        text: how it was written.
        problem: why it cannot be used, None when it can.
    """

    values: Mapping[str, int]
    text: str
    problem: str | None = None

    def objection(self, known: Sequence[str]) -> str | None:
        """Why a picture with this statement is left out where only some classes are known."""
        if self.problem:
            return self.problem
        foreign = [n for n, value in self.values.items() if value == PRESENT and n not in known]
        if not foreign:
            return None
        names = ", ".join(repr(name) for name in foreign)
        what = f"its label {names} is" if len(foreign) == 1 else f"its labels {names} are"
        whole = f" (of {self.text!r})" if foreign != [self.text] else ""
        return f"{what} not among the classes{whole}"


@dataclasses.dataclass(frozen=True)
class _Reading:
    """What is said about all pictures.

    Attributes:
        statements: one for each annotation.
        unsaid: what holds for a class that a statement does not mention.
        notes: sentences that the person should read.
    """

    statements: Sequence[_Statement]
    unsaid: int
    notes: tuple[str, ...] = ()


def flag(text: str) -> int | None:
    """PRESENT, ABSENT or UNKNOWN for the text of a column of zeros and ones, None for others."""
    return FLAGS.get(text.strip().lower())


def parse_labels(
    annotations: Sequence[Annotation],
    *,
    schema: LabelSchema | None,
    classes: Sequence[str],
    separator: str | None,
) -> ParsedTargets:
    """Targets are tuples with PRESENT, ABSENT or UNKNOWN for each class.

    Args:
        annotations: of one data set.
        schema: of a trained model, whose classes are kept; None makes one.
        classes: the order of classes that the person asked for; empty for the alphabetical one.
        separator: of the names in a text; None detects it.

    Raises:
        DataError: nothing can be learned from these annotations.
    """
    known = schema.classes if schema else tuple(classes)
    reading = _read(annotations, known, separator)
    if not known:
        known = tuple(sorted({name for entry in reading.statements for name in entry.values}))
    check_names(known)
    objections = [entry.objection(known) for entry in reading.statements]
    used = [e for e, why in zip(reading.statements, objections, strict=True) if why is None]
    if not used:
        raise DataError(
            f"no picture has only labels among the classes {', '.join(known) or '(none)'}; "
            f"found {_examples(reading.statements)}"
        )
    notes = reading.notes
    if schema is None:
        known, dropped = _split_by_presence(known, used)
        notes += dropped
    targets: list[tuple[int, ...] | None] = []
    omissions = []
    for annotation, entry, objection in zip(
        annotations, reading.statements, objections, strict=True
    ):
        target = tuple(entry.values.get(name, reading.unsaid) for name in known)
        bare = "none of its labels is known" if set(target) == {UNKNOWN} else None
        reason = objection or bare
        targets.append(None if reason else target)
        if reason:
            omissions.append(Omission(annotation.image, reason))
    _check_targets([target for target in targets if target is not None], used, schema is None)
    return ParsedTargets(LabelSchema(known), tuple(targets), tuple(omissions), notes)


def check_names(classes: Sequence[str]) -> None:
    """Refuses classes that are the same or look the same.

    Raises:
        DataError: names two of them.
    """
    folded: dict[str, str] = {}
    for name in classes:
        other = folded.get(name.casefold())
        if other == name:
            raise DataError(f"the class {name!r} is listed twice: remove one of the entries")
        if other is not None:
            raise DataError(
                f"the classes {other!r} and {name!r} differ only in letter case: "
                "rename one of the labels"
            )
        folded[name.casefold()] = name


def detect_separator(texts: Iterable[str], known: Sequence[str] = ()) -> str | None:
    """The first of ``|``, ``;``, ``,`` and space that occurs; None when every text is one name.

    Args:
        texts: all of them.
        known: names of classes; what stands in one of them separates nothing.
    """
    occurring = {mark for text in texts for mark in SEPARATORS if mark in text.strip()}
    free = [mark for mark in SEPARATORS if not any(mark in name for name in known)]
    return next((mark for mark in free if mark in occurring), None)


def free_separator(classes: Sequence[str]) -> str:
    """The first separator that no name of a class holds.

    Raises:
        DataError: the names hold all of them.
    """
    free = [mark for mark in SEPARATORS if not any(mark in name for name in classes)]
    if not free:
        raise DataError(f"the names of classes hold all of {' '.join(SEPARATORS)!r}: rename some")
    return free[0]


def _read(
    annotations: Sequence[Annotation], known: Sequence[str], separator: str | None
) -> _Reading:
    names = field_names([annotation.fields for annotation in annotations])
    if FIELD in names:
        return _read_texts(annotations, FIELD, known, separator)
    if len(names) == 1 and names[0] not in known:
        return _read_texts(annotations, names[0], known, separator)
    return _read_columns(annotations, names, known)


def _read_texts(
    annotations: Sequence[Annotation], column: str, known: Sequence[str], separator: str | None
) -> _Reading:
    texts = [annotation.fields.get(column) for annotation in annotations]
    notes: tuple[str, ...] = ()
    if separator is None:
        separator = detect_separator([text for text in texts if text], known)
        if separator in (" ", ","):
            word = "spaces" if separator == " " else "commas"
            notes = (
                f"labels are separated by {word} (`separator` in dataset.yaml says otherwise)",
            )
    missing = _Statement({}, "", f"it has no field {column!r}")
    statements = [missing if t is None else _statement(t.strip(), separator) for t in texts]
    return _Reading(statements, ABSENT, notes)


def _statement(text: str, separator: str | None) -> _Statement:
    """Reads names; an empty text says that the picture has none of the labels."""
    parts = [text] if separator is None else text.split(None if separator == " " else separator)
    values: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in parts)):
        name = part.removeprefix(UNKNOWN_MARK).strip()
        value = UNKNOWN if part.startswith(UNKNOWN_MARK) else PRESENT
        if not name:
            return _Statement({}, text, f"a '?' stands without a name in {text!r}")
        if values.setdefault(name, value) != value:
            return _Statement({}, text, f"{name!r} is both present and unknown in {text!r}")
    return _Statement(values, text)


def _read_columns(
    annotations: Sequence[Annotation], names: Sequence[str], known: Sequence[str]
) -> _Reading:
    strange: dict[str, str] = {}
    for annotation in annotations:
        for name, text in annotation.fields.items():
            if flag(text) is None:
                strange.setdefault(name, text)
    columns = [name for name in names if name not in strange]
    needed = [name for name in (known or names) if name in strange]
    if needed or not (set(columns) & set(known) if known else len(columns) >= 2):
        shown = [f"{n} ({strange[n]!r})" if n in strange else n for n in (needed or names)[:5]]
        raise DataError(
            "a column of labels is needed: the only one beside image, split and group, or one "
            f"named {FIELD!r}, or at least two columns that hold 0 and 1 alone, named like the "
            f"classes; found {', '.join(shown) or 'none'}"
        )
    statements = []
    for annotation in annotations:
        texts = {name: annotation.fields.get(name, "").strip() for name in columns}
        written = ", ".join(f"{name}={text}" for name, text in texts.items() if text)
        statements.append(_Statement({n: FLAGS[t.lower()] for n, t in texts.items()}, written))
    notes: tuple[str, ...] = ()
    if strange:
        notes = (f"columns that are no classes are ignored: {', '.join(sorted(strange))}",)
    return _Reading(statements, UNKNOWN, notes)


def _split_by_presence(
    known: Sequence[str], used: Sequence[_Statement]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The classes that some picture has, and a note about the others."""
    present = {n for entry in used for n, value in entry.values.items() if value == PRESENT}
    kept = tuple(name for name in known if name in present)
    if not kept:
        raise DataError(f"no picture has a label; found {_examples(used)}")
    dropped = [repr(name) for name in known if name not in present]
    if not dropped:
        return kept, ()
    return kept, (f"left out because no picture has them: the classes {', '.join(dropped)}",)


def _check_targets(
    targets: Sequence[tuple[int, ...]], used: Sequence[_Statement], new: bool
) -> None:
    if not targets:
        raise DataError(f"of no picture a label is known; found {_examples(used)}")
    if new and not any({PRESENT, ABSENT} <= set(column) for column in zip(*targets, strict=True)):
        raise DataError(
            "no class has both a picture with it and a picture without it: there is nothing to "
            f"learn; found {_examples(used)}"
        )


def _examples(statements: Sequence[_Statement]) -> str:
    texts = list(dict.fromkeys(entry.text for entry in statements if entry.text))
    more = ", ..." if len(texts) > 3 else ""
    return ", ".join(repr(text) for text in texts[:3]) + more if texts else "only empty texts"
