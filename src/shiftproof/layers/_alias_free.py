"""Alias-free networks: a non-linearity and a downsampling that commute with fractional shifts."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, fx, nn

from shiftproof.errors import OptionError
from shiftproof.layers._arguments import Size, check_maps, positive, positive_pair, widened
from shiftproof.layers._resample import resample

# Single steps to torch.fx: they look at shapes and layouts, which a traced value does not have.
fx.wrap("check_maps")
fx.wrap("resample")
fx.wrap("widened")


class AliasFreeActivation(nn.Module):
    """A non-linearity between grids: up-sample, apply, low-pass, down-sample, all ideally.

    A non-linearity makes frequencies that the grid cannot hold; they fold onto others, which do not move
    as the image does. On a grid that is `factor` times finer fewer of them fold, and the low-pass takes
    out what the coarse grid cannot hold.

    It commutes with circular shifts by 1/`factor` of a position, whatever the activation, since on the
    fine grid these are whole; and with every circular shift if the activation is a polynomial of degree
    at most 2 · `factor` − 1, none of whose frequencies then fold back. For others, such as ReLU, the
    error of other shifts falls with `factor`.

    Args:
        activation: Applied to each number alone, such as `nn.ReLU()`.
        factor: How many times finer the grid is, on both axes; at least 2. In a network, 1-px shifts
            stay exact where it is a multiple of the total stride before the layer.

    Shape:
        (N, C, H, W) on a circle to the same; any float dtype, kept. Half precision is computed in float32.

    Raises:
        OptionError: A factor below 2, or an activation that cannot be called.
        ShapeError: Not 4-D; when called.

    Convention:
        The highest frequency of an axis of even length, which has no half-pixel shift, is left out of
        what goes in and what comes out. Pinned by tests/layers/test_alias_free.py.

    Source:
        Michaeli, Michaeli and Soudry 2023, arXiv:2303.08085; Karras et al. 2021, arXiv:2106.12423.
        Differs: any activation and factor; the highest frequency is left out on the way in, too.

    Example:
        >>> import torch
        >>> maps = torch.tensor([[[[0., 1., 0., -1., 0.]]]])
        >>> AliasFreeActivation(nn.ReLU())(maps).shape
        torch.Size([1, 1, 1, 5])
    """

    def __init__(self, activation: Callable[[Tensor], Tensor], *, factor: int = 2) -> None:
        super().__init__()
        if not callable(activation):
            raise OptionError("`activation` to be a function of a tensor", repr(activation))
        if positive("factor", factor) < 2:
            raise OptionError(
                "`factor` of at least 2", factor, cause="A grid as fine as before has nothing to take out."
            )
        self.activation = activation
        self.factor = factor

    def forward(self, maps: Tensor) -> Tensor:
        check_maps(maps)
        height, width = maps.shape[2:]
        # Half precision is widened once for the whole way, not for each part of it.
        wide = widened(maps)
        fine = self.activation(resample(wide, height * self.factor, width * self.factor))
        return resample(fine, height, width).to(maps.dtype)

    def extra_repr(self) -> str:
        name = "" if isinstance(self.activation, nn.Module) else f"{self.activation}, "
        return f"{name}factor={self.factor}"


class LowPassPool2d(nn.Module):
    """Ideal low-pass and subsampling: the downsampling after which nothing is aliased.

    What the coarse grid cannot hold is left out, and the rest is read at every stride-th position. A
    shift by d positions before is one by d / stride after, fractions included, and the mean stays.

    Args:
        stride: Positions from one output to the next, one number or (down, right).

    Shape:
        (N, C, H, W) on a circle to (N, C, ⌈H / stride⌉, ⌈W / stride⌉); any float dtype, kept. Where the
        stride does not divide a size, the outputs lie size / ⌈size / stride⌉ apart.

    Raises:
        OptionError: A stride below 1.
        ShapeError: Not 4-D; when called.

    Source:
        Michaeli, Michaeli and Soudry 2023, arXiv:2303.08085 (their BlurPool).

    Example:
        >>> import torch
        >>> LowPassPool2d()(torch.ones(1, 1, 2, 4))
        tensor([[[[1., 1.]]]])
    """

    def __init__(self, stride: Size = 2) -> None:
        super().__init__()
        self.stride = positive_pair("stride", stride)

    def forward(self, maps: Tensor) -> Tensor:
        check_maps(maps)
        (height, width), (sy, sx) = maps.shape[2:], self.stride
        return resample(maps, -(-height // sy), -(-width // sx))

    def extra_repr(self) -> str:
        return f"stride={self.stride}"
