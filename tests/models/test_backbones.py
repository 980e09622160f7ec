"""The weights of every backbone are where they belong, shown on a real photograph."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import skimage
import timm
import torch
from PIL import Image

from headstart.models.backbones import (
    PACKAGED,
    BackboneInfo,
    load_backbone,
    rename_lite_key,
)

ESPRESSO = 967
"""ImageNet-1k's class 'espresso' (in its numbering from 0)."""


@pytest.fixture(scope="module", params=sorted(PACKAGED))
def info(request: pytest.FixtureRequest) -> BackboneInfo:
    return PACKAGED[request.param]


@pytest.fixture(scope="module")
def stored(info: BackboneInfo) -> dict[str, torch.Tensor]:
    module = importlib.import_module(str(info.package))
    name = info.name.title().replace("_", "")
    path = getattr(module, f"{name}ModelFile").get_model_file_path()
    found: dict[str, torch.Tensor] = torch.load(path, weights_only=True)
    return found


@pytest.fixture(scope="module")
def reference(info: BackboneInfo, stored: dict[str, torch.Tensor]) -> torch.nn.Module:
    """timm's own network with its own classifier."""
    network = timm.create_model(info.timm_name, pretrained=False)
    renamed = {rename_lite_key(key, network): value for key, value in stored.items()}
    network.load_state_dict(renamed, strict=True)
    return network.eval()


@pytest.fixture(scope="module")
def coffee() -> torch.Tensor:
    """scikit-image's photograph of a cup of coffee: (1, 224, 224, 3), uint8. Ships in its wheel."""
    path = Path(skimage.__file__).parent / "data" / "coffee.png"
    image = Image.open(path).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.BILINEAR)
    return torch.from_numpy(np.array(square))[None]


def test_every_key_has_one_place_of_its_shape(
    info: BackboneInfo, stored: dict[str, torch.Tensor]
) -> None:
    network = timm.create_model(info.timm_name, pretrained=False)
    wanted = network.state_dict()
    renamed = {rename_lite_key(key, network): value for key, value in stored.items()}
    assert len(renamed) == len(stored) >= 296
    assert renamed.keys() == wanted.keys()
    assert all(renamed[key].shape == wanted[key].shape for key in wanted)


@pytest.mark.parametrize(
    ("theirs", "timms"),
    [
        # Read from the two libraries' module trees: the stem; a block without expansion, in which
        # the projection is timm's conv_pw; the second block of stage 1; the last stage; the top.
        ("_conv_stem.weight", "conv_stem.weight"),
        ("_bn0.running_var", "bn1.running_var"),
        ("_blocks.0._depthwise_conv.weight", "blocks.0.0.conv_dw.weight"),
        ("_blocks.0._project_conv.weight", "blocks.0.0.conv_pw.weight"),
        ("_blocks.0._bn1.bias", "blocks.0.0.bn1.bias"),
        ("_blocks.2._expand_conv.weight", "blocks.1.1.conv_pw.weight"),
        ("_blocks.2._bn0.weight", "blocks.1.1.bn1.weight"),
        ("_blocks.15._project_conv.weight", "blocks.6.0.conv_pwl.weight"),
        ("_blocks.15._bn2.running_mean", "blocks.6.0.bn3.running_mean"),
        ("_conv_head.weight", "conv_head.weight"),
        ("_bn1.bias", "bn2.bias"),
        ("_fc.bias", "classifier.bias"),
    ],
)
def test_keys_are_renamed(theirs: str, timms: str) -> None:
    network = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    assert rename_lite_key(theirs, network) == timms


@pytest.mark.parametrize("key", ["_blocks.99._bn0.bias", "_swish.weight"])
def test_a_foreign_key_is_refused(reference: torch.nn.Module, key: str) -> None:
    with pytest.raises(KeyError):
        rename_lite_key(key, reference)


def test_a_cup_of_coffee_is_an_espresso(
    info: BackboneInfo, reference: torch.nn.Module, coffee: torch.Tensor
) -> None:
    """Without the right weights in the right places one class of 1,000 would win by chance."""
    normalise = load_backbone(info.name).normalise
    with torch.inference_mode():
        probabilities = torch.softmax(reference(normalise(coffee)), dim=1)[0]
    assert int(probabilities.argmax()) == ESPRESSO
    assert float(probabilities[ESPRESSO]) > 0.7


def test_our_features_are_timms(
    info: BackboneInfo, reference: torch.nn.Module, coffee: torch.Tensor
) -> None:
    backbone = load_backbone(info.name)
    with torch.inference_mode():
        ours = backbone(coffee)
        theirs = reference.forward_features(backbone.normalise(coffee))
    assert ours.shape == (1, 1280, 7, 7)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_weights_have_a_key_of_their_content(info: BackboneInfo) -> None:
    loaded, random = load_backbone(info.name), load_backbone(info.name, pretrained=False)
    assert len(loaded.weights_key) == 32
    assert loaded.weights_key == load_backbone(info.name).weights_key
    assert random.weights_key == "random"
    assert not loaded.training
