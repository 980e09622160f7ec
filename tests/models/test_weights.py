"""Weights from a file and from timm; nothing is fetched here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from headstart.errors import ConfigError
from headstart.models.backbones import load_backbone
from headstart.models.weights import state_key

NAME = "mobilenetv3_small_050"


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    torch.manual_seed(7)
    made: torch.nn.Module = timm.create_model(NAME, pretrained=False, num_classes=5)
    return made.eval()


def saved(network: torch.nn.Module, path: Path) -> Path:
    state = {name: value.clone() for name, value in network.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"epoch": 3, "state_dict": state}, path)
    return path


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
def test_a_file_with_a_classifier_of_another_size_is_taken(
    network: torch.nn.Module, tmp_path: Path, ending: str
) -> None:
    path = saved(network, tmp_path / f"mine{ending}")
    backbone = load_backbone(NAME, file=path)
    pictures = torch.zeros((1, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        expected = network.forward_features(backbone.normalise(pictures))
        torch.testing.assert_close(backbone(pictures), expected)
    assert backbone.info.source == f"the file {path.name}"
    assert backbone.weights_key not in ("random", load_backbone(NAME, pretrained=False).weights_key)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: No such file"),
        (b"rubbish", "holds no plain tensors"),
        ({"a": 1}, "holds no state dict of tensors"),
        ({"conv.weight": torch.zeros(1)}, "does not fit the backbone: of its tensors"),
    ],
    ids=["absent", "rubbish", "numbers", "foreign"],
)
def test_what_cannot_be_loaded_is_said(tmp_path: Path, content: Any, said: str) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ConfigError, match=said):
        load_backbone(NAME, file=path)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.folder,)


def test_nothing_is_unpickled_but_tensors(tmp_path: Path) -> None:
    path, folder = tmp_path / "weights.pth", tmp_path / "made"
    torch.save({"state_dict": Trap(str(folder))}, path)
    with pytest.raises(ConfigError, match=r"holds no plain tensors"):
        load_backbone(NAME, file=path)
    assert not folder.exists()


def test_without_a_network_the_error_says_what_can_be_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def offline(name: str, pretrained: bool = False, **options: Any) -> torch.nn.Module:
        if pretrained:
            raise OSError("no route to host")
        made: torch.nn.Module = original(name, pretrained=False, **options)
        return made

    original = timm.create_model
    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ConfigError) as caught:
        load_backbone(NAME)
    (problem,) = caught.value.problems
    assert problem.startswith(f"the pretrained weights of --backbone {NAME} cannot be had")
    assert "no route to host" in problem
    assert (
        "--weights, or take efficientnet_lite0, efficientnet_lite1, efficientnet_lite2" in problem
    )


def test_a_state_key_follows_values_and_names_alone() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(3, 4, 3)
    key = state_key(torch.nn.Sequential(layer))
    assert key == state_key(torch.nn.Sequential(layer).to(memory_format=torch.channels_last))
    assert key != state_key(torch.nn.ModuleDict({"1": layer}))
    with torch.no_grad():
        layer.bias[3] += 1e-6
    assert key != state_key(torch.nn.Sequential(layer))
