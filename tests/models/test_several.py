"""Several backbones as one: what each of them sees, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.functional import interpolate

from headstart.errors import ConfigError
from headstart.models.backbones import Backbone, load_backbone
from headstart.models.heads import PooledHead, PoolStats
from headstart.models.network import Network
from headstart.models.onnx_graph import INPUT, export_onnx
from headstart.models.several import (
    SideBySide,
    beside,
    check_backbones,
    load_backbones,
    own_size,
    shrink,
)
from headstart.tasks.learning import HeadOptions
from headstart.training import engines

NAMES = ("efficientnet_lite0", "test_resnet", "mobilenetv3_small_050")
"""Made for sides of 224, 160 and 224, with two normalisations."""


@pytest.fixture(scope="module")
def members() -> list[Backbone]:
    torch.manual_seed(0)
    return [load_backbone(name, pretrained=False) for name in NAMES]


@pytest.fixture(scope="module")
def network(members: Sequence[Backbone]) -> Network:
    backbone = beside(members)
    head = PooledHead(backbone.outputs, 3, HeadOptions())
    nn.init.normal_(head.linear.weight)
    return Network(backbone, head).eval()


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (2, 112, 84, 3), generator=generator, dtype=torch.uint8)


def test_each_member_sees_the_picture_at_its_size_and_pools_what_it_finds(
    members: Sequence[Backbone], network: Network, pictures: torch.Tensor
) -> None:
    """Of 112 x 84, 160 / 224 are 80 x 60: there each member is asked by itself."""
    pixels = pictures.permute(0, 3, 1, 2).float()
    small = interpolate(pixels, (80, 60), mode="bilinear", antialias=True)
    with torch.inference_mode():
        expected = [
            member.run(seen).mean(dim=(2, 3))
            for member, seen in zip(members, (pixels, small, pixels), strict=True)
        ]
        found = network.backbone(pictures)
    assert found.shape == (2, 1664, 1, 1)
    torch.testing.assert_close(found[:, :, 0, 0], torch.cat(expected, dim=1), rtol=0, atol=1e-4)
    assert found.std() > 0.1


def test_a_picture_of_the_size_of_a_member_is_what_it_takes_alone(
    members: Sequence[Backbone], network: Network, pictures: torch.Tensor
) -> None:
    """Normalisation is that of the member, as it was measured on a real photograph for it alone."""
    with torch.inference_mode():
        alone = members[2](pictures).mean(dim=(2, 3))
        together = network.backbone(pictures)[:, -alone.shape[1] :, 0, 0]
    assert torch.equal(alone, together)


@pytest.mark.parametrize("size", [(80, 60), (111, 84), (112, 13), (1, 1)])
def test_pictures_are_made_smaller_as_torch_does_it(size: tuple[int, int]) -> None:
    """torch 2.14: ``interpolate``, bilinear with ``antialias``; about a ten-thousandth of a grey
    level apart."""
    pixels = 255 * torch.rand((2, 3, 112, 84), generator=torch.Generator().manual_seed(2))
    expected = interpolate(pixels, size, mode="bilinear", antialias=True)
    torch.testing.assert_close(shrink(pixels, size), expected, rtol=0, atol=5e-4)


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    pixels = torch.rand((1, 3, 8, 6))
    assert shrink(pixels, (8, 6)) is pixels


def test_rest_of_prefix_is_the_network(network: Network, pictures: torch.Tensor) -> None:
    assert network.n_stages == 1
    with torch.inference_mode():
        whole = network(pictures)
        for stage in (0, 1):
            prefix, rest = network.split(stage)
            rest.eval()
            assert torch.equal(rest(prefix(pictures)), whole), stage
    prefix, _ = network.split(1)
    assert [m.shape for m in prefix(pictures)] == [(2, 1664)]


def test_the_stage_says_what_comes_out_and_what_it_costs(members: Sequence[Backbone]) -> None:
    (stage,) = beside(members).outputs
    assert stage.channels == sum(member.outputs[-1].channels for member in members)
    work = [sum(output.multiply_adds for output in member.outputs) for member in members]
    assert stage.multiply_adds == pytest.approx(work[0] + work[1] * (160 / 224) ** 2 + work[2])


def test_everything_can_train(network: Network, pictures: torch.Tensor) -> None:
    prefix, rest = network.split(0)
    rest.train()
    rest(prefix(pictures)).square().mean().backward()
    (stage,) = network.backbone.stages
    assert isinstance(stage, SideBySide)
    for member in stage.members:
        first = next(member.parameters())
        assert first.grad is not None
        assert first.grad.abs().sum() > 0
        assert not member.training
    rest.zero_grad()


def test_the_graph_has_one_input_and_gives_what_the_network_gives(
    network: Network, pictures: torch.Tensor
) -> None:
    graph = export_onnx(network, torch.zeros_like(pictures), None, free_batch=True)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    (given,) = session.get_inputs()
    assert (given.type, given.shape[1:]) == ("tensor(uint8)", [112, 84, 3])
    three = torch.cat([pictures, pictures[:1].flip(1)])
    (found,) = session.run(None, {INPUT: three.numpy()})
    with torch.inference_mode():
        expected = network(three).numpy()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["openvino-float32", "torch-float32"])
def test_engines_give_what_the_prefix_gives(
    network: Network, pictures: torch.Tensor, name: str
) -> None:
    """OpenVINO would misread ONNX's own antialiased resize without a word."""
    pytest.importorskip("openvino")
    prefix, _ = network.split(1)
    batch = pictures[:1].repeat(engines.BATCH, 1, 1, 1)
    with torch.inference_mode():
        (expected,) = prefix(batch)
    ((found,),) = engines.open_engine(name, prefix, (112, 84)).stream([batch.numpy()])
    np.testing.assert_allclose(found, expected.numpy(), rtol=0, atol=1e-3)


