"""A blur whose kernel follows the content: strong where detail would alias, weak where there is none."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from shiftproof.errors import OptionError
from shiftproof.layers._arguments import Size, check_maps, positive, positive_pair
from shiftproof.layers._blur import LARGEST_KERNEL, binomial
from shiftproof.layers._padding import pad
from shiftproof.shifts import Border


class AdaptiveBlurPool2d(nn.Module):
    """Blur each group of channels with a kernel that is computed at each position, and subsample.

    A convolution and a batch normalisation give k² numbers for each group and position; their softmax is
    the kernel there. It is positive and sums to one, so it can neither amplify nor change a constant map.
    It starts as a binomial blur: the convolution starts at zero, with the logarithms of the binomial taps
    as the shift of its normalisation.

    Args:
        channels: C of the feature maps.
        groups: Of channels that share their kernels; divides `channels`.
        kernel_size: Height and width of the kernel, odd, 3 to 7.
        stride: Positions from one output to the next, one number or (down, right).
        border: What lies outside.

    Shape:
        (N, C, H, W) to (N, C, ⌈H / stride⌉, ⌈W / stride⌉); any float dtype, kept.

    Raises:
        OptionError: A number out of its range, an even kernel, groups that do not divide the channels.
        ShapeError: Maps of another number of axes or channels; when called.

    Convention:
        Output i is centred at input stride · i, as in `BlurPool2d` with an odd kernel, which it equals
        before training. Pinned by tests/layers/test_adaptive_blur.py.

    Source:
        Zou, Xiao, Yu and Lee 2020, arXiv:2008.09604. Differs: the start, and every border.

    Example:
        >>> AdaptiveBlurPool2d(4, groups=2)(torch.ones(1, 4, 6, 6)).shape
        torch.Size([1, 4, 3, 3])
    """

    def __init__(
        self,
        channels: int,
        *,
        groups: int = 8,
        kernel_size: int = 3,
        stride: Size = 2,
        border: Border = "reflect",
    ) -> None:
        super().__init__()
        self.channels, self.groups = positive("channels", channels), positive("groups", groups)
        if channels % groups:
            raise OptionError(f"`groups` that divide the {channels} channels", groups)
        if kernel_size not in range(3, LARGEST_KERNEL + 1, 2):
            raise OptionError(f"an odd `kernel_size` from 3 to {LARGEST_KERNEL}", kernel_size)
        self.kernel_size, self.border = kernel_size, border
        self.stride = positive_pair("stride", stride)
        n_taps = kernel_size * kernel_size
        self.conv = nn.Conv2d(channels, groups * n_taps, kernel_size, self.stride, bias=False)
        self.norm = nn.BatchNorm2d(groups * n_taps)
        taps = binomial(kernel_size)
        with torch.no_grad():
            self.conv.weight.zero_()
            self.norm.bias.copy_(torch.outer(taps, taps).log().flatten().repeat(groups))

    def forward(self, maps: Tensor) -> Tensor:
        check_maps(maps, self.channels)
        margin = self.kernel_size // 2
        wide = pad(maps, (margin,) * 4, self.border)
        logits = self.norm(self.conv(wide))
        n, _, height, width = logits.shape
        kernels = logits.view(n, self.groups, 1, -1, height, width).softmax(3)
        windows = F.unfold(wide, self.kernel_size, stride=self.stride)
        windows = windows.view(n, self.groups, self.channels // self.groups, -1, height, width)
        blurred: Tensor = (windows * kernels.to(windows.dtype)).sum(3)
        return blurred.view(n, self.channels, height, width)

    def extra_repr(self) -> str:
        return f"{self.channels}, groups={self.groups}, kernel_size={self.kernel_size}, stride={self.stride}"
