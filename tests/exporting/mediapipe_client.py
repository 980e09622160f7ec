"""What an app does with MediaPipe Tasks: nothing of headstart is imported here.

Usage: python mediapipe_client.py classifier|segmenter MODEL.tflite PICTURES.npy ANSWERS.npy

``PICTURES.npy`` holds uint8 RGB (n, height, width, 3). ``ANSWERS.npy`` gets the label of each
picture (n,), or its mask (n, height, width). Labels of a segmenter are written out, one a line.
"""

from __future__ import annotations

import sys

import mediapipe
import numpy as np
from mediapipe.tasks.python import BaseOptions, vision


def classify(model, pictures):
    options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=model))
    with vision.ImageClassifier.create_from_options(options) as classifier:
        heads = [classifier.classify(picture).classifications[0] for picture in pictures]
    return np.array([head.categories[0].category_name for head in heads])


def segment(model, pictures):
    options = vision.ImageSegmenterOptions(
        base_options=BaseOptions(model_asset_path=model), output_category_mask=True
    )
    with vision.ImageSegmenter.create_from_options(options) as segmenter:
        sys.stdout.write("".join(f"{label}\n" for label in segmenter.labels))
        found = [segmenter.segment(picture).category_mask for picture in pictures]
        return np.stack([mask.numpy_view().reshape(mask.height, mask.width) for mask in found])


if __name__ == "__main__":
    task, model, pixels, answers = sys.argv[1:]
    images = [
        mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(array))
        for array in np.load(pixels)
    ]
    np.save(answers, {"classifier": classify, "segmenter": segment}[task](model, images))
