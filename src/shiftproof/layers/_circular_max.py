"""The part of max pooling that commutes with every circular shift: all of it but the stride."""

from __future__ import annotations

from torch import Tensor, fx, nn

from shiftproof.layers._arguments import channels_last_on_cpus, check_maps, is_learning, positive
from shiftproof.layers._max_blur import dense_maximum
from shiftproof.layers._padding import pad

# Single steps to torch.fx: they look at shapes and layouts, which a traced value does not have.
fx.wrap("check_maps")
fx.wrap("circular_maximum")


class CircularMaxPool2d(nn.Module):
    """The maximum of a window at every position of maps that repeat in every direction.

    Followed by a stride it is a max pool; with the stride left to a polyphase layer the two together
    commute with every circular shift.

    Args:
        pool_size: Height and width of the window.

    Shape:
        (N, C, H, W) to the same; any float dtype, kept.

    Raises:
        OptionError: A window below 1 px.
        ShapeError: Not 4-D; when called.

    Convention:
        The window of position j is j … j + pool_size − 1, as in `MaxPool2d`, and wraps around.
        Pinned by tests/layers/test_polyphase.py.

    Example:
        >>> import torch
        >>> CircularMaxPool2d(2)(torch.tensor([[[[1., 3., 2.]]]]))
        tensor([[[[3., 3., 2.]]]])
    """

    def __init__(self, pool_size: int) -> None:
        super().__init__()
        self.pool_size = positive("pool_size", pool_size)

    def forward(self, maps: Tensor) -> Tensor:
        check_maps(maps)
        return circular_maximum(maps, self.pool_size)

    def extra_repr(self) -> str:
        return f"pool_size={self.pool_size}"


def circular_maximum(maps: Tensor, size: int) -> Tensor:
    """The maximum of every window of maps on a circle: (N, C, H, W) to the same shape."""
    margins = (0, size - 1, 0, size - 1)
    if not is_learning(maps):
        return dense_maximum(pad(maps, margins, "circular"), size)
    # Its gradient is several times faster with channels last; phases are split faster without.
    wide = pad(channels_last_on_cpus(maps), margins, "circular")
    return dense_maximum(wide, size).contiguous()
