"""Max pooling without its aliasing: a dense maximum, then blur and subsample."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, fx, nn

from shiftproof.errors import ShapeError
from shiftproof.layers._arguments import Size, channels_last_on_cpus, check_maps, is_learning, positive
from shiftproof.layers._blur import BlurPool2d
from shiftproof.layers._padding import pad
from shiftproof.shifts import Border

# Single steps to torch.fx: they look at shapes and layouts, which a traced value does not have.
fx.wrap("channels_last_on_cpus")
fx.wrap("check_maps")
fx.wrap("check_window")
fx.wrap("dense_maximum")
fx.wrap("pad")


class MaxBlurPool2d(nn.Module):
    """A maximum at every position, then `BlurPool2d`: what `MaxPool2d` does, with its aliasing removed.

    Max pooling is a maximum at every position, which commutes with shifts, and then subsampling, which
    does not. Here a blur comes between the two. It has no weights, and in place of a max pool gives maps
    of the same size, so that it can replace one in a trained network.

    Args:
        channels: C of the feature maps; None takes maps of any number of channels, as `MaxPool2d` does.
        pool_size: Height and width of the window of the maximum.
        kernel_size: Of the blur, on each axis, 1 to 7; 1 is `MaxPool2d(pool_size, stride)`.
        stride: Positions from one output to the next, one number or (down, right).
        border: How maps are padded for the blur. A circular border also wraps the windows of the maximum;
            otherwise these stay inside.

    Shape:
        (N, C, H, W) to (N, C, ⌈(H − pool_size + 1) / stride⌉, …): for pool_size = stride that is
        ⌊H / stride⌋, as `MaxPool2d`. Circular: ⌈H / stride⌉. Any float dtype, kept. On a CPU the answer
        is channels-last in memory.

    Raises:
        OptionError: A number out of its range.
        UnknownNameError: Unknown border.
        ShapeError: Maps of another number of axes or channels, or smaller than a window; when called.

    Convention:
        The window of position j is j … j + pool_size − 1, as in `MaxPool2d`. On axes of even length,
        stride 2 and pool_size + kernel_size odd commute with a flip (2 and 3, the default, do).
        Pinned by tests/layers/test_max_blur.py.

    Source:
        Zhang 2019, arXiv:1904.11486, MaxBlurPool.

    Example:
        >>> maps = torch.tensor([[[[0., 4., 0., 0., 8., 0.]]]]).expand(1, 1, 2, 6)
        >>> MaxBlurPool2d(1, border="edge")(maps)
        tensor([[[[4., 3., 8.]]]])
    """

    def __init__(
        self,
        channels: int | None,
        *,
        pool_size: int = 2,
        kernel_size: int = 3,
        stride: Size = 2,
        border: Border = "reflect",
    ) -> None:
        super().__init__()
        self.pool_size = positive("pool_size", pool_size)
        self.blur = BlurPool2d(channels, kernel_size=kernel_size, stride=stride, border=border)

    def forward(self, maps: Tensor) -> Tensor:
        check_maps(maps, self.blur.channels)
        maps = channels_last_on_cpus(maps)
        if self.blur.border == "circular":
            # A maximum commutes with going around, so one margin serves both.
            before, after = self.blur.margins_px
            after += self.pool_size - 1
            maps = pad(maps, (before, after, before, after), "circular")
            return self.blur.blur(dense_maximum(maps, self.pool_size))
        check_window(maps, self.pool_size)
        blurred: Tensor = self.blur(dense_maximum(maps, self.pool_size))
        return blurred

    def extra_repr(self) -> str:
        return f"pool_size={self.pool_size}"


def check_window(maps: Tensor, pool_size: int) -> None:
    """Raise `ShapeError` if maps are smaller than a window."""
    if pool_size > min(maps.shape[2:]):
        raise ShapeError(
            f"feature maps of at least {pool_size} × {pool_size} positions",
            f"{maps.shape[2]} × {maps.shape[3]}",
            cause="No window of the maximum fits.",
            fix="Use a smaller pool_size, larger images, or border='circular'.",
        )


def dense_maximum(maps: Tensor, size: int) -> Tensor:
    """The maximum of every window: `max_pool2d` of stride 1, which is slow where nothing is learned.

    Args:
        maps: (N, C, H, W).
        size: Height and width of a window; small.

    Returns:
        (N, C, H − size + 1, W − size + 1).

    Example:
        >>> dense_maximum(torch.tensor([[[[3., 1., 2.], [0., 0., 0.]]]]), 2)
        tensor([[[[3., 2.]]]])
    """
    # `max_pool2d` notes where each maximum was, for its gradient; and compilers know it best.
    if is_learning(maps) or torch.compiler.is_compiling() or maps.device.type != "cpu":
        return F.max_pool2d(maps, size, 1)
    for dim in (2, 3):
        n_windows = maps.shape[dim] - size + 1
        windows = [maps.narrow(dim, first, n_windows) for first in range(size)]
        maps = windows[0]
        for window in windows[1:]:
            maps = torch.maximum(maps, window)
    return maps
