"""What the checks look at: pictures, what is said about them, and what is computed once for all."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from headstart.audit.survey import Picture, by_fingerprint, readable
from headstart.errors import needing_extra
from headstart.progress import Progress
from headstart.tasks.inspection import Issue, Labelled
from headstart.types import Omission

if TYPE_CHECKING:
    from headstart.audit.near import Copy
    from headstart.data.image_cache import ImageCache


@dataclasses.dataclass(frozen=True)
class Material:
    """A data set under audit.

    Attributes:
        root: folder that the pictures' names are relative to.
        pictures: every file.
        labelled: annotations of the pictures that can be read; empty where the data cannot be
            parsed.
        omissions: what the reader and the task left out, and why.
        task: name of the task; None where the data cannot be parsed.
        schema: the task's description of its targets.
        images: the decoded pictures; None without the extra ``train``.
        progress: shows bars.
    """

    root: Path
    pictures: tuple[Picture, ...]
    labelled: tuple[Labelled, ...]
    omissions: tuple[Omission, ...]
    task: str | None
    schema: Any
    images: ImageCache | None
    progress: Progress

    @functools.cached_property
    def readable(self) -> tuple[Picture, ...]:
        """Pictures that can be decoded."""
        return tuple(readable(self.pictures))

    @functools.cached_property
    def by_image(self) -> dict[str, list[Labelled]]:
        """Annotations by picture."""
        found: dict[str, list[Labelled]] = {}
        for item in self.labelled:
            found.setdefault(item.image, []).append(item)
        return found

    @functools.cached_property
    def equal_files(self) -> list[list[str]]:
        """Names of pictures whose files are equal."""
        groups = by_fingerprint(self.readable).values()
        return [[picture.image for picture in group] for group in groups if len(group) > 1]

    @functools.cached_property
    def distinct(self) -> tuple[Picture, ...]:
        """One readable picture for each content."""
        return tuple(group[0] for group in by_fingerprint(self.readable).values())

    @functools.cached_property
    def features(self) -> npt.NDArray[np.float32]:
        """Pooled features of ``distinct``: (n, channels).

        Raises:
            MissingExtraError: the extra ``train`` is not installed.
        """
        with needing_extra("Comparing pictures", "train"):
            from headstart.audit.features import picture_cache, pooled_features
        return pooled_features(self.distinct, self.images or picture_cache(), self.progress)

    @functools.cached_property
    def copies(self) -> list[Copy]:
        """Pairs of ``distinct`` that show the same.

        Raises:
            MissingExtraError: the extra ``train`` is not installed.
        """
        if len(self.distinct) < 2:
            return []
        with needing_extra("Looking for near-duplicates", "train"):
            from headstart.audit.near import find_copies
        thumbnails = [p.looks.thumbnail for p in self.distinct if p.looks is not None]
        return find_copies(np.array(thumbnails), self.features)

    def sides(self, images: Sequence[str]) -> list[str]:
        """The sides of the split that pictures are on, as the layout assigns them."""
        found = {
            item.split for image in images for item in self.by_image.get(image, ()) if item.split
        }
        return sorted(found)


class Check(Protocol):
    """Looks for one kind of thing.

    A check that needs more than is installed raises ``MissingExtraError`` after what it can say
    without.
    """

    name: str
    title: str
    """What it looks for, as a heading."""

    def run(self, material: Material) -> Iterator[Issue]:
        """What it found, the worst first."""
