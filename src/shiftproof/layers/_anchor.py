"""An image rolled to where its own content says, so that what cuts it into patches cuts it the same way."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from shiftproof.layers._arguments import Size, check_maps
from shiftproof.layers._polyphase import AdaptivePolyphase2d


class PolyphaseAnchor2d(nn.Module):
    """Roll each image so that the phase with the largest norm comes first.

    A circular shift of the image then rolls the answer by multiples of the stride only. What follows in
    patches of that stride gets the same patches, in another order.

    Args:
        stride: Height and width of a patch, (down, right), or one number for both; divides the images.

    Shape:
        (N, C, H, W) to the same; any float dtype, kept.

    Raises:
        OptionError: A stride below 1.
        ShapeError: Not 4-D, or a size that the stride does not divide; when called.

    Convention:
        Exact in every dtype and for ties, as `AdaptivePolyphase2d.choose`. Pinned by
        tests/layers/test_anchor.py.

    Source:
        Ding, Soselia, Armstrong, Su and Huang 2023, arXiv:2305.14214 (polyphase anchoring).

    Example:
        >>> PolyphaseAnchor2d((1, 2))(torch.tensor([[[[1., 5., 0., 2.]]]]))
        tensor([[[[5., 0., 2., 1.]]]])
    """

    def __init__(self, stride: Size) -> None:
        super().__init__()
        self.phase = AdaptivePolyphase2d(stride=stride)

    def forward(self, maps: Tensor) -> Tensor:
        check_maps(maps)
        choice, right = self.phase.choose(maps), self.phase.stride[1]
        return rolled_to(maps, choice // right, choice % right)


def rolled_to(maps: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Maps (N, C, H, W) rolled so that the position (rows, columns), int64 (N,) each, comes first.

    Example:
        >>> rolled_to(torch.tensor([[[[1., 2., 3.]]]]), torch.tensor([0]), torch.tensor([1]))
        tensor([[[[2., 3., 1.]]]])
    """
    n, _, height, width = maps.shape
    down = (torch.arange(height, device=maps.device) + rows[:, None]) % height
    right = (torch.arange(width, device=maps.device) + columns[:, None]) % width
    image = torch.arange(n, device=maps.device)[:, None, None]
    # Indices around a slice put their axes in front.
    return maps[image, :, down[:, :, None], right[:, None, :]].permute(0, 3, 1, 2)
