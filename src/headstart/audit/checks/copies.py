"""Checks of copies: equal files, pictures that show the same, and what follows from them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from headstart import tasks
from headstart.audit.material import Check, Material
from headstart.tasks.inspection import Issue, Severity

ORDER = 1

SHOWN = 3

MANY_SETS = 20
"""Sets of near-duplicates from which on they may be frames of videos."""

WITHIN = 0.8
"""Share of the sets whose names must begin alike."""

FRAMES = 2.5
"""Pictures with a near-duplicate that each beginning must have on average."""

COMMON = 0.1
"""Share of the pictures with a near-duplicate from which on it may be the way they are taken."""


class ExactDuplicate:
    """Equal files."""

    name = "exact-duplicate"
    title = "Equal files"

    def run(self, material: Material) -> Iterator[Issue]:
        """One issue for each set of equal files."""
        for images in material.equal_files:
            yield Issue(self.name, "warning", tuple(images), f"{len(images)} files are equal")


class NearDuplicate:
    """Pictures that show the same: resized, recompressed, cropped, brightened, grey, mirrored."""

    name = "near-duplicate"
    title = "Pictures that show the same"

    def run(self, material: Material) -> Iterator[Issue]:
        """One issue for each set of pictures."""
        sets = near_sets(material)
        yield from self._series(material, [images for images, _ in sets])
        for images, mirrored in sets:
            text = f"{len(images)} pictures show the same" + ", mirrored" * mirrored
            yield Issue(self.name, "warning", tuple(images), text)

    def _series(self, material: Material, sets: Sequence[Sequence[str]]) -> Iterator[Issue]:
        """Advice where there are many: frames of videos, bursts, or parts of one make."""
        if len(sets) < MANY_SETS or _has_groups(material):
            return
        starts = [{_start(image) for image in images} for images in sets]
        together = [names for names in starts if len(names) == 1]
        beginnings = set().union(*together)
        pictures = sum(map(len, sets))
        many = len(together) >= WITHIN * len(sets)
        if many and len(beginnings) * FRAMES <= pictures:
            text = (
                f"{len(together)} of {len(sets)} sets lie within {len(beginnings)} beginnings of "
                f"names, such as {min(beginnings)}: are they frames of one video or person? "
                "--group name:REGEX (or folder:N) keeps what belongs together on one side"
            )
            yield Issue(self.name, "warning", (), text)
        elif pictures >= COMMON * len(material.distinct):
            text = (
                f"{pictures} of {len(material.distinct)} pictures look like another one: look at "
                "some sets. Parts of one make, photographed in one way, are no copies although "
                "they look alike; frames of one film belong into one group (--group)"
            )
            yield Issue(self.name, "warning", (), text)


class SplitLeak:
    """Copies and groups that lie on several sides of the split: scores look better than they are.

    Looks at the sides that the layout assigns. Where it assigns none, ``train`` keeps equal files
    and groups together.
    """

    name = "split-leak"
    title = "Leaks between sides of the split"

    def run(self, material: Material) -> Iterator[Issue]:
        """One issue for each group, and for each set of copies."""
        yield from self._of_groups(material)
        for images in material.equal_files:
            yield from self._leak(material, images, "equal files lie")
        for images, _ in near_sets(material):
            yield from self._leak(material, images, "pictures that show the same lie")

    def _of_groups(self, material: Material) -> Iterator[Issue]:
        members: dict[str, list[str]] = {}
        for item in material.labelled:
            if item.group is not None:
                members.setdefault(item.group, []).append(item.image)
        for group, images in members.items():
            yield from self._leak(material, images, f"pictures of the group {group} lie")

    def _leak(self, material: Material, images: Sequence[str], what: str) -> Iterator[Issue]:
        sides = material.sides(images)
        if len(sides) > 1:
            yield Issue(self.name, "error", tuple(images), f"{what} in {' and '.join(sides)}")


class GroupLeak:
    """Copies in several groups: the groups do not keep together what belongs together."""

    name = "group-leak"
    title = "The same picture in several groups"

    def run(self, material: Material) -> Iterator[Issue]:
        """One issue for each set of copies."""
        near = (images for images, _ in near_sets(material)) if _has_groups(material) else ()
        for images in itertools.chain(material.equal_files, near):
            groups = {
                item.group for image in images for item in material.by_image.get(image, ())
            } - {None}
            if len(groups) > 1:
                named = ", ".join(sorted(map(str, groups))[:SHOWN])
                text = f"pictures that show the same are in {len(groups)} groups: {named}"
                yield Issue(self.name, "warning", tuple(images), text)


class LabelConflict:
    """Copies with targets that cannot all be right."""

    name = "label-conflict"
    title = "Copies with different labels"

    def run(self, material: Material) -> Iterator[Issue]:
        """One issue for each set of copies; equal files first."""
        for images in material.equal_files:
            yield from self._conflict(material, images, "error", "equal files")
        for images, _ in near_sets(material):
            yield from self._conflict(material, images, "warning", "pictures that show the same")

    def _conflict(
        self, material: Material, images: Sequence[str], severity: Severity, what: str
    ) -> Iterator[Issue]:
        if material.task is None:
            return
        spec = tasks.spec(material.task)
        # A picture with several annotations has several targets by itself.
        single = [
            found[0] for image in images if len(found := material.by_image.get(image, [])) == 1
        ]
        if any(
            spec.contradicts(material.schema, one.target, other.target)
            for one, other in itertools.pairwise(single)
        ):
            said = ", ".join(
                f"{item.image} is {spec.target_to_json(material.schema, item.target)}"
                for item in single[:SHOWN]
            )
            yield Issue(self.name, severity, tuple(images), f"{what} have different labels: {said}")


def near_sets(material: Material) -> list[tuple[list[str], bool]]:
    """Names of pictures that show the same, and whether some are mirrored.

    Raises:
        MissingExtraError: the extra ``train`` is not installed.
    """
    copies = material.copies
    if not copies:
        return []
    from headstart.audit.near import clusters

    mirrored = {at for copy in copies if copy.mirrored for at in (copy.first, copy.second)}
    names = [picture.image for picture in material.distinct]
    return [
        ([names[at] for at in members], not mirrored.isdisjoint(members))
        for members in clusters(len(names), copies)
    ]


def _start(image: str) -> str:
    """A picture's path up to its last number."""
    stem = image.rpartition(".")[0] or image
    return re.sub(r"[\W_]*\d+\D*$", "", stem)


def _has_groups(material: Material) -> bool:
    return any(item.group is not None for item in material.labelled)


CHECKS: tuple[Check, ...] = (
    ExactDuplicate(),
    NearDuplicate(),
    SplitLeak(),
    GroupLeak(),
    LabelConflict(),
)
