"""A layer with a stride as two: the same at every position, and then the stride."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from shiftproof.layers import CircularMaxPool2d

Pair = tuple[int, int]


def pair(value: Any) -> Pair:
    """(down, right) of what torch keeps as one number or two."""
    if isinstance(value, tuple | list):
        return int(value[0]), int(value[1])
    return int(value), int(value)


def stride_of(layer: nn.Module) -> Pair | None:
    """The stride of a convolution or pool; None for another layer, and where it keeps all positions."""
    if not isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        return None
    found = pair(layer.stride)
    return None if found == (1, 1) else found


def at_stride_one(layer: nn.Module) -> nn.Module | str:
    """The layer, with its weights, at every position; or why its stride cannot be taken off, in a sentence.

    Of its answer each stride-th position, from the first, is what the layer gave.
    """
    if getattr(layer, "ceil_mode", False):
        return "It rounds the size of its answer up (`ceil_mode`), which a blur does not."
    if getattr(layer, "return_indices", False):
        return "It also says where each maximum was, which a blur does not have."
    return _dense(layer)


def _dense(layer: nn.Module) -> nn.Module | str:
    """The same for layers that have no objection but a forward of their own."""
    if not (isinstance(layer, nn.Conv2d) and _has_own_forward(layer)):
        return _without_stride(layer)
    found = _found_dense(layer)
    if found is None:
        return f"What {type(layer).__name__} computes depends on its stride in a way of its own."
    return found


def _without_stride(layer: nn.Module) -> nn.Module:
    dense: Any = copy.copy(layer)
    dense.stride = 1 if isinstance(layer, nn.AvgPool2d | nn.MaxPool2d) else (1, 1)
    found: nn.Module = dense
    return found


def _has_own_forward(layer: nn.Conv2d) -> bool:
    """Whether a convolution of another library does something else than torch's."""
    kind = type(layer)
    return (kind.forward, kind._conv_forward) != (nn.Conv2d.forward, nn.Conv2d._conv_forward)


def _found_dense(layer: nn.Conv2d) -> nn.Module | None:
    """A convolution with a forward of its own at every position; None where none is found that is the same.

    Some pad by as much whatever their stride is, some by their stride. Which of the two it is shows on noise.
    """
    for dense in (_without_stride(layer), SamePadded(layer)):
        if all(_agrees_at_stride(layer, dense, odd) for odd in (0, 1)):
            return dense
    return None


@torch.no_grad()
def _agrees_at_stride(layer: nn.Conv2d, dense: nn.Module, odd: int) -> bool:
    """Whether each stride-th position of a dense answer is what the layer gives, for maps of noise."""
    steps, taps = pair(layer.stride), pair(layer.kernel_size)
    height, width = (
        2 * d * k + 4 * s + odd for d, k, s in zip(pair(layer.dilation), taps, steps, strict=True)
    )
    noise = torch.rand(1, layer.in_channels, height, width, generator=torch.Generator().manual_seed(0))
    maps = noise.to(layer.weight.device, layer.weight.dtype)
    try:
        expected, found = layer(maps), dense(maps)[:, :, :: steps[0], :: steps[1]]
    except (
        RuntimeError,
        ValueError,
        TypeError,
    ):  # Theirs may do anything with a stride that it was not given.
        return False
    return expected.shape == found.shape and torch.allclose(found, expected, rtol=1e-3, atol=1e-4)


def on_a_circle(layer: nn.Module) -> nn.Module | str:
    """The same layer at every position of maps that repeat: as many outputs as inputs; or why not.

    The first output is that of the layer's first window where the layer has no border.
    """
    assert isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d)
    if isinstance(layer.padding, str) or (isinstance(layer, nn.Conv2d) and _pads_by_itself(layer)):
        return "It pads in its own way."
    dilation = pair(getattr(layer, "dilation", 1))
    taps = tuple(d * (k - 1) for d, k in zip(dilation, pair(layer.kernel_size), strict=True))
    before = pair(layer.padding)
    after = (taps[0] - before[0], taps[1] - before[1])
    if min(after) < 0:
        return "It pads by more than its window."
    if isinstance(layer, nn.MaxPool2d) and before == (0, 0) and dilation == (1, 1) and taps[0] == taps[1]:
        return CircularMaxPool2d(taps[0] + 1)
    dense: Any = _dense(layer)
    if isinstance(dense, str):
        return dense
    if isinstance(layer, nn.Conv2d) and before == after:
        dense.padding_mode = "circular"
        dense._reversed_padding_repeated_twice = [before[1], before[1], before[0], before[0]]
        found: nn.Module = dense
        return found
    dense.padding = (0, 0) if isinstance(layer, nn.Conv2d) else 0
    return nn.Sequential(nn.CircularPad2d((before[1], after[1], before[0], after[0])), dense)


class SamePadded(nn.Module):
    """A convolution that pads by its stride so that nothing is lost at the end, at every position.

    Args:
        conv: Its weights; its own stride says how much it pads.

    Shape:
        (N, C, H, W) to (N, K, H', W'), of which each stride-th position is what `conv` gives.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.stride = pair(conv.stride)
        self.conv: Any = _without_stride(conv)

    def forward(self, maps: Tensor) -> Tensor:
        conv = self.conv
        margins: list[int] = []
        for axis in (1, 0):
            size, step = maps.shape[2 + axis], self.stride[axis]
            taps = pair(conv.dilation)[axis] * (pair(conv.kernel_size)[axis] - 1)
            total = max(0, (-(-size // step) - 1) * step + taps + 1 - size)
            margins += [total // 2, total - total // 2]
        padded = F.pad(maps, margins)
        return F.conv2d(padded, conv.weight, conv.bias, 1, 0, pair(conv.dilation), conv.groups)


def _pads_by_itself(conv: nn.Conv2d) -> bool:
    """Whether a convolution of another library pads in its `forward`; those have the word in their name."""
    return "Same" in type(conv).__name__
