"""Pairs of pictures, and the loss for both of their targets."""

from __future__ import annotations

import pytest
import torch

from headstart.training.mixing import NO_MIXING, Mixing


def numbered(count: int, *shape: int) -> torch.Tensor:
    """Every picture is filled with its position."""
    return torch.arange(count).float().view(-1, *([1] * len(shape))).expand(count, *shape).clone()


def test_without_mixing_the_batch_is_the_same_object() -> None:
    maps = (numbered(3, 2, 2, 2),)
    mixed = NO_MIXING.draw(maps)
    assert mixed.maps is maps
    assert float(mixed.loss(lambda wanted: wanted.sum(), torch.tensor([1.0, 2.0]))) == 3.0


def test_mixup_blends_every_map_with_the_same_partner_and_share() -> None:
    torch.manual_seed(1)
    mixed = Mixing(mixup=1.0).draw((numbered(6, 4), numbered(6, 2, 3, 3).half()))
    assert mixed.partner is not None
    assert 0 < mixed.share < 1
    wanted = (1 - mixed.share) * torch.arange(6) + mixed.share * mixed.partner
    torch.testing.assert_close(mixed.maps[0][:, 0], wanted)
    torch.testing.assert_close(mixed.maps[1][:, 1, 2, 2], wanted, rtol=1e-3, atol=1e-3)


def test_the_loss_weighs_both_targets() -> None:
    torch.manual_seed(1)
    mixed = Mixing(mixup=1.0).draw((numbered(4, 2),))
    assert mixed.partner is not None
    targets = torch.tensor([0.0, 10.0, 20.0, 30.0])
    found = mixed.loss(lambda wanted: wanted[0], targets)
    other = targets[mixed.partner][0]
    assert float(found) == pytest.approx(float(mixed.share * other))


def test_cutmix_pastes_a_rectangle_and_its_share_is_what_it_covers() -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        images = numbered(5, 3, 8, 12)
        mixed = Mixing(cutmix=1.0).draw((images,))
        assert mixed.partner is not None
        for own, (partner, picture) in enumerate(zip(mixed.partner, mixed.maps[0], strict=True)):
            if own != partner:
                assert set(picture.unique().tolist()) <= {float(own), float(partner)}
                pasted = (picture == float(partner)).float().mean()
                assert float(pasted) == pytest.approx(mixed.share)
        assert (images == numbered(5, 3, 8, 12)).all()


def test_both_take_turns() -> None:
    torch.manual_seed(0)
    images = numbered(2, 1, 16, 16)
    kinds = set()
    for _ in range(30):
        (found,) = Mixing(mixup=1.0, cutmix=1.0).draw((images,)).maps
        whole = all(bool((picture == picture[0, 0, 0]).all()) for picture in found)
        kinds.add(whole and not set(found.unique().tolist()) <= {0.0, 1.0})
    assert kinds == {True, False}
