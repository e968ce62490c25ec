"""Networks that differ in nothing but how often they pool, and in whether the head keeps positions.

All have the same four convolutions, which keep the size of the maps; the first K are followed by a
2 × 2 max pool. What differs between two of them is due to the pools: the size of the maps, and with it
the weights of the head, the computation, how coarsely it is known where something is, and the receptive
field of the last filters: 9, 16, 26 and 38 px for K = 0 to 3.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Literal

from torch import nn

from shiftproof.errors import ShapeError
from shiftproof.layers import GlobalMeanPool, conv2d
from shiftproof.zoo._article import ARTICLE
from shiftproof.zoo._spec import ImageShape, NetworkSpec, networks

FILTERS = (16, 32, 32, 32)
KERNEL = 3

Head = Literal["flatten", "global", "max"]
HEADS: dict[Head, str] = {
    "flatten": "every position goes",
    "global": "the mean of each map goes",
    "max": "the largest value of each map goes",
}


def _pooled(n_pools: int, head: Head, image_shape: ImageShape, n_classes: int) -> nn.Sequential:
    channels, height, width = image_shape
    smallest_px = 2**n_pools
    if min(height, width) < smallest_px:
        raise ShapeError(
            f"images of at least {smallest_px} × {smallest_px} px",
            f"{height} × {width}",
            cause=f"{n_pools} pools leave nothing of them.",
            fix="Use larger images, or fewer pools.",
        )
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for block, n_filters in enumerate(FILTERS, start=1):
        layers[f"conv{block}"] = conv2d(channels, n_filters, KERNEL, border="zeros")
        layers[f"relu{block}"] = nn.ReLU()
        channels = n_filters
        if block <= n_pools:
            layers[f"pool{block}"] = nn.MaxPool2d(2)
            height, width = height // 2, width // 2
    if head != "flatten":
        # Not `global`: torch.fx writes Python, where that is a keyword.
        layers["over_all"] = GlobalMeanPool() if head == "global" else nn.AdaptiveMaxPool2d(1)
        height = width = 1
    layers["flatten"] = nn.Flatten()
    layers["dense1"] = nn.Linear(channels * height * width, 100)
    layers["relu5"] = nn.ReLU()
    layers["head"] = nn.Linear(100, n_classes)
    return nn.Sequential(layers)


def _register(n_pools: int, head: Head, n_parameters: int) -> None:
    pools = ("no pool", "1 max pool", "2 max pools", "3 max pools")[n_pools]
    name = f"pooled-{n_pools}-{head}"
    networks.register(
        name,
        NetworkSpec(
            name,
            partial(_pooled, n_pools, head),
            n_parameters,
            f"four convolutions, {pools}; {HEADS[head]} to the dense layers",
            f"the blocks of {ARTICLE}, with 3 × 3 convolutions of {', '.join(map(str, FILTERS))} filters "
            "that keep the size of the maps, so that pools can be left out",
        ),
    )


for _n_pools, _n_parameters in enumerate((2_533_206, 651_606, 181_206, 53_206)):
    _register(_n_pools, "flatten", _n_parameters)
for _n_pools in (1, 2, 3):
    _register(_n_pools, "global", 27_606)
    _register(_n_pools, "max", 27_606)
