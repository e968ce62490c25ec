"""Convolution, ReLU and max pool in another order: the pool first."""

from __future__ import annotations

from collections.abc import Callable

from numpy.random import BitGenerator
from torch import Tensor, nn


def conv_pool_stage(
    conv: nn.Conv2d, relu: nn.ReLU, pool: nn.MaxPool2d
) -> Callable[[Tensor, BitGenerator], Tensor] | None:
    return lambda features, bits: relu(pool(conv(features)))
