"""The phases of a feature map: the positions that a stride may keep, each a smaller map of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from shiftproof.errors import OptionError, ShapeError
from shiftproof.layers._arguments import check_maps, positive

Pair = tuple[int, int]
MAX_BLUR = 7


def check_blur_size(blur_size: int) -> int:
    """The kernel size itself, or `OptionError` if there is no such binomial filter here."""
    if positive("blur_size", blur_size) > MAX_BLUR:
        raise OptionError(f"a `blur_size` from 1 (no blur) to {MAX_BLUR}", blur_size)
    return blur_size


def check_size(size: Pair, stride: Pair) -> None:
    """Raise `ShapeError` if a stride does not divide a size.

    Raises:
        ShapeError: With both, and with sizes that would do.
    """
    if any(pixels % step for pixels, step in zip(size, stride, strict=True)):
        smaller, larger = (
            tuple((pixels + extra) // step * step for pixels, step in zip(size, stride, strict=True))
            for extra in (0, max(stride) - 1)
        )
        raise ShapeError(
            f"a height and width of features that the stride {stride} divides",
            tuple(size),
            cause="A circular shift moves positions between phases only if all phases are of one size.",
            fix=f"Make the features {smaller} or {larger}, for example by padding the images.",
        )


def phase_grid(features: Tensor, stride: Pair) -> Tensor:
    """A view of all phases of feature maps.

    Args:
        features: (N, C, H, W), any dtype.
        stride: (down, right), px; divides (H, W).

    Returns:
        (N, down, right, C, H / down, W / right): at [:, i, j] the positions of which the remainder is
        (i, j).

    Raises:
        ShapeError: The stride does not divide the size, or there are not four axes.
    """
    check_maps(features)
    n, channels, height, width = features.shape
    check_size((height, width), stride)
    down, right = stride
    cells = features.reshape(n, channels, height // down, down, width // right, right)
    return cells.permute(0, 3, 5, 1, 2, 4)


def split_phases(features: Tensor, stride: Pair) -> Tensor:
    """A copy of all phases in one row: (N, P, C, h, w), phase (i, j) at number i · right + j.

    Example:
        >>> split_phases(torch.arange(8).reshape(1, 1, 2, 4), (1, 2)).tolist()
        [[[[[0, 2], [4, 6]]], [[[1, 3], [5, 7]]]]]
    """
    return phase_grid(features, stride).flatten(1, 2)


def join_phases(phases: Tensor, stride: Pair) -> Tensor:
    """The inverse of `split_phases`: (N, P, C, h, w) to (N, C, h · down, w · right).

    Example:
        >>> features = torch.rand(2, 3, 4, 6)
        >>> torch.equal(join_phases(split_phases(features, (2, 3)), (2, 3)), features)
        True
    """
    down, right = stride
    n, _, channels, height, width = phases.shape
    cells = phases.reshape(n, down, right, channels, height, width).permute(0, 3, 4, 1, 5, 2)
    return cells.reshape(n, channels, height * down, width * right)


def blur_circular(features: Tensor, blur_size: int) -> Tensor:
    """A binomial low-pass filter of maps that repeat in every direction.

    Means of two neighbours, again and again, give the binomial filter. Unlike a convolution, whose
    order of sums is up to a library, each step is one operation at each position, so that the blur of
    a shifted map is the shifted blur to the last bit.

    Args:
        features: (N, C, H, W), any float dtype; half precision is computed in float32.
        blur_size: Kernel size on each axis; ⌊(blur_size − 1) / 2⌋ positions of it are above and left.

    Example:
        >>> blur_circular(torch.tensor([[[[0., 0., 4., 0.]]]]), 3)
        tensor([[[[0., 1., 2., 1.]]]])
    """
    if blur_size == 1:
        return features
    wide = features if features.dtype == torch.float64 else features.float()
    for dim in (2, 3):
        for _ in range(blur_size - 1):
            wide = (wide + torch.roll(wide, -1, dim)) / 2
        wide = torch.roll(wide, (blur_size - 1) // 2, dim)
    return wide.to(features.dtype)
