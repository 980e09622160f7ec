"""Where torch computes: the processor, or an accelerator that it knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch

from headstart.config import DeviceName
from headstart.errors import ConfigError

SEEN: Mapping[str, Callable[[], bool]] = {
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
}
"""Accelerators, and whether torch sees one."""


def check_device(name: str) -> None:
    """Looks whether the device is there.

    Raises:
        ConfigError: torch sees none of this kind.
    """
    if name in SEEN and not SEEN[name]():
        problem = (
            f"--device {name}: torch {torch.__version__} sees none here; leave it out to train on "
            "the processor, or install a build of torch for it"
        )
        raise ConfigError([problem])


def has_bfloat16(device: DeviceName = "cpu") -> bool:
    """Whether the device computes in bfloat16 itself."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device == "mps":
        return False
    found = torch.cpu.get_capabilities()
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))
