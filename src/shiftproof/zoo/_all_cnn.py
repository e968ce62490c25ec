"""Convolutional networks without pools: what makes the maps smaller is a convolution with a stride.

Source: J. T. Springenberg, A. Dosovitskiy, T. Brox, M. Riedmiller, Striving for Simplicity: The All
Convolutional Net, 2015, arXiv:1412.6806.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from shiftproof.errors import ShapeError
from shiftproof.layers import StridedConvPool2d
from shiftproof.zoo._article import ARTICLE
from shiftproof.zoo._spec import ImageShape, NetworkSpec, networks

PAPER = "Springenberg, Dosovitskiy, Brox and Riedmiller 2015, arXiv:1412.6806"

# The paper drops 0.2 of the input. Training draws dropout from random bits, in steps of 1/256.
INPUT_DROPOUT = 51 / 256


def _all_cnn(image_shape: ImageShape, n_classes: int) -> nn.Sequential:
    """All-CNN-C, layer by layer: 28 → 14 → 7 → 5 px here where 32 → 16 → 8 → 6 px was published."""
    channels, height, width = image_shape
    if min(height, width) < 9:  # 9 → 5 → 3 → 1 px
        raise ShapeError(
            "images of at least 9 × 9 px",
            f"{height} × {width}",
            cause="The last 3 × 3 convolution of all-cnn has no padding, at a quarter of their size.",
            fix="Use larger images, or another network.",
        )
    layers: OrderedDict[str, nn.Module] = OrderedDict(dropout0=nn.Dropout(INPUT_DROPOUT))
    for block, n_filters in enumerate((96, 192), start=1):
        for name in (f"{block}a", f"{block}b"):
            layers[f"conv{name}"] = nn.Conv2d(channels, n_filters, 3, padding=1)
            layers[f"relu{name}"] = nn.ReLU()
            channels = n_filters
        layers[f"down{block}"] = StridedConvPool2d(channels)
        layers[f"dropout{block}"] = nn.Dropout(0.5)
    layers["conv3"] = nn.Conv2d(channels, channels, 3)
    layers["relu3"] = nn.ReLU()
    layers["conv4"] = nn.Conv2d(channels, channels, 1)
    layers["relu4"] = nn.ReLU()
    layers["head"] = nn.Conv2d(channels, n_classes, 1)
    layers["mean"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    return nn.Sequential(layers)


def _strided_cnn(image_shape: ImageShape, n_classes: int) -> nn.Sequential:
    """cnn2 without its pools: each 5 × 5 convolution takes steps of 2 px itself."""
    channels, height, width = image_shape
    if min(height, width) < 13:  # 13 → 5 → 1 px
        raise ShapeError(
            "images of at least 13 × 13 px",
            f"{height} × {width}",
            cause="Two 5 × 5 convolutions with a stride of 2 leave nothing of them.",
            fix="Use larger images, or another network.",
        )
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for block, n_filters in enumerate((20, 40), start=1):
        layers[f"conv{block}"] = nn.Conv2d(channels, n_filters, 5, stride=2)
        layers[f"relu{block}"] = nn.ReLU()
        channels, height, width = n_filters, (height - 3) // 2, (width - 3) // 2
    layers["flatten"] = nn.Flatten()
    layers["dense1"] = nn.Linear(channels * height * width, 100)
    layers["relu3"] = nn.ReLU()
    layers["head"] = nn.Linear(100, n_classes)
    return nn.Sequential(layers)


for _spec in (
    NetworkSpec(
        "all-cnn",
        _all_cnn,
        1_368_010,
        "All-CNN-C for 28 × 28: nine convolutions, two with stride 2, global mean",
        f"{PAPER}, All-CNN-C; ours takes 28 × 28 grey images for 32 × 32 × 3, so that the mean is over 5 × 5 "
        "px for 6 × 6, drops 51/256 of the input for 0.2, and has no ReLU on the class maps",
    ),
    NetworkSpec(
        "strided-cnn",
        _strided_cnn,
        85_670,
        "cnn2 with a stride of 2 in each convolution in place of its pool",
        f"{PAPER}, its rule for a Strided-CNN applied to modelcnn2, {ARTICLE}",
    ),
):
    networks.register(_spec.name, _spec)
