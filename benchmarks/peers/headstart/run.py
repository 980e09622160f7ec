"""headstart through its Python API, as a peer among the others.

Runs in the own environment of the project, with an empty cache and state. Its one point of accuracy
over time is the end of ``train``: decoding, stored views, both phases, export, verification,
the test scores and the report are all on the clock. Kinds of jobs: ``train`` and ``predict``.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import protocol

with protocol.importing():
    import headstart
    import headstart.jobs.train_job
    from headstart.models.backbones import load_backbone

PACKAGES = ("torch", "torchvision", "timm", "pillow", "onnxruntime", "numpy")


def main() -> None:
    """Does the job on standard input."""
    job = protocol.read_job()
    clock = protocol.Clock(job["limit"])
    if job["kind"] == "predict":
        predict(job)
        return
    with clock.paused():
        show_weights()
    result = headstart.train(
        job["data"], out=Path(job["work"]) / "run", seed=job["seed"], **job["options"]
    )
    found = result.metrics["metrics"]["accuracy"]["value"]
    seconds = clock.seconds
    protocol.say("epoch", seconds=seconds, accuracy=found)
    stages = {name: spent for name, spent in result.metrics["timing_s"].items() if name != "total"}
    stages["other"] = seconds - sum(stages.values())
    versions = {"headstart": headstart.__version__, **protocol.versions(*PACKAGES)}
    protocol.say(
        "end",
        seconds=seconds,
        censored=False,
        stages=stages,
        versions=versions,
        run=str(result.run),
    )


def show_weights() -> None:
    """Reports what the backbone makes of the checked picture."""
    import torch

    with torch.inference_mode():
        maps = load_backbone("efficientnet_lite0")(torch.from_numpy(protocol.checked_picture()))
    protocol.say_weights(maps.mean(dim=(2, 3))[0])


def predict(job: dict[str, Any]) -> None:
    """Times bulk ``predict`` over the files of the test split."""
    model = headstart.load_model(job["options"]["model"])
    files = [path for path, _ in job["test"]]
    for _ in range(job["options"].get("rounds", 1)):
        start = time.perf_counter()
        found = sum(answer.prediction is not None for answer in headstart.predict(model, files))
        protocol.say("predicted", seconds=time.perf_counter() - start, pictures=found)
    protocol.say("end", seconds=0.0, censored=False, versions=protocol.versions(*PACKAGES))


if __name__ == "__main__":
    main()
