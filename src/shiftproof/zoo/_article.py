"""The networks of the article, and the dense network that its text describes.

Source: D. Soni, Translation Invariance in Convolutional Neural Networks, 2019.
"""

from __future__ import annotations

import math
from collections import OrderedDict

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


def standard_nn(image_shape: ImageShape, n_classes: int) -> nn.Sequential:
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


def dense_nn(image_shape: ImageShape, n_classes: int) -> nn.Sequential:
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


def cnn1(image_shape: ImageShape, n_classes: int) -> nn.Sequential:
    """One 5 × 5 convolution of 20 filters and one 2 × 2 max pool, then dense layers."""
    channels, height, width = image_shape
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 20, 5),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            dense1=nn.Linear(20 * _pooled(height) * _pooled(width), 100),
            relu2=nn.ReLU(),
            head=nn.Linear(100, n_classes),
        )
    )


def cnn2(image_shape: ImageShape, n_classes: int) -> nn.Sequential:
    """Two blocks of 5 × 5 convolution and 2 × 2 max pool with 20 and 40 filters, then dense layers."""
    channels, height, width = image_shape
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 20, 5),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(20, 40, 5),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            dense1=nn.Linear(40 * _pooled(_pooled(height)) * _pooled(_pooled(width)), 100),
            relu3=nn.ReLU(),
            head=nn.Linear(100, n_classes),
        )
    )


def _pooled(size_px: int) -> int:
    """Length of an axis after an unpadded 5 × 5 convolution and a 2 × 2 pool."""
    return (size_px - 4) // 2


for _spec in (
    NetworkSpec(
        "standard-nn",
        standard_nn,
        794_310,
        "dense layers at every pixel alone, then one linear layer",
        f"{ARTICLE}, stdmodel, exactly as its code builds it",
    ),
    NetworkSpec(
        "dense-nn",
        dense_nn,
        89_610,
        "784 → 100 → 100 → 10, the dense network of the text",
        f"{ARTICLE}, as its text describes the standard network; same dropout",
    ),
    NetworkSpec("cnn1", cnn1, 289_630, "one convolution + max pool", f"{ARTICLE}, modelcnn1"),
    NetworkSpec("cnn2", cnn2, 85_670, "two convolutions + max pools", f"{ARTICLE}, modelcnn2"),
):
    networks.register(_spec.name, _spec)
