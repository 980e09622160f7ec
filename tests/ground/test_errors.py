"""One exception tree; messages say what to do."""

from __future__ import annotations

import pytest

from headstart import errors


@pytest.mark.parametrize(
    ("kind", "parent"),
    [
        (errors.ConfigError, errors.HeadstartError),
        (errors.DataError, errors.HeadstartError),
        (errors.UnreadableImageError, errors.DataError),
        (errors.ModelError, errors.HeadstartError),
        (errors.RunError, errors.HeadstartError),
        (errors.MissingExtraError, errors.HeadstartError),
    ],
)
def test_every_error_belongs_to_the_tree(kind: type[Exception], parent: type[Exception]) -> None:
    assert issubclass(kind, parent)


def test_config_error_keeps_every_problem() -> None:
    error = errors.ConfigError(["--epochs must be 1", "--lr must be 2"])
    assert error.problems == ("--epochs must be 1", "--lr must be 2")
    assert str(error) == "--epochs must be 1; --lr must be 2"


def test_missing_extra_says_what_to_install() -> None:
    assert str(errors.MissingExtraError("Training", "train", "torch")) == (
        "Training needs the extra 'train' (module 'torch' is not installed): "
        'pip install "headstart[train]"'
    )
