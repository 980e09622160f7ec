"""The weights of the default backbone are where they belong, shown on a real photograph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage
import timm
import torch
from PIL import Image

from headstart.models.backbones import BACKBONES, load_backbone, rename_lite_key

INFO = BACKBONES["efficientnet_lite0"]

ESPRESSO = 967
"""ImageNet-1k's class 'espresso' (in its numbering from 0)."""


@pytest.fixture(scope="module")
def stored() -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(INFO.weights_file(), weights_only=True)
    return found


@pytest.fixture(scope="module")
def reference(stored: dict[str, torch.Tensor]) -> torch.nn.Module:
    """timm's own network with its own classifier."""
    network = timm.create_model(INFO.timm_name, pretrained=False)
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


def test_every_key_has_one_place_of_its_shape(stored: dict[str, torch.Tensor]) -> None:
    network = timm.create_model(INFO.timm_name, pretrained=False)
    wanted = network.state_dict()
    renamed = {rename_lite_key(key, network): value for key, value in stored.items()}
    assert len(stored) == 296
    assert len(renamed) == 296
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
def test_keys_are_renamed(reference: torch.nn.Module, theirs: str, timms: str) -> None:
    assert rename_lite_key(theirs, reference) == timms


@pytest.mark.parametrize("key", ["_blocks.16._bn0.bias", "_swish.weight"])
def test_a_foreign_key_is_refused(reference: torch.nn.Module, key: str) -> None:
    with pytest.raises(KeyError):
        rename_lite_key(key, reference)


def test_a_cup_of_coffee_is_an_espresso(reference: torch.nn.Module, coffee: torch.Tensor) -> None:
    """Without the right weights in the right places one class of 1,000 would win by chance."""
    normalise = load_backbone(INFO.name).normalise
    with torch.inference_mode():
        probabilities = torch.softmax(reference(normalise(coffee)), dim=1)[0]
    assert int(probabilities.argmax()) == ESPRESSO
    assert float(probabilities[ESPRESSO]) > 0.8


def test_our_features_are_timms(reference: torch.nn.Module, coffee: torch.Tensor) -> None:
    backbone = load_backbone(INFO.name)
    with torch.inference_mode():
        ours = backbone(coffee)
        theirs = reference.forward_features(backbone.normalise(coffee))
    assert ours.shape == (1, 1280, 7, 7)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_weights_have_a_key_of_their_content() -> None:
    loaded, random = load_backbone(INFO.name), load_backbone(INFO.name, pretrained=False)
    assert len(loaded.weights_key) == 32
    assert loaded.weights_key == load_backbone(INFO.name).weights_key
    assert random.weights_key == "random"
    assert not loaded.training
