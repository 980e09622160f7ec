"""Keys of an own transform or loss: equal for the same, different for what does something else."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from headstart.config import TrainConfig
from headstart.errors import ConfigError
from headstart.training.custom import Custom, key_of


def negative(image: torch.Tensor) -> torch.Tensor:
    return 255 - image


def brighter(image: torch.Tensor, by: int = 10) -> torch.Tensor:
    return (image.int() + by).clamp(0, 255).to(torch.uint8)


def by_amount(amount: int) -> Callable[[torch.Tensor], torch.Tensor]:
    def changed(image: torch.Tensor) -> torch.Tensor:
        return brighter(image, amount)

    return changed


class Negative:
    def __init__(self, share: float) -> None:
        self.share = share

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        return 255 - image


class Versioned:
    __slots__ = ()
    version = 3

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        return image


def turned(fill: int) -> v2.RandomRotation:
    return v2.RandomRotation(10, fill={tv_tensors.Image: 128, tv_tensors.Mask: fill})


DIFFERENT: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "function": (lambda: negative, lambda: brighter),
    "closure": (lambda: by_amount(1), lambda: by_amount(2)),
    "partial": (
        lambda: functools.partial(brighter, by=1),
        lambda: functools.partial(brighter, by=2),
    ),
    "object": (lambda: Negative(0.1), lambda: Negative(0.2)),
    "number": (lambda: v2.ColorJitter(0.1), lambda: v2.ColorJitter(0.2)),
    # `repr` shows no difference between these three pairs.
    "dictionary": (lambda: turned(0), lambda: turned(255)),
    "inner function": (lambda: v2.Lambda(negative), lambda: v2.Lambda(brighter)),
    "tensor": (
        lambda: nn.CrossEntropyLoss(torch.tensor([1.0, 2.0])),
        lambda: nn.CrossEntropyLoss(torch.tensor([1.0, 3.0])),
    ),
    "order": (
        lambda: v2.Compose([v2.RandomHorizontalFlip(), v2.RandAugment()]),
        lambda: v2.Compose([v2.RandAugment(), v2.RandomHorizontalFlip()]),
    ),
    "library": (lambda: nn.functional.mse_loss, lambda: nn.functional.l1_loss),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_differs_has_another_key(name: str) -> None:
    first, second = DIFFERENT[name]
    assert key_of(first(), "transform") == key_of(first(), "transform")
    assert key_of(first(), "transform") != key_of(second(), "transform")


def test_the_key_is_the_same_in_another_process(tmp_path: Path) -> None:
    """``hash``, addresses and the order of sets would differ."""
    (tmp_path / "mine.py").write_text(
        "from torchvision.transforms import v2\n"
        "from headstart.training.custom import key_of\n"
        "class Own:\n"
        "    names = {'a', 'b', 'c', 'd'}\n"
        "    def __init__(self):\n"
        "        self.kept = {'a', 'b', 'c', 'd'}\n"
        "    def __call__(self, image):\n"
        "        return image\n"
        "transform = v2.Compose([v2.TrivialAugmentWide(), v2.RandomErasing(), Own()])\n"
        "print(key_of(transform, 'transform'))\n"
    )
    keys = set()
    for seed, command in (("1", ["-c", "import mine"]), ("2", ["mine.py"])):
        found = subprocess.run(
            [sys.executable, *command],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        keys.add(found.stdout.strip())
    assert len(keys) == 1
    assert len(keys.pop()) == 32


def test_a_version_stands_for_the_code() -> None:
    first = key_of(Versioned(), "transform")
    other = type("Versioned", (), {"version": 4, "__call__": Versioned.__call__})
    assert first != key_of(other(), "transform")


@pytest.mark.parametrize(
    ("value", "part"),
    [
        (lambda image: image, r".*<lambda>"),
        (v2.Lambda(lambda image: image), r".*<lambda>"),
        (type("Hidden", (), {"__call__": id})(), "Hidden"),
        (os.urandom, "urandom"),
    ],
    ids=["lambda", "inner lambda", "class without a file", "builtin"],
)
def test_without_source_text_a_name_or_a_version_is_asked_for(value: Any, part: str) -> None:
    expected = (
        rf"^transform cannot be told from another, because {part} has no source text of its own: "
        "give a named function out of a file, or give it an attribute 'version'"
    )
    with pytest.raises(ConfigError, match=expected):
        Custom(transform=value).keys()


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^loss_function must be a function, or an object that"):
        Custom(loss_function="mse").keys()  # type: ignore[arg-type]


def test_settings_that_are_in_the_way_are_named(tmp_path: Path) -> None:
    custom = Custom(transform=negative)
    config = TrainConfig(data=tmp_path)
    with pytest.raises(ConfigError, match=r"^augment cannot be given beside transform, .*'light'"):
        custom.check(config, {"augment": "light"})
    for none in ({"augment": "none"}, {"views": 0}):
        with pytest.raises(ConfigError, match=r"the settings ask for none$"):
            custom.check(config.model_copy(update=none), {})
    custom.check(config, {"augment": None})
    Custom(loss_function=negative).check(config, {"augment": "none"})
