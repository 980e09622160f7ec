"""The Python API in a process that starts from nothing, as all do on Windows and macOS."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import headstart
from pictures import write_class_folders


def test_train_evaluate_and_predict_work_in_a_spawned_process(tmp_path: Path) -> None:
    data = write_class_folders(tmp_path / "photos", {"disc": 10, "square": 10})
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        settings = {"image_size": 32, "views": 1, "freeze_epochs": 1, "epochs": 1}
        run = pool.submit(headstart.train, data, out=tmp_path / "run", **settings).result()
        scores = pool.submit(headstart.evaluate, run.model, data).result()
    assert run.report.is_file()
    assert run.metrics["task"] == "classification"
    assert scores.n_images + scores.n_seen == 20
