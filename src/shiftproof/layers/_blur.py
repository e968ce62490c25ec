"""Blur, then subsample: the anti-aliased downsampling of signal processing, as a layer."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, fx, nn

from shiftproof.errors import OptionError
from shiftproof.layers._arguments import (
    Size,
    channels_last_on_cpus,
    check_maps,
    positive,
    positive_pair,
)
from shiftproof.layers._padding import pad
from shiftproof.shifts import Border, check_border

LARGEST_KERNEL = 7

# Single steps to torch.fx: they look at shapes and layouts, which a traced value does not have.
fx.wrap("channels_last_on_cpus")
fx.wrap("check_maps")
fx.wrap("filtered")
fx.wrap("pad")


def binomial(kernel_size: int) -> Tensor:
    """A row of Pascal's triangle that sums to one: float64 of shape (`kernel_size`,).

    Example:
        >>> binomial(4)
        tensor([0.1250, 0.3750, 0.3750, 0.1250], dtype=torch.float64)
    """
    row = [math.comb(kernel_size - 1, i) for i in range(kernel_size)]
    return torch.tensor(row, dtype=torch.float64).div_(2 ** (kernel_size - 1))


class BlurPool2d(nn.Module):
    """Blur each channel with a binomial kernel and keep every stride-th position.

    Every binomial kernel of two or more taps is zero at the highest frequency. With stride 2 the two
    phases of an axis then have the same mean, so the global mean of the answer to circular maps of even
    size is invariant to every circular shift, exactly. What a network still loses comes from the
    non-linearities after it. With stride 1 it still blurs.

    Args:
        channels: C of the feature maps; None takes maps of any number of channels, as a pool does.
        kernel_size: Height and width of the kernel, 1 to 7; 1 only subsamples.
        stride: Positions from one output to the next, one number or (down, right).
        border: What lies outside: `reflect`, `circular`, `edge` or `zeros`. Zeros darken the border and
            leak where it is.
        learned: Learn a kernel for each channel, from a binomial one. Its taps are a softmax, so they
            stay positive and sum to one: it can neither amplify nor change a constant map. It need not
            stay zero at the highest frequency.

    Shape:
        (N, C, H, W) to (N, C, ⌈H / stride⌉, ⌈W / stride⌉); any float dtype, kept. On a CPU the answer
        is mostly channels-last in memory, which is how it is computed fastest.

    Raises:
        OptionError: A number out of its range, or a learned kernel for an unknown number of channels.
        UnknownNameError: Unknown border.
        ShapeError: Maps of another number of axes or channels; when called.

    Convention:
        Output i is centred at input stride · i for odd kernels and at stride · i + ½ for even ones:
        ⌊(k − 1)/2⌋ positions are added before and ⌈(k − 1)/2⌉ after. On axes of even length, stride 2 and
        an even kernel commute with a flip; an odd kernel does not. `reflect` does not repeat the edge.
        A circular layer commutes with shifts by its stride where the stride divides the size.
        Pinned by tests/layers/test_blur.py.

    Source:
        Zhang 2019, arXiv:1904.11486. Differs: every border, larger strides and non-square strides;
        ⌈size / stride⌉ outputs for every kernel.

    Example:
        >>> maps = torch.tensor([[[[0., 4., 0., 0., 8., 0.]]]])
        >>> BlurPool2d(1, stride=(1, 2), border="zeros")(maps)
        tensor([[[[0.5000, 0.5000, 2.0000]]]])
    """

    kernel: Tensor

    def __init__(
        self,
        channels: int | None,
        *,
        kernel_size: int = 3,
        stride: Size = 2,
        border: Border = "reflect",
        learned: bool = False,
    ) -> None:
        super().__init__()
        self.channels = _checked_channels(channels, learned)
        self.kernel_size = _checked_kernel_size(kernel_size, learned)
        self.stride = positive_pair("stride", stride)
        self.border = check_border(border)
        taps = binomial(kernel_size)
        kernel = torch.outer(taps, taps).expand(channels or 1, 1, -1, -1).contiguous()
        self.logits: nn.Parameter | None = None
        if learned:
            self.logits = nn.Parameter(kernel.log().float())
        else:
            # Not saved: a network with it has the weights of the network without. Binomial taps are
            # exact in every float dtype.
            self.register_buffer("kernel", kernel.float(), persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        check_maps(maps, self.channels)
        if self.kernel_size == 1:
            return maps[:, :, :: self.stride[0], :: self.stride[1]]
        # Gradients and circular margins are faster there; the answer alone does not repay the copy.
        maps = channels_last_on_cpus(maps, only_to_learn=self.border != "circular")
        before, after = self.margins_px
        if self.border == "zeros" and before == after:
            return self.blur(maps, before)
        return self.blur(pad(maps, (before, after, before, after), self.border))

    @property
    def margins_px(self) -> tuple[int, int]:
        """Padding that the blur needs before and after each axis, in positions."""
        return (self.kernel_size - 1) // 2, self.kernel_size // 2

    def blur(self, maps: Tensor, n_zeros: int = 0) -> Tensor:
        """Blur and subsample maps that have their margins, or that get zeros on every side."""
        weights = self._weights()
        if self.channels is None:
            weights = weights.expand(maps.shape[1], -1, -1, -1)
        return filtered(maps, weights, self.stride, n_zeros)

    def _weights(self) -> Tensor:
        """(C, 1, k, k); each channel sums to one."""
        if self.logits is None:
            return self.kernel
        return self.logits.flatten(1).softmax(1).view_as(self.logits)

    def extra_repr(self) -> str:
        learned = ", learned=True" if self.logits is not None else ""
        return (
            f"{self.channels}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"border={self.border!r}{learned}"
        )


def filtered(maps: Tensor, weights: Tensor, stride: tuple[int, int], n_zeros: int) -> Tensor:
    """Each channel with a filter of its own (C, 1, k, k), at every stride-th position."""
    return F.conv2d(maps, weights.to(maps.dtype), None, stride, n_zeros, groups=len(weights))


def _checked_channels(channels: int | None, learned: bool) -> int | None:
    if channels is None and not learned:
        return None
    return positive("channels", channels)  # type: ignore[arg-type]  # None is refused as no number


def _checked_kernel_size(kernel_size: int, learned: bool) -> int:
    least = 2 if learned else 1
    if positive("kernel_size", kernel_size) not in range(least, LARGEST_KERNEL + 1):
        raise OptionError(
            f"`kernel_size` from {least} to {LARGEST_KERNEL}",
            kernel_size,
            cause="One tap that sums to one has nothing to learn." if kernel_size == 1 else "",
            fix="Use kernel_size=3.",
        )
    return kernel_size
