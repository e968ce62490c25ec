"""The head that forgets positions."""

from __future__ import annotations

from torch import Tensor, fx, nn

from shiftproof.layers._arguments import check_maps

# Single steps to torch.fx: they look at shapes and layouts, which a traced value does not have.
fx.wrap("check_maps")


class GlobalMeanPool(nn.Module):
    """The mean of each feature map: the same for maps that a shift has only rolled.

    A flatten and a dense layer tell positions apart; a mean does not. It is invariant as far as the maps
    before it are rolled whole: circular convolutions, no stride. After a stride it is invariant to
    shifts by the total stride, and to all if the phases have the same mean (see `BlurPool2d`). It
    forgets where features are, also relative to each other.

    Shape:
        (N, C, H, W) to (N, C); any float dtype, kept.

    Raises:
        ShapeError: Not 4-D; when called.

    Source:
        Lin, Chen and Yan 2014, arXiv:1312.4400 (global average pooling).

    Example:
        >>> import torch
        >>> GlobalMeanPool()(torch.tensor([[[[1., 2.], [3., 6.]]]]))
        tensor([[3.]])
    """

    def forward(self, maps: Tensor) -> Tensor:
        check_maps(maps)
        return maps.mean((2, 3))
