"""What lies outside an image: the index that each border reads instead."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from shiftproof._registry import unknown_name

Border = Literal["zeros", "edge", "reflect", "circular"]
BORDERS: tuple[Border, ...] = get_args(Border)


def check_border(border: str) -> Border:
    """The border itself, or `UnknownNameError` with the legal ones.

    Example:
        >>> check_border("zeros")
        'zeros'
    """
    for known in BORDERS:
        if border == known:
            return known
    raise unknown_name("border", border, BORDERS)


def wrap_offset(offset_px: Tensor, size_px: int, border: Border) -> Tensor:
    """An offset near the image that moves it exactly as far as `offset_px` does.

    Beyond its own size an image looks the same (zeros, edge) or repeats (reflect, circular), so any
    finite offset, however large, has such a twin that fits in an integer index.

    Args:
        offset_px: float64, any shape.
        size_px: Length of the axis.
        border: What lies outside.

    Returns:
        float64, same shape, of magnitude at most 2 × `size_px` + 2.
    """
    if border in ("zeros", "edge"):
        return offset_px.clamp(-(size_px + 1), size_px + 1)
    return torch.remainder(offset_px, _period(size_px, border))


def source_index(position: Tensor, size_px: int, border: Border) -> Tensor:
    """Where to read for a position that may lie outside the image.

    Args:
        position: int64, any shape.
        size_px: Length of the axis; positions 0 to `size_px` − 1 are inside.
        border: What lies outside. `reflect` does not repeat the edge pixel (d c b | a b c d | c b a).

    Returns:
        int64 in [0, `size_px`), same shape. For `zeros` the caller masks what lies outside.

    Example:
        >>> source_index(torch.tensor([-2, -1, 0, 3, 4]), 4, "reflect").tolist()
        [2, 1, 0, 3, 2]
    """
    if border in ("zeros", "edge"):
        return position.clamp(0, size_px - 1)
    period = _period(size_px, border)
    folded = torch.remainder(position, period)
    return folded if border == "circular" else torch.minimum(folded, period - folded)


def _period(size_px: int, border: Border) -> int:
    return size_px if border == "circular" else max(1, 2 * (size_px - 1))


def extend(images: Tensor, margin_px: tuple[int, int], border: Border) -> Tensor:
    """Images with a margin of what lies outside of them, so that a shift by whole pixels is a slice.

    Args:
        images: (N, C, H, W), any dtype.
        margin_px: Margin above and below, and to the left and right.
        border: What lies outside.

    Returns:
        (N, C, H + 2·margin, W + 2·margin), same dtype and device.

    Raises:
        UnknownNameError: Unknown border.

    Example:
        >>> extend(torch.tensor([[[[1, 2]]]]), (0, 1), "circular")
        tensor([[[[2, 1, 2, 1]]]])
    """
    my, mx = margin_px
    border = check_border(border)
    if border == "zeros":
        return torch.nn.functional.pad(images, (mx, mx, my, my))
    for dim, margin in ((2, my), (3, mx)):
        size_px = images.shape[dim]
        position = torch.arange(-margin, size_px + margin, device=images.device)
        images = images.index_select(dim, source_index(position, size_px, border))
    return images
