"""Wrong labels, odd masks and odd points are named; sound ones are not."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart
from headstart import tasks
from headstart.audit.checks.labels import neighbour_distance
from headstart.tasks.inspection import Labelled
from headstart.tasks.points import PointSchema, PointsTarget
from headstart.types import Frame, Skeleton
from pictures import make_picture, write_class_folders, write_mask_folders, write_picture
from poses import write_coco

FRAME = Frame((100, 100))


def faces(count: int, **changes: list[tuple[float, float]]) -> list[Labelled]:
    """Eyes, ears and corners of a mouth, seen from the front; changes by number of the picture."""
    random = np.random.default_rng(0)
    usual = [(30.0, 40.0), (70.0, 40.0), (20.0, 45.0), (80.0, 45.0), (40.0, 70.0), (60.0, 70.0)]
    found = []
    for at in range(count):
        shift = random.uniform(-5, 5, 2)
        points = changes.get(f"p{at}", [(x + shift[0], y + shift[1]) for x, y in usual])
        target = PointsTarget(tuple(points), (2,) * 6)
        found.append(Labelled(f"{at}.png", target, FRAME))
    return found


SCHEMA = PointSchema(
    Skeleton(
        ("left_eye", "right_eye", "left_ear", "right_ear", "left_corner", "right_corner"),
        flip_pairs=((0, 1), (2, 3), (4, 5)),
    )
)
POINT_TASKS = ("keypoints", "regression")


@pytest.mark.parametrize("task", POINT_TASKS)
def test_sound_points_are_let_through(task: str) -> None:
    assert tasks.spec(task).inspect(faces(40), SCHEMA) == []


@pytest.mark.parametrize("task", POINT_TASKS)
def test_a_picture_with_left_and_right_swapped_is_named(task: str) -> None:
    swapped = [(70.0, 40.0), (30.0, 40.0), (80.0, 45.0), (20.0, 45.0), (60.0, 70.0), (40.0, 70.0)]
    (issue,) = tasks.spec(task).inspect(faces(40, p7=swapped), SCHEMA)
    assert (issue.check, issue.images) == ("left-right-swapped", ("7.png",))


def test_a_single_swapped_pair_is_named() -> None:
    eyes = [(70.0, 40.0), (30.0, 40.0), (20.0, 45.0), (80.0, 45.0), (40.0, 70.0), (60.0, 70.0)]
    (issue,) = tasks.spec("keypoints").inspect(faces(40, p3=eyes), SCHEMA)
    assert issue.images == ("3.png",)
    assert "left_eye and right_eye stand the other way round" in issue.message


def test_a_pair_that_nearly_coincides_is_not_called_swapped() -> None:
    crossed = [(30.0, 40.0), (70.0, 40.0), (20.0, 45.0), (80.0, 45.0), (52.0, 70.0), (48.0, 70.0)]
    assert tasks.spec("keypoints").inspect(faces(40, p3=crossed), SCHEMA) == []
    apart = [*crossed[:4], (60.0, 70.0), (40.0, 70.0)]
    (issue,) = tasks.spec("keypoints").inspect(faces(40, p3=apart), SCHEMA)
    assert issue.images == ("3.png",)
    assert "than in 97.5% of the pictures: swapped, or crossed?" in issue.message


def test_points_that_are_odd_are_drawn_into_the_page(tmp_path: Path) -> None:
    root = write_coco(tmp_path / "poses", 6)
    file = root / "keypoints.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["annotations"][2]["keypoints"][:2] = [500, 40]
    file.write_text(json.dumps(content), encoding="utf-8")
    result = headstart.check(root)
    (issue,) = [issue for issue in result.issues if issue.check == "points-outside"]
    page = result.write_page(tmp_path / "check.html").read_text(encoding="utf-8")
    found = re.search(rf'base64,([^"]+)" alt="{issue.images[0]}: its target drawn in"', page)
    assert found
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))).convert("RGB"), int)
    plain = np.asarray(Image.open(root / issue.images[0]).resize(shown.shape[1::-1]), int)
    # The legend lies below the picture, and dots and bones in it.
    assert shown.shape[0] > shown.shape[1] * 96 / 128
    assert plain.shape == shown.shape


def test_wrong_labels_of_several_are_found(tmp_path: Path) -> None:
    rows = ["image,labels"]
    wrong = {"disc-3.png": "square|even", "square-5.png": "disc|even", "stripes-4.png": "disc"}
    for kind in ("disc", "square", "stripes"):
        for at in range(25):
            name = f"{kind}-{at}.png"
            write_picture(tmp_path / name, make_picture(kind, at, (96, 128)))
            labels = kind if kind != "stripes" else "?even"
            rows.append(f"{name},{wrong.get(name, labels if at else labels + '|even')}")
    (tmp_path / "labels.csv").write_text("\n".join([*rows, ""]), encoding="utf-8")
    result = headstart.check(tmp_path, task="multilabel")
    assert "suspicious-label" not in result.skipped
    suspects = [issue for issue in result.issues if issue.check == "suspicious-label"]
    names = [issue.images[0] for issue in suspects]
    assert set(wrong) <= set(names[:6])
    assert len(names) == len(set(names))
    text = next(issue.message for issue in suspects if issue.images[0] == "stripes-4.png")
    assert text.startswith("labelled with disc, looks like a picture without it")


def test_points_outside_are_named() -> None:
    outside = [(30.0, 40.0), (70.0, 140.0), (-9.0, 45.0), (80.0, 45.0), (40.0, 70.0), (60.0, 70.0)]
    (issue,) = tasks.spec("keypoints").inspect(faces(40, p5=outside), SCHEMA)
    assert (issue.check, issue.images) == ("points-outside", ("5.png",))
    assert issue.message == "2 of its points lie outside the picture: right_eye, left_ear"


def test_a_mask_of_one_class_and_a_mask_with_an_unknown_id_are_named(tmp_path: Path) -> None:
    root = write_mask_folders(tmp_path / "masks")
    masks = sorted(
        path for path in root.rglob("*.png") if "annot" in str(path) or "mask" in str(path.parent)
    )
    first = np.asarray(Image.open(masks[0]))
    Image.fromarray(np.full_like(first, first.flat[0])).save(masks[0])
    result = headstart.check(root)
    (issue,) = [issue for issue in result.issues if issue.check == "empty-mask"]
    assert Path(issue.images[0]).stem == masks[0].stem


def test_wrong_labels_lead_the_ranking_and_a_stranger_is_an_outlier(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "pictures", 25, size=(96, 128))
    for kind, wrong in (("disc", "square"), ("square", "stripes"), ("stripes", "disc")):
        write_picture(root / wrong / "zz.png", make_picture(kind, 700, (96, 128)))
    result = headstart.check(root)
    suspects = [i.images[0] for i in result.issues if i.check == "suspicious-label"]
    assert set(suspects[:3]) == {"square/zz.png", "stripes/zz.png", "disc/zz.png"}


def test_copies_across_the_split_with_other_labels_are_named(tmp_path: Path) -> None:
    from skimage import data

    root = write_class_folders(tmp_path / "pictures/train", 6)
    write_class_folders(tmp_path / "pictures/test", 3, first_seed=90)
    cat = data.chelsea()
    write_picture(root / "disc/cat.jpg", cat)
    write_picture(tmp_path / "pictures/test/square/cat.jpg", cat[:, ::-1])
    result = headstart.check(tmp_path / "pictures")
    both = ("test/square/cat.jpg", "train/disc/cat.jpg")
    for check in ("near-duplicate", "split-leak", "label-conflict"):
        sets = [tuple(sorted(i.images)) for i in result.issues if i.check == check]
        assert both in sets, check
    page = result.write_page(tmp_path / "check.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") >= 2
    assert "train/disc/cat.jpg" in page


def test_the_stranger_is_farthest_away() -> None:
    random = np.random.default_rng(0)
    features = random.normal(1.0, 0.05, (40, 8)).astype(np.float32)
    features[13] = -1.0
    assert int(neighbour_distance(features).argmax()) == 13
