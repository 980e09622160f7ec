"""The honest small rival: pooled features of every picture once, then logistic regression.

What anybody can write in 60 lines: the same weights, the middle of each picture, no augmentation,
scikit-learn's multinomial logistic regression on standardised features. Pictures are decoded by
threads while the network works. Options: ``engine`` is ``torch`` (channels_last, bfloat16 autocast
where the processor has it) or ``openvino`` (its own default precision); ``penalty`` is ``default``
(C = 1) or ``cv`` (chosen by 5-fold cross-validation).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import protocol

with protocol.importing():
    import numpy as np
    import timm
    import torch
    from PIL import Image
    from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from torch import nn

ARCHITECTURE = "tf_efficientnet_lite0"
SIZE, SHORTER_SIDE = 224, 256
BATCH = 32
PENALTIES = np.logspace(-4, 0, 5)

Run = Callable[[Any], Any]


class Pooled(nn.Module):
    """From uint8 RGB pictures (n, 224, 224, 3) to pooled features (n, channels)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Normalises to -1..1 first."""
        inputs = pictures.permute(0, 3, 1, 2).float() / 127.5 - 1
        return self.body(inputs).mean(dim=(2, 3))


def main() -> None:
    """Does the job on standard input."""
    job = protocol.read_job()
    clock = protocol.Clock(job["limit"])
    options = job["options"]
    body = timm.create_model(
        ARCHITECTURE,
        pretrained=True,
        pretrained_cfg_overlay={"file": job["weights"]},
        num_classes=0,
        global_pool="",
    )
    model = Pooled(body).eval().to(memory_format=torch.channels_last)
    with clock.paused(), torch.inference_mode():
        protocol.say_weights(model(torch.from_numpy(protocol.checked_picture()))[0])
    stages = {}
    run = open_engine(model, options["engine"])
    stages["open engine"] = clock.seconds
    features = features_of([*job["train"], *job["test"]], run)
    stages["features"] = clock.seconds - sum(stages.values())
    labels = [label for _, label in job["train"]]
    n_train = len(labels)
    classifier = make_pipeline(StandardScaler(), regression(options["penalty"]))
    classifier.fit(features[:n_train], labels)
    stages["regression"] = clock.seconds - sum(stages.values())
    tested = [label for _, label in job["test"]]
    found = float(classifier.score(features[n_train:], tested))
    # Here the test pictures are on the clock, as in headstart, whose time includes its test scores.
    protocol.say("epoch", seconds=clock.seconds, accuracy=found)
    packages = ("torch", "timm", "scikit-learn", "pillow", "openvino", "numpy")
    protocol.say(
        "end",
        seconds=clock.seconds,
        censored=False,
        stages=stages,
        versions=protocol.versions(*packages),
    )


def regression(penalty: str) -> LogisticRegression | LogisticRegressionCV:
    """With scikit-learn's own penalty, or one that is chosen by cross-validation."""
    if penalty == "default":
        return LogisticRegression(max_iter=1000)
    return LogisticRegressionCV(
        Cs=PENALTIES,
        l1_ratios=(0.0,),
        scoring="accuracy",
        use_legacy_attributes=False,
        max_iter=1000,
    )


def open_engine(model: Pooled, name: str) -> Run:
    """A function from pictures (BATCH, 224, 224, 3), uint8, to features (BATCH, channels)."""
    if name == "torch":

        def run_torch(pictures: Any) -> Any:
            with torch.inference_mode(), protocol.autocast():
                return model(torch.from_numpy(pictures)).float().numpy()

        return run_torch
    import io

    import openvino

    example = torch.zeros((BATCH, SIZE, SIZE, 3), dtype=torch.uint8)
    program = torch.onnx.export(model, (example,), dynamo=True, verbose=False)
    graph = io.BytesIO()
    program.save(graph)
    core = openvino.Core()
    # The hint for one caller at a time: all cores work on one batch.
    compiled = core.compile_model(
        core.read_model(graph.getvalue(), b""), "CPU", {"PERFORMANCE_HINT": "LATENCY"}
    )
    return lambda pictures: np.array(compiled([pictures])[0], dtype=np.float32)


def features_of(rows: Sequence[Sequence[str]], run: Run) -> Any:
    """Pooled features (n, channels), float32."""
    parts = []
    for pictures, used in batches([path for path, _ in rows]):
        parts.append(run(pictures)[:used])
    return np.concatenate(parts)


def batches(paths: Sequence[str]) -> Iterator[tuple[Any, int]]:
    """Batches of one fixed shape and how much of each is used; decoded one batch ahead."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        chunks = [paths[at : at + BATCH] for at in range(0, len(paths), BATCH)]
        waiting = [pool.submit(read, path) for path in chunks[0]]
        for following in [*chunks[1:], []]:
            ready, waiting = waiting, [pool.submit(read, path) for path in following]
            batch = np.zeros((BATCH, SIZE, SIZE, 3), dtype=np.uint8)
            for position, future in enumerate(ready):
                batch[position] = future.result()
            yield batch, len(ready)


def read(path: str) -> Any:
    """The middle of a picture (224, 224, 3), uint8, RGB."""
    with Image.open(path) as picture:
        picture.draft("RGB", (SHORTER_SIDE, SHORTER_SIDE))
        scale = SHORTER_SIDE / min(picture.size)
        sides = [round(side * scale) for side in picture.size]
        whole = picture.convert("RGB").resize(sides, Image.Resampling.BILINEAR)
    left, top = ((side - SIZE) // 2 for side in sides)
    return np.asarray(whole.crop((left, top, left + SIZE, top + SIZE)))


if __name__ == "__main__":
    main()
