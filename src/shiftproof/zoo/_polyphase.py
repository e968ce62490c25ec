"""cnn2 on a circle, with strides that follow the image: exact for every circular shift by whole pixels."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from torch import nn

from shiftproof.errors import ShapeError
from shiftproof.layers import (
    AdaptivePolyphase2d,
    CircularMaxPool2d,
    GlobalMeanPool,
    LearnedPolyphase2d,
    Polyphase2d,
    conv2d,
)
from shiftproof.zoo._article import ARTICLE
from shiftproof.zoo._spec import ImageShape, NetworkSpec, networks

APS = "Chaman and Dokmanić 2021, arXiv:2011.14214 (APS)"
LPS = "Rojas-Gomez, Lim, Schwing, Do and Yeh 2022, arXiv:2210.08001 (LPS)"
HIDDEN = 8

# From the number of channels to a stride of 2.
Stride = Callable[[int], Polyphase2d]


def adaptive(channels: int) -> Polyphase2d:
    """The strongest phase, in the l2 norm."""
    return AdaptivePolyphase2d()


def learned(channels: int) -> Polyphase2d:
    """The phase that a network of 8 filters likes best."""
    return LearnedPolyphase2d(channels, HIDDEN)


def check_halved_twice(image_shape: ImageShape) -> None:
    """Raise `ShapeError` if a network that halves its maps twice cannot keep all shifts of such images."""
    if any(size_px % 4 for size_px in image_shape[1:]):
        raise ShapeError(
            "images whose height and width are multiples of 4 px",
            f"{image_shape[1]} × {image_shape[2]}",
            cause="The network halves its maps twice, and only maps of even size have phases of one size.",
            fix="Crop or pad the images, or use cnn2-blur or cnn2-gap.",
        )


def _cnn2(stride: Stride, image_shape: ImageShape, n_classes: int) -> nn.Sequential:
    check_halved_twice(image_shape)
    channels = image_shape[0]
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for block, n_filters in enumerate((20, 40), start=1):
        layers[f"conv{block}"] = conv2d(channels, n_filters, 5, border="circular")
        layers[f"relu{block}"] = nn.ReLU()
        layers[f"max{block}"] = CircularMaxPool2d(2)
        layers[f"phase{block}"] = stride(n_filters)
        channels = n_filters
    layers["mean"] = GlobalMeanPool()
    layers["dense1"] = nn.Linear(channels, 100)
    layers["relu3"] = nn.ReLU()
    layers["head"] = nn.Linear(100, n_classes)
    return nn.Sequential(layers)


for _spec in (
    NetworkSpec(
        "cnn2-aps",
        partial(_cnn2, adaptive),
        25_670,
        "cnn2 on a circle, strides keep the strongest phase: exact for every circular shift",
        f"{APS}, in modelcnn2 of {ARTICLE}; max pools without their stride before it; takes the weights of "
        "cnn2-circular",
    ),
    NetworkSpec(
        "cnn2-lps",
        partial(_cnn2, learned),
        31_174,
        "cnn2 on a circle, strides learn which phase to keep: exact for every circular shift",
        f"{LPS}, in modelcnn2 of {ARTICLE}; 8 hidden filters, a softmax without noise in training",
    ),
):
    networks.register(_spec.name, _spec)
