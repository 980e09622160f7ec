"""Keras as its guide to transfer learning and fine-tuning recommends, on TensorFlow.

The body is called in inference mode; first the new top trains on the frozen body (Adam, 1e-3), then
everything at a low rate. Pictures are decoded once and kept in memory (``cache``), and augmented by
the guide's layers (flip, small rotation).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import protocol

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

with protocol.importing():
    import keras
    import tensorflow as tf
    from keras import layers
    from lite0 import efficientnet_lite0

SIZE, SHORTER_SIDE = 224, 256
BATCH = 32
HEAD_LR = 1e-3


class EveryEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Scores the test split after every epoch, with the clock standing still.

    Args:
        clock: of the job.
        test: the test split.
    """

    def __init__(self, clock: protocol.Clock, test: Any) -> None:
        super().__init__()
        self._clock, self._test = clock, test

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stops in the middle of an epoch when the time is up."""
        self._clock.check()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Reports the accuracy."""
        with self._clock.paused():
            right = seen = 0
            for pictures, numbers in self._test:
                found = self.model.predict_on_batch(pictures).argmax(axis=1)
                right += int((found == numbers.numpy()).sum())
                seen += len(found)
            protocol.say("epoch", seconds=self._clock.seconds, accuracy=right / seen)
        self._clock.check()


def main() -> None:
    """Does the job on standard input."""
    job = protocol.read_job()
    keras.utils.set_random_seed(job["seed"])
    clock = protocol.Clock(job["limit"])
    options = job["options"]
    classes = sorted({label for _, label in job["train"]})
    body = efficientnet_lite0(job["weights"])
    with clock.paused():
        features = body.predict_on_batch(protocol.checked_picture().astype("float32"))
        protocol.say_weights(features.mean(axis=(1, 2))[0])
    inputs = keras.Input((SIZE, SIZE, 3))
    moved = layers.RandomRotation(0.1)(layers.RandomFlip("horizontal")(inputs))
    pooled = layers.GlobalAveragePooling2D()(body(moved, training=False))
    outputs = layers.Dense(len(classes))(layers.Dropout(0.2)(pooled))
    model = keras.Model(inputs, outputs)
    train = pictures_of(job["train"], classes).cache()
    train = train.shuffle(len(job["train"]), seed=job["seed"]).batch(BATCH).prefetch(1)
    test = pictures_of(job["test"], classes).batch(BATCH).prefetch(1)
    every = EveryEpoch(clock, test)
    with protocol.training(clock, "keras", "tensorflow-cpu", "numpy"):
        body.trainable = False
        fit(model, train, options["frozen_epochs"], HEAD_LR, every)
        if options["epochs"]:
            body.trainable = True
            fit(model, train, options["epochs"], options["lr"], every)


def fit(model: Any, train: Any, epochs: int, lr: float, every: EveryEpoch) -> None:
    """One phase; compiled anew, because what is trainable has changed."""
    model.compile(
        keras.optimizers.Adam(lr),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        # The default compiles each phase with XLA: a minute or more that few pictures never earn.
        jit_compile=False,
    )
    model.fit(train, epochs=epochs, callbacks=[every], verbose=0)


def pictures_of(rows: Sequence[Sequence[str]], classes: Sequence[str]) -> Any:
    """Middles of pictures (224, 224, 3), float32 in 0..255, with the numbers of their classes."""
    numbers = [classes.index(label) for _, label in rows]
    table = tf.data.Dataset.from_tensor_slices(([path for path, _ in rows], numbers))

    def read(path: Any, number: Any) -> tuple[Any, Any]:
        whole = tf.io.decode_image(tf.io.read_file(path), channels=3, expand_animations=False)
        sides = tf.cast(tf.shape(whole)[:2], tf.float32)
        scaled = tf.cast(tf.round(sides * SHORTER_SIDE / tf.reduce_min(sides)), tf.int32)
        resized = tf.image.resize(whole, scaled, antialias=True)
        middle = tf.image.resize_with_crop_or_pad(resized, SIZE, SIZE)
        return tf.ensure_shape(middle, (SIZE, SIZE, 3)), number

    return table.map(read, num_parallel_calls=tf.data.AUTOTUNE)


if __name__ == "__main__":
    main()
