"""``train --tta``: one model that looks into the mirror, in every file that is made of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import headstart
from headstart.errors import ConfigError
from headstart.exporting.rebuild import rebuild
from headstart.jobs.train_job import TrainResult
from headstart.runtime.images import read_image
from headstart.runtime.model_folder import read_description
from headstart.storage import read_json
from pictures import KINDS, write_class_folders

SIZE = 64


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_class_folders(tmp_path_factory.mktemp("photos"), dict.fromkeys(KINDS, 20))


@pytest.fixture(scope="module")
def mirrored(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return headstart.train(
        photos,
        out=tmp_path_factory.mktemp("mirrored") / "run",
        image_size=SIZE,
        strategy="features",
        views=0,
        freeze_epochs=1,
        augment="none",
        tta="both",
    )


def test_mirror_images_are_answered_alike(mirrored: TrainResult) -> None:
    model = headstart.load_model(mirrored.model)
    pixels = read_image(mirrored.model / "golden" / "input-0.png")
    scores = [
        model.predict(np.ascontiguousarray(view)).to_json()["scores"]
        for view in (pixels, pixels[:, ::-1], pixels[::-1], pixels[::-1, ::-1])
    ]
    for found in scores[1:]:
        assert found == pytest.approx(scores[0], abs=1e-4)


def test_the_folder_says_it_and_is_built_again_with_it(mirrored: TrainResult) -> None:
    description = read_description(mirrored.model)
    assert read_json(mirrored.model / "model.json")["tta"] == description.tta == "both"
    network = rebuild(mirrored.model, description)
    image = read_image(mirrored.model / "golden" / "input-0.png")
    expected = headstart.load_model(mirrored.model).backend.run(image[None])["probabilities"]
    with torch.inference_mode():
        found = network(torch.from_numpy(image.copy())[None])[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("form", ["openvino", "litert"])
def test_exported_files_look_into_the_mirror_too(
    mirrored: TrainResult, photos: Path, tmp_path: Path, form: str
) -> None:
    result = headstart.export(
        mirrored.model, to=form, precision="fp32", data=photos, out=tmp_path / "out"
    )
    (row,) = result.rows
    assert row.verdict.handed_over, row
    assert row.trial is not None
    assert row.trial.agreement > 0.99


def test_what_flips_do_not_allow_is_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--flip must be both with --tta both"):
        headstart.train(photos, out=tmp_path / "run", tta="both", flip="none")
