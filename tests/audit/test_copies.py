"""What is said where many pictures look like another one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from headstart.audit.checks.copies import MANY_SETS, NearDuplicate
from headstart.audit.material import Material
from headstart.audit.near import Copy
from headstart.audit.survey import Looks, Picture
from headstart.progress import QuietProgress
from headstart.tasks.inspection import Labelled
from headstart.types import Frame

LOOKS = Looks(0.5, 0.1, 0.9, 1.0, np.zeros((64, 64), np.uint8))


def advice(names: Sequence[str], pairs: int, group: str | None = None) -> list[str]:
    """What is said beside the sets, where each of the first pairs of pictures is a set."""
    pictures = tuple(
        Picture(Path(name), name, f"{at:032x}", looks=LOOKS) for at, name in enumerate(names)
    )
    labelled = (Labelled("x", None, Frame((64, 64)), None, group),) if group else ()
    material = Material(Path(), pictures, labelled, (), None, None, None, QuietProgress())
    copies = [Copy(2 * at, 2 * at + 1, 0.9, mirrored=False) for at in range(pairs)]
    vars(material)["copies"] = copies
    issues = list(NearDuplicate().run(material))
    sets = [issue for issue in issues if issue.images]
    assert [issue.images for issue in sets] == [
        (names[2 * at], names[2 * at + 1]) for at in range(pairs)
    ]
    return [issue.message for issue in issues if not issue.images]


def frames(videos: int, each: int) -> list[str]:
    return [f"video{video}_{at:03}.jpg" for video in range(videos) for at in range(each)]


def strangers(count: int) -> list[str]:
    """Names that share no beginning."""
    return [f"{chr(97 + at % 26)}{chr(97 + at // 26)}.jpg" for at in range(count)]


def test_frames_of_a_few_videos_are_advised_to_be_groups() -> None:
    (said,) = advice(frames(4, 20), 40)
    assert "40 of 40 sets lie within 4 beginnings of names, such as video0: are they frames" in said
    assert "--group name:REGEX" in said


def test_where_names_tell_nothing_the_way_of_photographing_is_named() -> None:
    (said,) = advice(strangers(200), MANY_SETS)
    assert "40 of 200 pictures look like another one" in said
    assert "Parts of one make" in said


@pytest.mark.parametrize(
    ("names", "pairs", "group"),
    [
        pytest.param(strangers(500), MANY_SETS, None, id="rare"),
        pytest.param(strangers(60), MANY_SETS - 1, None, id="few"),
        pytest.param(frames(4, 20), 40, "a", id="groups are given"),
    ],
)
def test_otherwise_the_sets_speak_for_themselves(
    names: list[str], pairs: int, group: str | None
) -> None:
    assert advice(names, pairs, group) == []
