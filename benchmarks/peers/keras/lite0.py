"""EfficientNet-Lite0 in Keras, filled with the weights of timm's ``tf_efficientnet_lite0``.

Keras has no Lite variants of its own. The network came from TensorFlow, so that Keras's "same"
padding is the one that it was trained with.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers
from safetensors.numpy import load_file

# (kernel, stride, expansion, channels, blocks) of each stage: M. Tan and Q. Le, "EfficientNet",
# ICML 2019, table 1, without squeeze-and-excitation and with ReLU6 in the Lite variants.
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
STEM, TOP = 32, 1280
EPSILON = 1e-3


def efficientnet_lite0(weights: str) -> keras.Model:
    """The body, from pixels (n, 224, 224, 3) in 0..255 to its last feature map (n, 7, 7, 1280).

    Args:
        weights: safetensors file with timm's keys.
    """
    inputs = keras.Input((224, 224, 3))
    features = layers.Rescaling(1 / 127.5, offset=-1.0)(inputs)
    features = _convolution(features, STEM, 3, 2, "conv_stem", "bn1")
    for stage, (kernel, stride, expansion, channels, blocks) in enumerate(STAGES):
        for number in range(blocks):
            step = stride if number == 0 else 1
            name = f"blocks-{stage}-{number}"
            features = _block(features, (kernel, step, expansion, channels), name)
    features = _convolution(features, TOP, 1, 1, "conv_head", "bn2")
    model = keras.Model(inputs, features)
    _fill(model, load_file(weights))
    return model


def _convolution(
    features: Any, channels: int, kernel: int, stride: int, name: str, norm: str, act: bool = True
) -> Any:
    convolution = layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False, name=name)
    features = layers.BatchNormalization(epsilon=EPSILON, name=norm)(convolution(features))
    return layers.ReLU(6.0)(features) if act else features


def _block(features: Any, shape: tuple[int, int, int, int], name: str) -> Any:
    """An inverted residual; without expansion a depthwise separable convolution."""
    kernel, stride, expansion, channels = shape
    before, inside = features, features.shape[-1] * expansion
    last, norms = ("conv_pwl", ("bn2", "bn3")) if expansion > 1 else ("conv_pw", ("bn1", "bn2"))
    if expansion > 1:
        features = _convolution(features, inside, 1, 1, f"{name}-conv_pw", f"{name}-bn1")
    features = layers.DepthwiseConv2D(
        kernel, stride, padding="same", use_bias=False, name=f"{name}-conv_dw"
    )(features)
    features = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}-{norms[0]}")(features)
    features = layers.ReLU(6.0)(features)
    features = _convolution(
        features, channels, 1, 1, f"{name}-{last}", f"{name}-{norms[1]}", act=False
    )
    if stride == 1 and before.shape[-1] == channels:
        features = layers.Add()([before, features])
    return features


def _fill(model: keras.Model, stored: dict[str, Any]) -> None:
    """Every weight of the file but the classifier's, each into the layer of its name."""
    used = set()

    def take(key: str) -> Any:
        used.add(key)
        return stored[key]

    for layer in model.layers:
        key = layer.name.replace("-", ".")
        if isinstance(layer, layers.DepthwiseConv2D):
            layer.set_weights([take(f"{key}.weight").transpose(2, 3, 0, 1)])
        elif isinstance(layer, layers.Conv2D):
            layer.set_weights([take(f"{key}.weight").transpose(2, 3, 1, 0)])
        elif isinstance(layer, layers.BatchNormalization):
            names = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([take(f"{key}.{name}") for name in names])
    left = {
        key for key in stored if not key.startswith("classifier") and "num_batches" not in key
    } - used
    if left:
        raise ValueError(f"weights that found no layer: {sorted(left)}")
