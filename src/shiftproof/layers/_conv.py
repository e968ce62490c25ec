"""Convolutions whose border has a name."""

from __future__ import annotations

from typing import Literal, get_args

from torch import nn

from shiftproof._registry import unknown_name
from shiftproof.errors import OptionError
from shiftproof.layers._arguments import Size, positive, positive_pair

ConvBorder = Literal["valid", "zeros", "full", "circular", "reflect", "edge"]
CONV_BORDERS: tuple[ConvBorder, ...] = get_args(ConvBorder)

_TORCH_MODES: dict[ConvBorder, Literal["circular", "reflect", "replicate"]] = {
    "circular": "circular",
    "reflect": "reflect",
    "edge": "replicate",
}


def conv2d(
    in_channels: int,
    out_channels: int,
    kernel_size: Size,
    *,
    stride: Size = 1,
    border: ConvBorder = "valid",
    bias: bool = True,
) -> nn.Conv2d:
    """A plain `nn.Conv2d`, so that other tools see a layer that they know, with a named border.

    Args:
        in_channels, out_channels: Before and after.
        kernel_size: (down, right), or one number for both.
        stride: Positions from one output to the next, (down, right), or one number for both.
        border: How the maps are padded. `valid`: not at all. `full`: zeros, so many that every
            weight of a filter meets every pixel, k − 1 on each side: position does not leak from the border
            into the maps. `circular`: the opposite side; with stride 1 the layer commutes with every circular
            shift. `zeros`, `reflect`, `edge`: as many outputs as inputs, and a border that is visible.
        bias: Add a learned number for each channel.

    Returns:
        Of (N, C, H, W): for `valid` ⌊(H − k) / stride⌋ + 1 rows, for `full` ⌊(H + k − 2) / stride⌋ + 1, for
        the others ⌈H / stride⌉.

    Raises:
        UnknownNameError: Unknown border.
        OptionError: A number below 1, or an even kernel with a border that keeps the size.

    Convention:
        Where the border keeps the size, output i is centred at input stride · i. Pinned by
        tests/layers/test_conv.py.

    Source:
        `full`: Kayhan and van Gemert 2020, arXiv:2003.07064.

    Example:
        >>> import torch
        >>> for border in ("valid", "circular", "full"):
        ...     conv2d(1, 4, 5, border=border)(torch.zeros(1, 1, 28, 28)).shape[2:]
        torch.Size([24, 24])
        torch.Size([28, 28])
        torch.Size([32, 32])
    """
    if border not in CONV_BORDERS:
        raise unknown_name("border", border, CONV_BORDERS)
    positive("in_channels", in_channels)
    positive("out_channels", out_channels)
    kernel, step = positive_pair("kernel_size", kernel_size), positive_pair("stride", stride)
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel,
        step,
        padding=_padding(kernel, border),
        padding_mode=_TORCH_MODES.get(border, "zeros"),
        bias=bias,
    )


def _padding(kernel: tuple[int, int], border: ConvBorder) -> tuple[int, int]:
    if border == "valid":
        return 0, 0
    if border == "full":
        return kernel[0] - 1, kernel[1] - 1
    if kernel[0] % 2 == 0 or kernel[1] % 2 == 0:
        raise OptionError(
            f"an odd `kernel_size` with border {border!r}",
            kernel,
            cause="An even kernel has no middle: one side would need a position more than the other.",
            fix="Use an odd kernel, or border='valid' or 'full'.",
        )
    return kernel[0] // 2, kernel[1] // 2
