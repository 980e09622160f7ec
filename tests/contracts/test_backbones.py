"""What every registered backbone must do, with random weights: cut, normalise, group."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from headstart.errors import ConfigError
from headstart.models.backbones import PACKAGED, load_backbone
from headstart.models.decoders import UnetHead
from headstart.models.heads import PooledHead
from headstart.models.network import Network, parameter_groups
from headstart.tasks.learning import HeadOptions, TaskDefaults
from headstart.types import Stage

SIDE = 96
OUTPUTS = 5


FAMILIES = (
    "convnext_atto",
    "efficientnet_b0",
    "inception_v3",
    "legacy_xception",
    "mobilenetv1_100",
    "mobilenetv2_050",
    "mobilenetv3_small_050",
    "mobilenetv4_conv_small",
    "mobilevit_xxs",
    "regnetx_002",
    "resnet18",
    "vgg11_bn",
)
"""One network of each family that must work; the names are timm's."""


@pytest.fixture(scope="module", params=[*sorted(PACKAGED), *FAMILIES])
def network(request: pytest.FixtureRequest) -> Network:
    torch.manual_seed(0)
    backbone = load_backbone(request.param, pretrained=False)
    head = PooledHead(backbone.outputs, OUTPUTS, HeadOptions(dropout=0.2))
    nn.init.normal_(head.linear.weight)
    return Network(backbone, head).eval()


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (3, SIDE, SIDE, 3), generator=generator, dtype=torch.uint8)


def test_an_unknown_backbone_names_the_closest() -> None:
    for name in PACKAGED:
        wrong = name[:-1] + "x"
        with pytest.raises(ConfigError, match=rf"--backbone must be .*{name}.*, got '{wrong}'"):
            load_backbone(wrong, pretrained=False)


def test_rest_of_prefix_is_the_network_at_every_cut(
    network: Network, pictures: torch.Tensor
) -> None:
    assert network.n_stages > 1
    with torch.inference_mode():
        whole = network(pictures)
        assert whole.shape == (3, OUTPUTS)
        assert whole.std() > 0
        for stage in range(network.n_stages + 1):
            prefix, rest = network.split(stage)
            rest.eval()
            # Rounding: the rest multiplies weights, not maps, by the factors of normalisation.
            error = (rest(prefix(pictures)) - whole).abs().max() / whole.abs().max()
            assert error <= 1e-5, (stage, error)


def test_channels_and_strides_are_as_declared(network: Network, pictures: torch.Tensor) -> None:
    backbone = network.backbone
    assert len(backbone.outputs) == len(backbone.stages)
    with torch.inference_mode():
        features = backbone.normalise(pictures)
        for number, (stage, output) in enumerate(
            zip(backbone.stages, backbone.outputs, strict=True)
        ):
            features = stage(features)
            assert features.shape[:2] == (3, output.channels), number
            # Some networks lose a few positions at the borders.
            assert features.shape[2] == features.shape[3]
            assert -4 <= features.shape[2] - SIDE / output.stride <= 0.5, number
        assert torch.equal(features, backbone(pictures))


def test_normalisation_follows_the_weights(network: Network) -> None:
    """By hand: black is -mean / std, white is (1 - mean) / std, in units of pixels from 0 to 1."""
    info = network.backbone.info
    levels = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 1, 1, 3)
    found = network.backbone.normalise(levels)
    assert found.shape == (2, 3, 1, 1)
    for channel, (mean, std) in enumerate(zip(info.mean, info.std, strict=True)):
        expected = [-mean / std, (1 - mean) / std]
        assert found[:, channel, 0, 0].tolist() == pytest.approx(expected, abs=1e-6)


def test_channels_are_red_green_blue(network: Network) -> None:
    red = torch.zeros((1, 1, 1, 3), dtype=torch.uint8)
    red[..., 0] = 255
    found = network.backbone.normalise(red)[0, :, 0, 0]
    black = network.backbone.normalise(torch.zeros_like(red))[0, :, 0, 0]
    assert (found != black).tolist() == [True, False, False]


def test_every_parameter_of_the_rest_is_in_one_group(network: Network) -> None:
    for stage in range(network.n_stages + 1):
        _, rest = network.split(stage)
        groups = parameter_groups(rest, 1e-2, 0.1, 0.05)
        grouped = [id(p) for group in groups for p in group["params"]]
        assert len(grouped) == len(set(grouped))
        assert set(grouped) == {id(p) for p in rest.parameters()}


def test_the_parts_share_the_networks_parameters(network: Network) -> None:
    everything = {id(p) for p in network.parameters()}
    for stage in range(network.n_stages + 1):
        prefix, rest = network.split(stage)
        frozen = {id(p) for s in prefix.backbone.stages[:stage] for p in s.parameters()}
        trained = {id(p) for p in rest.parameters()}
        assert not frozen & trained
        assert frozen | trained == everything


def test_training_mode_leaves_statistics_of_the_backbone_alone(
    network: Network, pictures: torch.Tensor
) -> None:
    prefix, rest = network.split(network.n_stages - 2)
    before = {n: t.clone() for n, t in rest.state_dict().items() if "running" in n}
    rest.train()
    assert not any(m.training for m in rest.stages.modules())
    assert rest.head.training
    with torch.inference_mode():
        rest(prefix(pictures))
    after = rest.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    rest.eval()


def test_licence_and_source_are_named(network: Network) -> None:
    info = network.backbone.info
    assert info.license
    assert info.source


def test_the_cost_of_a_stage_is_counted(network: Network) -> None:
    shares = [network.trained_share(stage) for stage in range(network.n_stages + 1)]
    assert shares[0] == 1.0
    assert shares[-1] == 0.0
    assert shares == sorted(shares, reverse=True)
    assert 4 <= network.n_stages <= 16


def test_the_stages_of_the_default_backbone_are_those_that_were_measured() -> None:
    backbone = load_backbone("efficientnet_lite0", pretrained=False)
    assert [(s.channels, s.stride) for s in backbone.outputs] == [
        *((16, 2), (24, 4), (40, 8), (80, 16), (112, 16), (192, 32), (320, 32), (1280, 32))
    ]
    whole = Network(backbone, PooledHead(backbone.outputs, OUTPUTS, HeadOptions()))
    assert whole.stage_training(TaskDefaults().trained_share) == 6
    maps = Network(backbone, UnetHead(backbone.outputs, OUTPUTS, 0.0))
    assert maps.head.taps == (1, 2, 4, 6)
    assert (maps.stage_training(0.55), maps.stage_training(0.68)) == (4, 3)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "mlp_mixer"])
def test_networks_without_feature_maps_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"--backbone "):
        load_backbone(name, pretrained=False)


def test_a_decoder_asks_for_the_maps_that_it_needs() -> None:
    with pytest.raises(ConfigError, match=r"strides 4, 8, 16, 32 .* got one with 1, 2, 16"):
        UnetHead([Stage(4, 1), Stage(4, 2), Stage(8, 16)], 3, 0.0)
