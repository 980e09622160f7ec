"""Pooled features of the default backbone, from the store that training uses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from headstart.audit.survey import Picture
from headstart.config import TrainConfig
from headstart.data.augment import Augmentation
from headstart.data.image_cache import ImageCache
from headstart.models.backbones import load_backbone
from headstart.models.heads import PoolLast
from headstart.models.network import Prefix
from headstart.progress import Progress
from headstart.runtime.preprocess import Preprocess
from headstart.storage import cache_dir
from headstart.training import engines
from headstart.training.features import StoredViews
from headstart.training.views import PLAIN, View, ViewMaker
from headstart.types import Record, Size

SIZE: Size = (224, 224)
"""(height, width) in pixels that the backbone sees."""


def picture_cache() -> ImageCache:
    """The decoded pictures that the features are computed from."""
    return ImageCache(cache_dir(), SIZE)


def pooled_features(
    pictures: Sequence[Picture], images: ImageCache, progress: Progress
) -> npt.NDArray[np.float32]:
    """Features (n, channels) of pictures that can be decoded.

    Args:
        pictures: that ``images`` holds.
        images: the decoded pictures.
        progress: shows a bar when some are not stored yet.
    """
    backbone = load_backbone(str(TrainConfig.model_fields["backbone"].default))
    last = len(backbone.outputs) - 1
    prefix = Prefix(backbone, last + 1, (last,), PoolLast()).eval()
    # Nothing is cut off: what is odd may lie at the border.
    maker = ViewMaker(Preprocess(SIZE, "squash"), 0, Augmentation("none", "none"))
    engine = engines.default_engine(len(pictures) * SIZE[0] * SIZE[1])
    views = StoredViews(cache_dir(), prefix, maker, engine)
    wanted: list[View] = [
        (Record(p.path, p.image, p.fingerprint, p.pixels, None, size=p.frame.size), PLAIN)
        for p in pictures
    ]
    views.compute(wanted, images, progress)
    return np.stack([views.get(view)[0].float().numpy() for view in wanted])
