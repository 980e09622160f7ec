"""headstart: from a folder of pictures to a tested model.

The verbs of the command line are functions here: ``train``, ``lr_find``, ``predict``,
``evaluate``, ``export``, ``collect``, ``split``, ``show``, ``augment``, ``check``, ``cache``. They
are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.jobs import (
        augment,
        cache,
        check,
        collect,
        convert,
        evaluate,
        export,
        load_model,
        lr_find,
        predict,
        show,
        split,
        train,
    )

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "augment",
    "cache",
    "check",
    "collect",
    "convert",
    "evaluate",
    "export",
    "load_model",
    "lr_find",
    "predict",
    "show",
    "split",
    "train",
]
_JOBS = frozenset(__all__) - {"__version__"}


def __getattr__(name: str) -> Any:
    if name in _JOBS:
        return getattr(importlib.import_module("headstart.jobs"), name)
    raise AttributeError(f"module 'headstart' has no attribute {name!r}")