def test_facts_are_those_of_all_members(members: Sequence[Backbone], network: Network) -> None:
    info = network.backbone.info
    assert info.name == ",".join(NAMES)
    assert all(f"{member.info.name}: {member.info.source}" in info.source for member in members)
    assert info.normalisation()["members"][2] == {
        "backbone": "mobilenetv3_small_050",
        "side": 224,
        "mean": (0.485, 0.456, 0.406),
        "std": (0.229, 0.224, 0.225),
    }
    assert own_size(network.backbone) == (224, 224)
    assert own_size(members[1]) is None


def test_the_key_is_that_of_all_weights() -> None:
    pair = load_backbones(("efficientnet_lite0", "efficientnet_lite1"))
    other = load_backbones(("efficientnet_lite1", "efficientnet_lite0"))
    keys = {
        pair.weights_key,
        other.weights_key,
        load_backbones(("efficientnet_lite0",)).weights_key,
    }
    assert len(keys) == 3
    again = load_backbones(("efficientnet_lite0", "efficientnet_lite1"))
    assert again.weights_key == pair.weights_key


def test_files_belong_to_the_backbone_that_they_name(tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = timm.create_model("test_resnet", pretrained=False)
    path = tmp_path / "net.safetensors"
    save_file(network.state_dict(), path)
    names = ("efficientnet_lite0", "test_resnet")
    both = load_backbones(names, weights=f"test_resnet={path}")
    alone = load_backbones(names[1:], weights=str(path))
    lite = load_backbones(names[:1])
    (stage,) = both.stages
    assert isinstance(stage, SideBySide)
    for member, expected in zip(stage.members, (lite, alone), strict=True):
        found = member.state_dict()
        assert all(torch.equal(found[key], value) for key, value in expected.state_dict().items())
    assert "unknown" in both.info.license
    for wrong in (str(path), f"resnet18={path}", "test_resnet="):
        with pytest.raises(ConfigError, match=r"--weights must be NAME=FILE.*test_resnet, got"):
            load_backbones(names, weights=wrong)


def test_mistakes_in_the_names_are_said_together() -> None:
    check_backbones(NAMES)
    with pytest.raises(ConfigError) as caught:
        check_backbones(("resnet18", "resnet18", "rasnet50", ""))
    twice, misspelt, empty = caught.value.problems
    assert twice == "--backbone names resnet18 2 times: once is enough"
    assert "resnet50" in misspelt
    assert empty.endswith("got ''")


def test_for_the_head_of_statistics_each_member_gives_its_own(
    members: Sequence[Backbone], pictures: torch.Tensor
) -> None:
    alone = members[0]
    backbone = beside([alone, members[2]], statistics=True)
    head = PooledHead(backbone.outputs, 3, HeadOptions("stats"))
    pixels = pictures.permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        maps = backbone.eval().run(pixels)
        wanted = [PoolStats()(m.eval().maps(pixels)[-3:]) for m in (alone, members[2])]
    torch.testing.assert_close(maps, torch.cat(wanted, dim=1)[:, :, None, None])
    assert head.linear.in_features == backbone.outputs[0].channels == maps.shape[1]
    torch.testing.assert_close(head.reduce((maps,)), torch.cat(wanted, dim=1))


def test_features_of_the_head_of_statistics_are_stored_apart(members: Sequence[Backbone]) -> None:
    pair = members[:2]
    assert beside(pair).weights_key != beside(pair, statistics=True).weights_key
