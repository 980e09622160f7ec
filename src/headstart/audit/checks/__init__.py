"""The checks: modules with ``CHECKS``, found by listing this package."""

from __future__ import annotations

import importlib
import pkgutil

from headstart.audit.material import Check


def checks() -> tuple[Check, ...]:
    """All checks, those of files first."""
    modules = [
        importlib.import_module(f"{__name__}.{entry.name}")
        for entry in pkgutil.iter_modules(__path__)
    ]
    modules.sort(key=lambda module: int(module.ORDER))
    return tuple(check for module in modules for check in module.CHECKS)
