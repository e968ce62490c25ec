"""One layer replaced by one that is known to lose less, in a copy of the network, without training."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from torch import nn

from shiftproof.explain._watching import OneLayer
from shiftproof.layers import AliasFreeActivation, BlurPool2d
from shiftproof.records import Cause

ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.Hardswish)


@dataclass(frozen=True, eq=False, slots=True)
class Swap:
    """A copy of a network with another layer in one place.

    Args:
        network: The copy.
        replacement: What it has there now, for a sentence.
    """

    network: nn.Module
    replacement: str


def swapped(network: nn.Module, path: str, cause: Cause, channels: int) -> Swap | None:
    """A copy in which what this layer loses by this cause should shrink; None where no layer fits.

    The answer of the other layer has the same shape, and the weights are those that are there.

    Args:
        network: Stays as it is.
        path: Of a layer that is called once and gives maps (N, C, H, W).
        cause: What it loses most by.
        channels: Of its answer.
    """
    found = _found(network, path, cause, channels)
    if found is None:
        return None
    try:
        other = copy.deepcopy(network)
    except (AttributeError, RuntimeError, TypeError):  # A module may refuse to be copied.
        return None
    replacement, name = found
    parent, _, own = path.rpartition(".")
    device = next((tensor.device for tensor in network.parameters()), None)
    setattr(other.get_submodule(parent), own, replacement.to(device).eval())
    return Swap(other, name)


def replacement_of(network: nn.Module, path: str, cause: Cause, channels: int) -> str | None:
    """What `swapped` would put there, for a sentence; None where no layer fits."""
    found = _found(network, path, cause, channels)
    return None if found is None else found[1]


def _found(network: nn.Module, path: str, cause: Cause, channels: int) -> tuple[nn.Module, str] | None:
    try:
        return _replacement(network.get_submodule(path), cause, channels)
    except (AttributeError, RuntimeError, TypeError):  # A module may refuse to be copied.
        return None


def _replacement(layer: nn.Module, cause: Cause, channels: int) -> tuple[nn.Module, str] | None:
    if cause == "downsampling":
        return _with_blur(layer, channels)
    if cause == "border" and type(layer) is nn.Conv2d and layer.padding_mode == "zeros":
        around = copy.deepcopy(layer)
        around.padding_mode = "circular"
        return around, "circular padding"
    if cause == "non-linearity" and type(layer) in ACTIVATIONS:
        activation = copy.deepcopy(layer)
        if hasattr(activation, "inplace"):
            vars(activation)["inplace"] = False
        return AliasFreeActivation(activation), "AliasFreeActivation"
    return None


def _with_blur(layer: nn.Module, channels: int) -> tuple[nn.Module, str] | None:
    """The same at every position, then a blur and the stride."""
    if type(layer) not in (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d) or getattr(layer, "ceil_mode", False):
        return None
    strides: Any = layer.stride
    down, right = strides if isinstance(strides, tuple) else (strides, strides)
    if max(down, right) == 1:
        return None
    dense: Any = copy.deepcopy(layer)
    dense.stride = (1, 1)
    blur = BlurPool2d(channels, stride=(down, right))
    name = "MaxBlurPool2d" if isinstance(layer, nn.MaxPool2d) else "stride 1 and then BlurPool2d"
    return OneLayer(dense, blur), name
