"""A convolution with a stride in place of a pool: the network learns how to get smaller."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from shiftproof.errors import OptionError


class StridedConvPool2d(nn.Sequential):
    """A dense 3 × 3 convolution of stride 2, and ReLU, where a pool was.

    It keeps the number of channels. Like every layer that keeps one position in two, it commutes with
    shifts by its stride only.

    Args:
        channels: C of the features, before and after.
        kernel: Height and width of the filters; odd, so that they have a middle.
        stride: Height and width of a step, in pixels; one number for both.

    Shape:
        (N, C, H, W) to (N, C, ⌈H / stride⌉, ⌈W / stride⌉): zeros outside, ⌊kernel / 2⌋ of them.

    Raises:
        OptionError: An even kernel, or a number below 1.

    Source:
        Springenberg, Dosovitskiy, Brox and Riedmiller 2015, arXiv:1412.6806 (All-CNN).

    Example:
        >>> import torch
        >>> StridedConvPool2d(4)(torch.zeros(2, 4, 14, 9)).shape
        torch.Size([2, 4, 7, 5])
    """

    def __init__(self, channels: int, *, kernel: int = 3, stride: int | tuple[int, int] = 2) -> None:
        sy, sx = (stride, stride) if isinstance(stride, int) else stride
        if channels < 1:
            raise OptionError("at least 1 in `channels`", channels)
        if kernel < 1 or kernel % 2 == 0:
            raise OptionError("an odd `kernel`", kernel, fix="Use kernel=3.")
        if sy < 1 or sx < 1:
            raise OptionError("a `stride` of at least 1 px", (sy, sx), fix="Use stride=2.")
        conv = nn.Conv2d(channels, channels, kernel, (sy, sx), kernel // 2)
        super().__init__(OrderedDict(conv=conv, relu=nn.ReLU()))
