"""Read convolutions and pools: the same function of the neighbourhood of each position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import reduce
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from shiftproof.dense._operations import Maps, Operation, Pair, Rows, Slide, Unknown

Arguments = dict[str, Any]
Reading = tuple[Operation, Maps | Rows | None]


def read_slide(name: str, arguments: Arguments, maps: Maps, shape: tuple[int, ...] | None) -> Reading | None:
    """A convolution, pool or global reduction; None where it is none of those."""
    read = _READERS.get(name)
    return None if read is None else read(arguments, maps, shape)


def _convolution(arguments: Arguments, maps: Maps, shape: tuple[int, ...] | None) -> Reading | None:
    weight, bias, mode = arguments["weight"], arguments.get("bias"), arguments.get("padding_mode", "zeros")
    if not isinstance(weight, Tensor) or not isinstance(bias, Tensor | None) or maps.axes != "nchw":
        return None
    weight = weight.detach().contiguous(memory_format=torch.channels_last)
    bias = None if bias is None else bias.detach()
    kernel, groups = (weight.shape[2], weight.shape[3]), arguments.get("groups", 1)
    stride = _steps(_pair(arguments.get("stride", 1)), shape)
    dilation = _pair(arguments.get("dilation", 1))
    padding = arguments.get("padding", 0)
    if padding == "same":  # An odd total leaves one more on the far side.
        padding = tuple(-(-d * (k - 1) // 2) for k, d in zip(kernel, dilation, strict=True))
    slide = Slide(
        lambda features: F.conv2d(features, weight, bias, stride, 0, dilation, groups),
        kernel,
        stride,
        dilation,
        (0, 0) if padding == "valid" else _pair(padding),
        wraps=mode == "circular",
        multiply_adds=weight.numel(),
    )
    return _slid(slide, maps, shape, len(weight))


def _max_pool(arguments: Arguments, maps: Maps, shape: tuple[int, ...] | None) -> Reading | None:
    if arguments.get("return_indices") or maps.axes != "nchw":
        return None
    kernel, stride = _pool_window(arguments, shape)
    dilation = _pair(arguments.get("dilation", 1))
    pool = _max_of(kernel, stride, dilation)
    return _slid(Slide(pool, kernel, stride, dilation, _pair(arguments.get("padding", 0))), maps, shape)


def _avg_pool(arguments: Arguments, maps: Maps, shape: tuple[int, ...] | None) -> Reading | None:
    if maps.axes != "nchw":
        return None
    kernel, stride = _pool_window(arguments, shape)
    divisor = arguments.get("divisor_override")
    pool = _mean_of(kernel, stride, divisor)
    return _slid(Slide(pool, kernel, stride, padding=_pair(arguments.get("padding", 0))), maps, shape)


def _pool_window(arguments: Arguments, shape: tuple[int, ...] | None) -> tuple[Pair, Pair]:
    kernel = _pair(arguments["kernel_size"])
    stride = arguments.get("stride")
    return kernel, _steps(_pair(stride) if stride not in (None, []) else kernel, shape)


def _steps(stride: Pair, shape: tuple[int, ...] | None) -> Pair:
    """The stride, but 1 along an axis with a single position, from which there is no step."""
    if shape is None:
        return stride
    down, right = (1 if size == 1 else step for step, size in zip(stride, shape[2:], strict=True))
    return down, right


def _adaptive(
    pool: Callable[[Pair, Pair], Callable[[Tensor], Tensor]],
) -> Callable[[Arguments, Maps, tuple[int, ...] | None], Reading | None]:
    def read(arguments: Arguments, maps: Maps, shape: tuple[int, ...] | None) -> Reading | None:
        if shape is None or arguments.get("return_indices") or maps.axes != "nchw":
            return None
        height, width = shape[2:]
        if maps.height % height or maps.width % width:
            return Unknown("Its windows differ in size from position to position."), None
        kernel = (maps.height // height, maps.width // width)
        stride = _steps(kernel, shape)
        return _slid(Slide(pool(kernel, stride), kernel, stride), maps, shape)

    return read


def _reduction(
    pool: Callable[[Pair, Pair], Callable[[Tensor], Tensor]],
) -> Callable[[Arguments, Maps, tuple[int, ...] | None], Reading | None]:
    """A mean or maximum over all positions."""

    def read(arguments: Arguments, maps: Maps, shape: tuple[int, ...] | None) -> Reading | None:
        dim = arguments.get("dim")
        if shape is None or dim is None or set(arguments) - {"dim", "keepdim"}:
            return None
        dims = (dim,) if isinstance(dim, int) else tuple(dim)
        if {maps.axes[d] for d in dims} not in ({"h", "w"}, {"l"}):
            return Unknown("It reduces over other axes than all positions."), None
        kernel = (maps.height, maps.width)
        point = replace(maps, height=1, width=1)
        kept: Maps | Rows = point if arguments.get("keepdim") else Rows(maps.channels, point)
        return Slide(pool(kernel, (1, 1)), kernel, (1, 1)), kept

    return read


def _slid(slide: Slide, maps: Maps, shape: tuple[int, ...] | None, channels: int | None = None) -> Reading:
    """The slide with the maps it leaves; their size is what the network was seen to give."""
    (height, width), channels = shape[2:] if shape else (maps.height, maps.width), channels or maps.channels
    if not any(slide.padding) and not _fits(slide, (maps.height, maps.width), (height, width)):
        return Unknown("It rounds sizes up, so that its last position sees less."), None
    strides = zip(maps.stride, slide.stride, strict=True)
    down, right = (before * own for before, own in strides)
    return slide, replace(maps, channels=channels, height=height, width=width, stride=(down, right))


def _fits(slide: Slide, before: Pair, after: Pair) -> bool:
    """Whether every position of the answer sees a whole neighbourhood."""
    axes = zip(before, after, slide.extent, slide.stride, strict=True)
    return all((size - 1) * stride + extent <= n for n, size, extent, stride in axes)


def _pair(size: Any) -> Pair:
    if isinstance(size, int):
        return size, size
    first, *rest = size
    return first, rest[0] if rest else first


def _max_of(kernel: Pair, stride: Pair, dilation: Pair = (1, 1)) -> Callable[[Tensor], Tensor]:
    return lambda maps: _along_both(torch.maximum, maps, kernel, stride, dilation)


def _mean_of(kernel: Pair, stride: Pair, divisor: int | None = None) -> Callable[[Tensor], Tensor]:
    share = 1 / (divisor or kernel[0] * kernel[1])
    return lambda maps: _along_both(torch.add, maps, kernel, stride, (1, 1)) * share


def _along_both(
    combine: Callable[[Tensor, Tensor], Tensor], maps: Tensor, kernel: Pair, stride: Pair, dilation: Pair
) -> Tensor:
    """A pool as a few operations on whole maps, first down, then to the right.

    With channels last each of them runs over memory in order, and both axes together read as many
    numbers as the kernel has rows and columns: two to ten times faster than torch's pools.
    """
    for axis in (0, 1):
        dim, step = axis + 2, stride[axis]
        size = (maps.shape[dim] - (kernel[axis] - 1) * dilation[axis] - 1) // step + 1
        parts = [
            maps[(slice(None),) * dim + (slice(start, start + (size - 1) * step + 1, step),)]
            for start in range(0, kernel[axis] * dilation[axis], dilation[axis])
        ]
        maps = reduce(combine, parts)
    return maps


_READERS: dict[str, Callable[[Arguments, Maps, tuple[int, ...] | None], Reading | None]] = {
    "adaptive_avg_pool2d": _adaptive(_mean_of),
    "adaptive_max_pool2d": _adaptive(_max_of),
    "amax": _reduction(_max_of),
    "avg_pool2d": _avg_pool,
    "conv2d": _convolution,
    "max_pool2d": _max_pool,
    "mean": _reduction(_mean_of),
}
