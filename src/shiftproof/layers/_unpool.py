"""The way back from a polyphase stride, for decoders."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn

from shiftproof.layers._arguments import Size, check_maps, positive_pair
from shiftproof.layers._phases import blur_circular, check_blur_size, join_phases
from shiftproof.layers._polyphase import check_choice

# Single steps to torch.fx: they look at shapes and layouts, which a traced value does not have.
fx.wrap("blur_circular")
fx.wrap("put_back")


class PolyphaseUnpool2d(nn.Module):
    """Put features back where a polyphase stride has taken them from, and zeros elsewhere.

    Encoder and decoder of the same image share one choice. Then features return to their own pixels, and
    the pair commutes with every circular shift, unless an image repeats itself: where two phases are the
    same there is more than one way back, and a shift may take another one.

    Args:
        stride: (down, right), or one number for both, in px: as in the stride.
        blur_size: Kernel size of a circular binomial filter that fills in the zeros, 1 (none) to 7. It is
            scaled by down · right, the share of zeros, so that a constant stays a constant for an even
            kernel size at stride 2.

    Shape:
        Features (N, C, h, w) and a choice, (N,) or (N, P), to (N, C, h · down, w · right). Of a mixture
        each phase gets its share.

    Raises:
        ShapeError: A choice of another batch or stride.
        OptionError: A stride below 1, or another blur.

    Source:
        Rojas-Gomez, Lim, Schwing, Do and Yeh 2022, arXiv:2210.08001 (LPU); theirs has stride 2.

    Example:
        >>> PolyphaseUnpool2d(stride=(1, 2))(torch.tensor([[[[5., 7.]]]]), torch.tensor([1]))
        tensor([[[[0., 5., 0., 7.]]]])
    """

    def __init__(self, *, stride: Size = 2, blur_size: int = 1) -> None:
        super().__init__()
        self.stride = positive_pair("stride", stride)
        self.blur_size = check_blur_size(blur_size)

    def forward(self, features: Tensor, choice: Tensor) -> Tensor:
        down, right = self.stride
        sparse = put_back(features, choice, self.stride)
        if self.blur_size == 1:
            return sparse
        return blur_circular(sparse, self.blur_size) * (down * right)

    def extra_repr(self) -> str:
        return f"stride={self.stride}" + (f", blur_size={self.blur_size}" if self.blur_size > 1 else "")


def put_back(features: Tensor, choice: Tensor, stride: tuple[int, int]) -> Tensor:
    """Each position where a choice says that it came from, and zeros elsewhere."""
    check_maps(features)
    n_phases = stride[0] * stride[1]
    check_choice(choice, len(features), n_phases)
    return join_phases(_spread(features, choice, n_phases), stride)


def _spread(features: Tensor, choice: Tensor, n_phases: int) -> Tensor:
    """(N, C, h, w) to (N, P, C, h, w)."""
    if choice.ndim == 2:
        return features[:, None] * choice.to(features.dtype)[:, :, None, None, None]
    here = choice[:, None] == torch.arange(n_phases, device=choice.device)
    zero = torch.zeros((), dtype=features.dtype, device=features.device)
    return torch.where(here[:, :, None, None, None], features[:, None], zero)
