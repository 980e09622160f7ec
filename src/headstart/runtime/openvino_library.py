"""The one door to OpenVINO: it is imported here, without its telemetry."""

from __future__ import annotations

import importlib
import sys
from typing import Any

from headstart.errors import needing_extra

EXTRA = "openvino"

TELEMETRY = "openvino_telemetry"


def load_openvino(what: str) -> Any:
    """The module ``openvino``.

    ``import openvino`` alone makes an identity in the home folder and sends an event over the
    network. Where the module that does so cannot be imported, OpenVINO and NNCF go on without.

    Args:
        what: needs it; begins the error's sentence.

    Raises:
        MissingExtraError: it is not installed.
    """
    # What a program has imported itself before is its own affair.
    sys.modules.setdefault(TELEMETRY, None)  # type: ignore[arg-type]
    with needing_extra(what, EXTRA):
        return importlib.import_module("openvino")
