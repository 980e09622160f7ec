"""Writes headstart's starting weights as safetensors with timm's keys, for every peer.

Usage: python benchmarks/runner/convert_weights.py FILE   (prints what the peers must find)
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "peers"))

import protocol
import timm
import torch
from safetensors.torch import save_file

from headstart.models.backbones import backbone_info, load_backbone, rename_lite_key
from headstart.models.weights import load_package

NAME = "efficientnet_lite0"


def main() -> None:
    """Writes the file, whole or not at all."""
    path = Path(sys.argv[1])
    info = backbone_info(NAME)
    network = timm.create_model(info.timm_name, pretrained=False)
    load_package(network, str(info.package), rename_lite_key)
    state = {key: value.contiguous() for key, value in network.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    save_file(state, part)
    part.replace(path)
    with torch.inference_mode():
        maps = load_backbone(NAME)(torch.from_numpy(protocol.checked_picture()))
    protocol.say_weights(maps.mean(dim=(2, 3))[0])


if __name__ == "__main__":
    main()
