"""How maps are padded for a layer."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from shiftproof.layers._arguments import is_learning
from shiftproof.shifts import Border, extend

Margins = tuple[int, int, int, int]

# The same borders in torch's words.
TORCH_MODES: dict[Border, str] = {
    "zeros": "constant",
    "edge": "replicate",
    "reflect": "reflect",
    "circular": "circular",
}


def pad(maps: Tensor, margins_px: Margins, border: Border) -> Tensor:
    """Maps with margins, which may differ from side to side.

    Args:
        maps: (N, C, H, W), any float dtype.
        margins_px: Above, below, to the left, to the right; ≥ 0.
        border: What lies outside. A map that is smaller than its margin is folded as often as it takes.

    Returns:
        (N, C, H + above + below, W + left + right), same dtype.

    Example:
        >>> import torch
        >>> pad(torch.tensor([[[[1., 2., 3.]]]]), (0, 0, 2, 1), "reflect")
        tensor([[[[3., 2., 1., 2., 3., 2.]]]])
    """
    above, below, left, right = margins_px
    if not any(margins_px):
        return maps
    spare = 1 if border == "reflect" else 0
    fits = max(above, below) <= maps.shape[2] - spare and max(left, right) <= maps.shape[3] - spare
    if fits and border == "circular" and maps.is_contiguous(memory_format=torch.channels_last):
        if torch.compiler.is_compiling() or not is_learning(maps):
            return _wrap(maps, margins_px)
        wrapped: Tensor = _Wrap.apply(maps, margins_px)  # type: ignore[no-untyped-call]
        return wrapped
    if fits or border in ("zeros", "edge"):
        return F.pad(maps, (left, right, above, below), mode=TORCH_MODES[border])
    # Torch folds once at most; `extend` as often as it takes, by as much on both sides.
    my, mx = max(above, below), max(left, right)
    height, width = maps.shape[2] + above + below, maps.shape[3] + left + right
    return extend(maps, (my, mx), border)[:, :, my - above :, mx - left :][:, :, :height, :width]


def _wrap(maps: Tensor, margins_px: Margins) -> Tensor:
    """Circular margins of channels-last maps; torch's own would give up that layout, and most of the speed.

    It pads the last three axes of five, so channels are one of those that it pads, by nothing.
    """
    above, below, left, right = margins_px
    rows = maps.permute(0, 2, 3, 1)[:, None]
    padded = F.pad(rows, (0, 0, left, right, above, below), mode="circular")
    return padded[:, 0].permute(0, 3, 1, 2)


class _Wrap(torch.autograd.Function):
    """`_wrap`, whose gradient is one copy: torch records a copy of everything for each margin."""

    @staticmethod
    def forward(ctx: Any, maps: Tensor, margins_px: Margins) -> Tensor:
        ctx.margins_px = margins_px
        return _wrap(maps, margins_px)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        gradient = gradients[0].clone()
        for dim, before, after in ((2, *ctx.margins_px[:2]), (3, *ctx.margins_px[2:])):
            size_px = gradient.shape[dim] - before - after
            # What a margin was told belongs to the opposite side.
            gradient.narrow(dim, size_px, before).add_(gradient.narrow(dim, 0, before))
            gradient.narrow(dim, before, after).add_(gradient.narrow(dim, before + size_px, after))
            gradient = gradient.narrow(dim, before, size_px)
        return gradient, None
