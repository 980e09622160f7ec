"""Head poses of the Kinect set of ETH Zurich: the centre of the head as one point."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headstart.config import DatasetOptions
from headstart.data.poses import POINTS, points_text
from headstart.errors import DataError
from headstart.types import Annotation, DataListing, Omission, Skeleton

CALIBRATION = "rgb.cal"
POSE = re.compile(r"(?P<frame>.+)_pose\.txt")


class HeadPose:
    """``01/frame_00003_rgb.png`` with ``frame_00003_pose.txt``, and ``rgb.cal`` for each person.

    The pose file has a rotation (3 x 3) and the centre of the head in millimetres from the depth
    camera. The colour camera's calibration brings it into the picture: pixel = K (R x + t), divided
    by its third coordinate (G. Fanelli et al., IJCV 2013). Lens distortion is left out, as in the
    systems that report on this set.
    """

    name = "biwi-head-pose"
    priority = 41
    layout = "head poses of the Kinect: 01/frame_00003_rgb.png, frame_00003_pose.txt and rgb.cal"

    def claims(self, data: Path) -> bool:
        """Folders with ``rgb.cal`` and pose files."""
        if not data.is_dir():
            return False
        return any(
            next(file.parent.glob("*_pose.txt"), None) is not None
            for file in data.glob(f"*/{CALIBRATION}")
        )

    def read(self, data: Path, options: DatasetOptions) -> DataListing:
        """Lists every frame with the field ``points``: the centre of the head."""
        annotations: list[Annotation] = []
        omissions: list[Omission] = []
        for calibration in sorted(data.glob(f"*/{CALIBRATION}")):
            person = calibration.parent
            intrinsics, rotation, translation = _calibration(calibration)
            for file in sorted(person.glob("*_pose.txt")):
                match = POSE.fullmatch(file.name)
                picture = _picture(person, match["frame"] if match else "")
                image = (picture or file).relative_to(data).as_posix()
                if picture is None:
                    omissions.append(Omission(image, "no picture belongs to this pose"))
                    continue
                try:
                    centre = _numbers(file, 12)[9:]
                    x, y = project(centre, intrinsics, rotation, translation)
                except DataError as error:
                    omissions.append(Omission(image, str(error)))
                    continue
                fields = {POINTS: points_text([(x, y, 2)])}
                annotations.append(Annotation(picture, image, fields, None, person.name))
            posed = {a.path for a in annotations}
            omissions += [
                Omission(path.relative_to(data).as_posix(), "it has no pose file")
                for path in sorted(person.glob("*_rgb.*"))
                if path not in posed and not path.with_name(_pose_name(path)).is_file()
            ]
        if not annotations:
            raise DataError(f"{data} holds no frame with a pose")
        skeleton = Skeleton(("head_centre",))
        return DataListing(data, self.name, tuple(annotations), tuple(omissions), (), (), skeleton)


def project(
    point: npt.NDArray[np.float64],
    intrinsics: npt.NDArray[np.float64],
    rotation: npt.NDArray[np.float64],
    translation: npt.NDArray[np.float64],
) -> tuple[float, float]:
    """Where a point in space appears in the picture, as (x, y) in pixels.

    Args:
        point: (3,), in millimetres.
        intrinsics: (3, 3) of the camera.
        rotation: (3, 3) from the point's coordinates to the camera's.
        translation: (3,), in millimetres.

    Raises:
        DataError: the point lies behind the camera.
    """
    seen = intrinsics @ (rotation @ point + translation)
    if not np.isfinite(seen).all() or seen[2] <= 0:
        raise DataError(f"its head lies behind the camera ({point.tolist()})")
    return float(seen[0] / seen[2]), float(seen[1] / seen[2])


def _calibration(
    file: Path,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Intrinsics (9 numbers), 4 of distortion, rotation (9), translation (3), then the size."""
    numbers = _numbers(file, 25)
    return numbers[:9].reshape(3, 3), numbers[13:22].reshape(3, 3), numbers[22:25]


def _numbers(file: Path, count: int) -> npt.NDArray[np.float64]:
    try:
        numbers = np.array([float(text) for text in file.read_text(encoding="utf-8").split()])
    except (OSError, ValueError) as error:
        raise DataError(f"{file.name} cannot be read: {error}") from error
    if len(numbers) < count or not np.isfinite(numbers[:count]).all():
        raise DataError(f"{file.name} must hold {count} finite numbers, got {len(numbers)}")
    return numbers


def _picture(folder: Path, frame: str) -> Path | None:
    found = [path for path in sorted(folder.glob(f"{frame}_rgb.*")) if frame]
    return found[0] if found else None


def _pose_name(picture: Path) -> str:
    return f"{picture.stem.removesuffix('_rgb')}_pose.txt"


READER = HeadPose()
