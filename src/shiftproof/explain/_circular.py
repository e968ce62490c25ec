"""The same network on a circle: every border that it adds comes from the opposite side instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor
from torch.overrides import TorchFunctionMode


class CircularBorders(TorchFunctionMode):
    """Within this block, convolutions, pools and `pad` wrap around where they would add a border.

    The network is not touched: what its layers ask torch for is changed on the way, so that weights,
    hooks and flags stay as they are. Channels, and what is padded by negative amounts, are left alone.

    Example:
        >>> layer = torch.nn.Conv2d(1, 1, 3, padding=1, bias=False)
        >>> with torch.no_grad(), CircularBorders():
        ...     maps = layer(torch.ones(1, 1, 4, 4))
        >>> bool((maps == maps[0, 0, 0, 0]).all())
        True
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        wrap = _WRAPPED.get(func)
        return (wrap or func)(*args, **(kwargs or {}))


def _conv2d(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    if padding == "same":
        extents = [d * (k - 1) for d, k in zip(_pair(dilation), weight.shape[2:], strict=True)]
        (above, left), (below, right) = [e // 2 for e in extents], [e - e // 2 for e in extents]
        maps = F.pad(input, (left, right, above, below), mode="circular")
    else:
        maps = _around(input, 0 if padding == "valid" else padding)
    return torch.conv2d(maps, weight, bias, stride, 0, dilation, groups)


def _pool(pool: Callable[..., Any], *names: str) -> Callable[..., Any]:
    def around(input: Tensor, *args: Any, **kwargs: Any) -> Any:  # noqa: A002
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        padding = given.pop("padding", 0)
        return pool(_around(input, padding), **given)

    return around


def _pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:  # noqa: A002
    margins = list(pad)
    of_maps = input.ndim == 4 and len(margins) in (2, 4) and min(margins) >= 0
    if not of_maps or not any(margins):
        return F.pad(input, margins, mode, value)
    return F.pad(input, [*margins, 0, 0][:4], mode="circular")


def _around(maps: Tensor, padding: Any) -> Tensor:
    down, right = _pair(padding)
    return F.pad(maps, (right, right, down, down), mode="circular") if down or right else maps


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    numbers = list(value)
    return numbers[0], numbers[-1]


_MAX = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
_AVERAGE = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")
_WRAPPED: dict[Any, Callable[..., Any]] = {
    torch.conv2d: _conv2d,
    torch.max_pool2d: _pool(torch.max_pool2d, *_MAX[:-1]),
    F.max_pool2d: _pool(F.max_pool2d, *_MAX),
    F.avg_pool2d: _pool(F.avg_pool2d, *_AVERAGE),
    F.pad: _pad,
}
