"""The fixtures that every test relies on do what they say."""

from __future__ import annotations

import socket
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from headstart.storage import cache_dir, state_dir
from pictures import KINDS, make_picture


def test_the_network_is_blocked() -> None:
    with pytest.raises(pytest.fail.Exception, match="the network was used: look-up of"):
        urllib.request.urlopen("https://example.com")
    with (
        socket.socket() as opened,
        pytest.raises(pytest.fail.Exception, match=r"the network was used: connect to \('127"),
    ):
        opened.connect(("127.0.0.1", 9))


def test_cache_and_state_belong_to_the_test(tmp_path: Path) -> None:
    assert cache_dir().parent == state_dir().parent == tmp_path
    assert not cache_dir().exists()


def test_pictures_are_functions_of_kind_and_seed() -> None:
    made = [make_picture(kind, seed) for kind in KINDS for seed in range(3)]
    assert len({picture.tobytes() for picture in made}) == 9
    np.testing.assert_array_equal(make_picture("disc", 2), made[2])
    assert made[0].shape == (48, 64, 3)
