"""The Biwi Kinect head pose database: one head a picture, its centre given in space."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headstart.config import DatasetOptions
from headstart.data.poses import POINTS, nothing_left, points_text
from headstart.errors import DataError
from headstart.runtime.images import is_image_path, iter_images
from headstart.tasks.protocol import NO_OPTIONS
from headstart.types import Annotation, DataListing, Omission, Skeleton

CALIBRATION = "rgb.cal"
PICTURE = "_rgb"
POSE = "_pose"

SKELETON = Skeleton(("head_centre",))

SEEN_TWICE: Mapping[str, str] = {"15": "03", "18": "05", "21": "02", "22": "07"}
"""Recordings of a person who is in an earlier one: 24 recordings show 20 people.

From the loader of the database in huggingface/datasets (``_sequence_to_subject_map``).
"""

RECORDINGS = frozenset(f"{number:02}" for number in range(1, 25))


@dataclasses.dataclass(frozen=True)
class _Camera:
    """The colour camera.

    Attributes:
        matrix: (3, 3), from millimetres in front of it to pixels.
        rotation: (3, 3), from the depth camera's axes to its own.
        translation: (3,) in millimetres.
        distorted: whether the file gives a lens distortion.
    """

    matrix: npt.NDArray[np.float64]
    rotation: npt.NDArray[np.float64]
    translation: npt.NDArray[np.float64]
    distorted: bool

    def project(self, place: npt.NDArray[np.float64]) -> tuple[float, float]:
        """Where a place (3,) of the depth camera, in millimetres, is in the picture: (x, y).

        Raises:
            DataError: it lies behind the camera.
        """
        x, y, z = self.matrix @ (self.rotation @ place + self.translation)
        if z <= 0:
            raise DataError("the head lies behind the camera")
        return float(x / z), float(y / z)


class HeadPose:
    """Folders ``01`` to ``24`` with ``rgb.cal``, ``frame_00003_rgb.png``, ``frame_00003_pose.txt``.

    A pose is a rotation (3, 3) and the centre of the head in millimetres before the depth camera,
    whose own calibration is the identity; ``rgb.cal`` holds the colour camera's matrix, four
    numbers of distortion, its rotation and translation, and the size of the picture. The centre is
    projected as OpenCV does: (0, 0) is the centre of the top-left pixel. The course of fast.ai
    leaves out rotation and translation, which moves points by about a dozen pixels.
    """

    name = "biwi-head-pose"
    priority = 41
    layout = "Biwi head pose: 01/rgb.cal, 01/frame_00003_rgb.png and 01/frame_00003_pose.txt"

    def claims(self, data: Path, options: DatasetOptions = NO_OPTIONS) -> bool:
        """Some folder has a calibration and a pose, by their names."""
        return any(_has_pose(folder) for folder in _recordings(data))

    def read(self, data: Path, options: DatasetOptions) -> DataListing:
        """Lists every picture with the field ``points``; the person is its group."""
        annotations: list[Annotation] = []
        omissions: list[Omission] = []
        notes: list[str] = []
        recordings = _recordings(data)
        people = {folder: _person(folder, recordings) for folder in recordings}
        for folder in recordings:
            camera = _camera(folder / CALIBRATION)
            if camera.distorted:
                shown = (folder / CALIBRATION).relative_to(data).as_posix()
                notes.append(f"the lens distortion in {shown} is not applied")
            pictures, poses = _frames(folder)
            for frame in sorted({*pictures, *poses}):
                path, pose = pictures.get(frame), poses.get(frame)
                known = path or pose or folder
                image = known.relative_to(data).as_posix()
                if path is None or pose is None:
                    reason = f"it has no {frame}{POSE}.txt" if path else "it has no picture"
                    omissions.append(Omission(image, reason))
                    continue
                try:
                    x, y = camera.project(_centre(pose))
                except DataError as error:
                    omissions.append(Omission(image, str(error)))
                    continue
                fields = {POINTS: points_text([(x, y, 2)])}
                annotations.append(Annotation(path, image, fields, None, people[folder]))
        if not annotations:
            raise nothing_left(data, omissions, notes)
        omissions.extend(_others(data, recordings))
        twice = sorted(f"{f.name} and {p}" for f, p in people.items() if f.name != p)
        if twice:
            notes.append(f"recordings of one person stay on one side: {', '.join(twice)}")
        return DataListing(
            data, self.name, tuple(annotations), tuple(omissions), tuple(notes), skeleton=SKELETON
        )


def _recordings(data: Path) -> list[Path]:
    """Folders with a calibration, here or one level below as some archives unpack."""
    if not data.is_dir():
        return []
    for pattern in (f"*/{CALIBRATION}", f"*/*/{CALIBRATION}"):
        found = sorted(file.parent for file in data.glob(pattern))
        if found:
            return found
    return []


def _has_pose(folder: Path) -> bool:
    return any(path.stem.endswith(POSE) and path.suffix == ".txt" for path in folder.iterdir())


def _person(folder: Path, recordings: Sequence[Path]) -> str:
    """The first recording of a person, when these are the recordings of the database."""
    original = {recording.name for recording in recordings} <= RECORDINGS
    return SEEN_TWICE.get(folder.name, folder.name) if original else folder.name


def _frames(folder: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Pictures and poses by the name of the frame."""
    pictures, poses = {}, {}
    for path in sorted(folder.iterdir()):
        if path.stem.endswith(PICTURE) and is_image_path(path):
            pictures[path.stem.removesuffix(PICTURE)] = path
        elif path.stem.endswith(POSE) and path.suffix == ".txt":
            poses[path.stem.removesuffix(POSE)] = path
    return pictures, poses


def _others(data: Path, recordings: Sequence[Path]) -> Iterator[Omission]:
    """Pictures that are no frame of a recording."""
    for path in iter_images(data):
        image = path.relative_to(data).as_posix()
        if not path.stem.endswith(PICTURE):
            yield Omission(image, f"its name does not end in {PICTURE}")
        elif path.parent not in recordings:
            yield Omission(image, f"its folder has no {CALIBRATION}")


def _camera(file: Path) -> _Camera:
    """Reads a calibration.

    Raises:
        DataError: it does not hold the numbers of one.
    """
    numbers = np.array(list(_numbers(file)))
    # Matrix, distortion, rotation, translation and, not in every copy, width and height.
    if len(numbers) not in (25, 27) or not np.isfinite(numbers).all():
        raise DataError(
            f"{file} must hold the 25 or 27 finite numbers of a camera, got {len(numbers)}: "
            "copy it from the archive again"
        )
    matrix, rotation = numbers[:9].reshape(3, 3), numbers[13:22].reshape(3, 3)
    return _Camera(matrix, rotation, numbers[22:25], bool(numbers[9:13].any()))


def _centre(file: Path) -> npt.NDArray[np.float64]:
    """The place of the head (3,) in millimetres.

    Raises:
        DataError: the file does not hold a rotation and a place.
    """
    numbers = np.array(list(_numbers(file)))
    if len(numbers) != 12 or not np.isfinite(numbers).all():
        raise DataError(f"{file.name} must hold 12 finite numbers, got {len(numbers)}")
    return numbers[9:]


def _numbers(file: Path) -> Iterator[float]:
    try:
        words = file.read_text(encoding="utf-8").split()
        yield from map(float, words)
    except (OSError, ValueError) as error:
        raise DataError(f"{file} is no readable text of numbers: {error}") from error


READER = HeadPose()
