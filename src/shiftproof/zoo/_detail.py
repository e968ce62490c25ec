"""The article's second network with detail-preserving pools in place of max pools."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from shiftproof.layers import DetailPreservingPool2d
from shiftproof.zoo._article import ARTICLE
from shiftproof.zoo._spec import ImageShape, NetworkSpec, networks


def _cnn2_dpp(image_shape: ImageShape, n_classes: int) -> nn.Sequential:
    channels, height, width = image_shape
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for block, n_filters in enumerate((20, 40), start=1):
        layers[f"conv{block}"] = nn.Conv2d(channels, n_filters, 5)
        layers[f"relu{block}"] = nn.ReLU()
        layers[f"pool{block}"] = DetailPreservingPool2d(n_filters)
        channels, height, width = n_filters, (height - 4) // 2, (width - 4) // 2
    layers["flatten"] = nn.Flatten()
    layers["dense1"] = nn.Linear(channels * height * width, 100)
    layers["relu3"] = nn.ReLU()
    layers["head"] = nn.Linear(100, n_classes)
    return nn.Sequential(layers)


networks.register(
    "cnn2-dpp",
    NetworkSpec(
        "cnn2-dpp",
        _cnn2_dpp,
        85_790,
        "cnn2 with detail-preserving pools (lite, symmetric)",
        f"Saeedan, Weber, Goesele and Roth 2018, arXiv:1804.04076, for the pools of modelcnn2, {ARTICLE}",
    ),
)
