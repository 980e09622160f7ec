"""A person's own transform and loss from Python, and the keys that tell them from others."""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from headstart.config import TrainConfig
from headstart.errors import ConfigError
from headstart.storage import content_key

Transform = Callable[..., Any]
"""Takes a picture, or a picture and its target, and gives the same back; see ``own_view``."""

LossFunction = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Takes outputs and targets (n, ...) as ``TaskLearner.comparable`` gives them; returns a number."""

REPLACED = ("augment", "flip")
"""Settings whose place an own transform takes."""

LIBRARIES = frozenset({"builtins", "numpy", "torch", "torchvision"})
"""Packages whose code is known by its name: a new release of them makes no other key."""


@dataclasses.dataclass(frozen=True)
class Custom:
    """What was given in Python, because no file of settings can carry it.

    Attributes:
        transform: makes the augmented views, instead of the policy.
        loss_function: is minimised, instead of the task's loss.
    """

    transform: Transform | None = None
    loss_function: LossFunction | None = None

    def keys(self) -> dict[str, dict[str, str]]:
        """Name and key of each that was given: a resumed run must be given the same.

        Raises:
            ConfigError: one cannot be told from another.
        """
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            name: {"name": _name(value), "key": key_of(value, name)}
            for name, value in given.items()
            if value is not None
        }

    def check(self, config: TrainConfig, given: Mapping[str, Any]) -> None:
        """Whether it has keys, and the settings leave room for it.

        Args:
            config: of the run, not yet settled.
            given: settings that were given beside it.

        Raises:
            ConfigError: names every setting that is in the way, or what has no key.
        """
        self.keys()
        if self.transform is None:
            return
        problems = [
            f"{name} cannot be given beside transform, which takes its place, got {given[name]!r}"
            for name in REPLACED
            if given.get(name) is not None
        ]
        if not problems and (config.augment == "none" or config.views == 0):
            problems = ["transform makes the augmented views, and the settings ask for none"]
        if problems:
            raise ConfigError(problems)


NOTHING = Custom()


class _UnknownError(Exception):
    """What a part does cannot be known; its text names it."""


def key_of(value: Any, name: str) -> str:
    """A key that is equal in another process for the same transform or loss, and for no other.

    It covers the source text of the person's functions and classes, what they have taken in from
    around them, and all values that objects hold. ``repr`` would leave out dictionaries, tensors
    and the functions inside a ``Lambda``. What a function calls is not followed; an attribute
    ``version`` stands for all of it.

    Args:
        value: a function, or an object that can be called.
        name: of the parameter, for the message.

    Raises:
        ConfigError: a part of it has neither source text nor a version.
    """
    if not callable(value):
        raise ConfigError([f"{name} must be a function, or an object that can be called"])
    try:
        return content_key(_described(value))
    except (_UnknownError, RecursionError) as error:
        problem = (
            f"{name} cannot be told from another, because {error} has no source text of its own: "
            "give a named function out of a file, or give it an attribute 'version' that you "
            "change whenever it does something else"
        )
        raise ConfigError([problem]) from error


def _described(value: Any) -> Any:
    """JSON-like values that are equal where ``value`` does the same."""
    if isinstance(value, enum.Enum):
        return [type(value).__qualname__, value.name]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_described(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(content_key(_described(item)) for item in value)
    if isinstance(value, Mapping):
        return [[_described(key), _described(item)] for key, item in value.items()]
    if isinstance(value, torch.Tensor | np.ndarray | np.generic):
        return [str(value.dtype), value.tolist()]
    if isinstance(value, torch.dtype | Path):
        return str(value)
    return _described_code(value)


def _described_code(value: Any) -> Any:
    version = getattr(value, "version", None)
    if isinstance(version, str | int):
        return [_name(value), version]
    if isinstance(value, functools.partial):
        return ["partial", *map(_described, (value.func, value.args, value.keywords))]
    if isinstance(value, types.MethodType):
        return [value.__func__.__qualname__, _described(value.__self__)]
    if isinstance(value, types.FunctionType):
        around = inspect.getclosurevars(value).nonlocals
        defaults = [value.__defaults__, value.__kwdefaults__]
        return [_source(value), _described(around), _described(defaults)]
    if isinstance(value, type):
        return [_source(one) for one in value.__mro__]
    if isinstance(value, types.BuiltinFunctionType):
        return _source(value)
    if not hasattr(value, "__dict__"):
        raise _UnknownError(_name(value))
    return [_described(type(value)), _described(vars(value))]


def _source(value: Any) -> list[str]:
    """Name and text of a function or a class; a library's is known by its name alone."""
    module = str(value.__module__)
    if value.__name__ == "<lambda>":
        # Its text is that of a line, which may hold several.
        raise _UnknownError(_name(value))
    if module.partition(".")[0] in LIBRARIES:
        return [f"{module}.{value.__qualname__}"]
    try:
        # Without the module: the same file is __main__ today and imported tomorrow.
        return [value.__qualname__, inspect.getsource(value)]
    except (OSError, TypeError) as error:
        raise _UnknownError(_name(value)) from error


def _name(value: Any) -> str:
    return str(getattr(value, "__qualname__", type(value).__qualname__))
