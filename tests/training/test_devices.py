"""Accelerators: none is here, so what is decided for one is tested, and what runs beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from headstart.config import DeviceName
from headstart.data.augment import Augmentation
from headstart.data.loader import EpochOrder, train_loader
from headstart.errors import ConfigError
from headstart.jobs.material import checked_config
from headstart.tasks.learning import TaskDefaults
from headstart.training import engines, plan
from headstart.training.devices import has_bfloat16
from headstart.training.samples import ViewSamples
from headstart.training.views import LiveViews, ViewMaker
from training.small import SPLIT_STAGE, Small


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_refused_at_once(
    device: DeviceName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=rf"^--device {device}: torch .* sees none here; leave"):
        checked_config({"data": "photos", "device": device}, None)
    with pytest.raises(ConfigError, match=rf"^--device {device}: torch .* sees none here; leave"):
        engines.open_engine(f"{device}-float32", None, (32, 32))  # type: ignore[arg-type]


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--device must be 'cpu', 'cuda' or 'mps'"):
        checked_config({"data": "photos", "device": "tpu"}, None)


@pytest.mark.parametrize("native", [True, False])
def test_engine_and_precision_follow_the_device(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: native)
    assert has_bfloat16("cuda") is native
    assert not has_bfloat16("mps")
    huge = 10 * max(engines.OPENVINO_FROM.values())
    assert engines.default_engine(huge, "cuda") == f"cuda-{'bfloat16' if native else 'float32'}"
    assert engines.default_engine(huge, "mps") == "mps-float32"
    # On processors bfloat16 is slower where early stages train, on accelerators it is not.
    wanted = "bf16-mixed" if native else "32-true"
    assert plan._precision(0.9, TaskDefaults(), "cuda") == wanted
    assert plan._precision(0.9, TaskDefaults(), "cpu") == "32-true"


def check_workers(folder: Path) -> None:
    """The same batches, whoever makes them; in a process of its own, see below."""
    small = Small.make(folder)
    prefix, _ = small.network().split(SPLIT_STAGE)
    maker = ViewMaker(small.preprocess, 3, Augmentation())
    records = small.manifest.on("train")
    samples = ViewSamples(
        LiveViews(prefix, maker, small.images), records, torch.arange(len(records))
    )
    found = []
    for workers in (0, 2):
        order = EpochOrder(len(records), 3, 4, 0, "head")
        found.append(list(train_loader(samples, order, workers)))
    assert len(found[0]) == len(found[1]) > 2
    for (one_maps, one_targets), (other_maps, other_targets) in zip(*found, strict=True):
        assert torch.equal(one_targets, other_targets)
        assert all(map(torch.equal, one_maps, other_maps))


def test_views_of_other_processes_are_those_of_this_one(tmp_path: Path) -> None:
    """Workers are forked, which is not safe beside the threads that other tests have started."""
    tests = Path(__file__).parents[1]
    code = (
        "import pathlib, sys; from training.test_devices import check_workers; "
        "check_workers(pathlib.Path(sys.argv[1])); print('equal')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=tests,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tests), *sys.path])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.stdout.strip() == "equal", done.stderr
