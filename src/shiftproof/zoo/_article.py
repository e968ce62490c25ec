"""The networks of the article, and the dense network that its text describes.

Source: D. Soni, Translation Invariance in Convolutional Neural Networks, 2019.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from functools import partial

from torch import Tensor, nn

from shiftproof.zoo._spec import ImageShape, NetworkSpec, networks

ARTICLE = "D. Soni, Translation Invariance in Convolutional Neural Networks, 2019"


class PixelRows(nn.Module):
    """(N, C, H, W) to (N, H·W, C): each pixel becomes a row, as in Keras' channels-last layout.

    Example:
        >>> import torch
        >>> PixelRows()(torch.zeros(2, 3, 4, 5)).shape
        torch.Size([2, 20, 3])
    """

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(2).transpose(1, 2)


def _standard_nn(image_shape: ImageShape, n_classes: int) -> nn.Sequential:
    """The article's "standard NN" as its code builds it: dense layers applied to every pixel alone.

    Keras applies `Dense` to the last axis. With an input of shape (28, 28, 1) that is the channel
    axis: 1 → 100 → 100 at each of 784 pixels, then one linear layer on all 78,400 features.
    """
    channels, height, width = image_shape
    return nn.Sequential(
        OrderedDict(
            pixels=PixelRows(),
            dense1=nn.Linear(channels, 100),
            relu1=nn.ReLU(),
            dropout1=nn.Dropout(0.5),
            dense2=nn.Linear(100, 100),
            relu2=nn.ReLU(),
            dropout2=nn.Dropout(0.25),
            flatten=nn.Flatten(),
            head=nn.Linear(height * width * 100, n_classes),
        )
    )


def _dense_nn(image_shape: ImageShape, n_classes: int) -> nn.Sequential:
    """The dense network that the article's text describes: 28·28·100 weights in its first layer."""
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            dense1=nn.Linear(math.prod(image_shape), 100),
            relu1=nn.ReLU(),
            dropout1=nn.Dropout(0.5),
            dense2=nn.Linear(100, 100),
            relu2=nn.ReLU(),
            dropout2=nn.Dropout(0.25),
            head=nn.Linear(100, n_classes),
        )
    )


def _cnn(filters: tuple[int, ...], image_shape: ImageShape, n_classes: int) -> nn.Sequential:
    """For each number of filters a 5 × 5 convolution, ReLU and a 2 × 2 max pool; then dense layers."""
    channels, height, width = image_shape
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for block, n_filters in enumerate(filters, start=1):
        layers[f"conv{block}"] = nn.Conv2d(channels, n_filters, 5)
        layers[f"relu{block}"] = nn.ReLU()
        layers[f"pool{block}"] = nn.MaxPool2d(2)
        channels, height, width = n_filters, (height - 4) // 2, (width - 4) // 2
    layers["flatten"] = nn.Flatten()
    layers["dense1"] = nn.Linear(channels * height * width, 100)
    layers[f"relu{len(filters) + 1}"] = nn.ReLU()
    layers["head"] = nn.Linear(100, n_classes)
    return nn.Sequential(layers)


for _spec in (
    NetworkSpec(
        "standard-nn",
        _standard_nn,
        794_310,
        "dense layers at every pixel alone, then one linear layer",
        f"{ARTICLE}, stdmodel, exactly as its code builds it",
    ),
    NetworkSpec(
        "dense-nn",
        _dense_nn,
        89_610,
        "784 → 100 → 100 → 10, the dense network of the text",
        f"{ARTICLE}, as its text describes the standard network; same dropout",
    ),
    NetworkSpec("cnn1", partial(_cnn, (20,)), 289_630, "one convolution + max pool", f"{ARTICLE}, modelcnn1"),
    NetworkSpec(
        "cnn2", partial(_cnn, (20, 40)), 85_670, "two convolutions + max pools", f"{ARTICLE}, modelcnn2"
    ),
):
    networks.register(_spec.name, _spec)
