"""Adaptive polyphase sampling: the image itself says which positions a stride keeps."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, get_args

import torch
from torch import Tensor, fx, nn

from shiftproof._registry import unknown_name
from shiftproof.errors import ShapeError
from shiftproof.layers._arguments import Size, positive_pair
from shiftproof.layers._exact_keys import clearly_strongest, fingerprints, first_by, leading, strengths
from shiftproof.layers._phases import (
    Pair,
    blur_circular,
    check_blur_size,
    check_size,
    phase_grid,
)

PolyphaseNorm = Literal["l2", "l1", "linf", "max", "min-l2", "min-l1"]
POLYPHASE_NORMS: tuple[PolyphaseNorm, ...] = get_args(PolyphaseNorm)

# Single steps to torch.fx: they look at shapes and layouts, which a traced value does not have.
fx.wrap("blur_circular")
fx.wrap("strongest_phase")
fx.wrap("take_phases")


class Polyphase2d(nn.Module, ABC):
    """A stride that keeps, of each image, the phase that `choose` names; see the two kinds below.

    A choice is int64 of shape (N,), the number of a phase, or floats of shape (N, P), the share of each
    phase in a mixture. Whatever is added to the answer, such as a shortcut, must `take` the same choice.
    """

    def __init__(self, stride: Size, blur_size: int, size: Pair | None) -> None:
        super().__init__()
        self.stride = positive_pair("stride", stride)
        self.blur_size = check_blur_size(blur_size)
        if size is not None:
            check_size(size, self.stride)

    def forward(self, features: Tensor) -> Tensor:
        blurred = blur_circular(features, self.blur_size)
        return take_phases(blurred, self._choose(blurred), self.stride)

    def choose(self, features: Tensor, *shared: Tensor) -> Tensor:
        """Which phase to take.

        Args:
            features: (N, C, H, W), any float dtype; decide.
            shared: Other maps (N, any C, H, W) that will take the same choice. They are looked at
                where the features leave it open, for example because all of them are zero.

        Returns:
            int64 (N,), in [0, down · right): i · right + j for positions of remainder (i, j).

        Raises:
            ShapeError: The stride does not divide the size.
        """
        return self._choose(blur_circular(features, self.blur_size), *shared)

    def take(self, features: Tensor, choice: Tensor) -> Tensor:
        """The phase of features, blurred first where the layer blurs, that a choice names.

        Args:
            features: (N, C, H, W), any dtype.
            choice: What `choose` gave, for these or for other features of the same images.

        Returns:
            (N, C, H / down, W / right), same dtype.

        Raises:
            ShapeError: The stride does not divide the size, or the choice is for another batch.
        """
        return take_phases(blur_circular(features, self.blur_size), choice, self.stride)

    @abstractmethod
    def _choose(self, blurred: Tensor, *shared: Tensor) -> Tensor: ...

    def extra_repr(self) -> str:
        return f"stride={self.stride}" + (f", blur_size={self.blur_size}" if self.blur_size > 1 else "")


class AdaptivePolyphase2d(Polyphase2d):
    """Keep the phase with the largest norm, over all channels and positions, of each image.

    If an image is shifted circularly, so are its phases, and the same pixels are kept. A network of
    circular convolutions, these strides and a mean over all positions therefore gives the same answer to
    all H · W circular shifts of an image, trained or not. (Convolutions and means are the same up to
    rounding; see Convention.)

    Args:
        stride: (down, right), or one number for both, in px.
        norm: `l2`, `l1`, `linf`, `max` (without the absolute value), or the smallest: `min-l2`, `min-l1`.
        blur_size: Kernel size of a circular binomial filter before the phases are split, 1 (none) to 7.
        size: (H, W) of the features, where it is known: then a size that the stride does not divide is
            an error now rather than in the first forward pass.

    Shape:
        (N, C, H, W) to (N, C, H / down, W / right), any float dtype.

    Raises:
        ShapeError: The stride does not divide the size: there is no choice that follows all shifts.
        UnknownNameError: Unknown norm.
        OptionError: A stride below 1, or another blur.

    Convention:
        Given features that are shifted bit by bit, the choice is the shifted choice: exactly, in every
        dtype, and for ties. Norms are sums of integers (fixed point of 2^-34 of the largest number), which
        have no order; between phases of the same norm decides how all maps look from their positions
        (`_exact_keys.py`); phases that are the same in this, too, are the same map. Whether features of a
        shifted image are shifted bit by bit is up to the library that computes convolutions.
        Not a number and infinity are not ordered: with them, any phase may be taken.
        Gradients flow to the pixels that were kept; the choice itself has none.
        Pinned by tests/layers/test_polyphase.py.

    Source:
        Chaman and Dokmanić 2021, arXiv:2011.14214 (APS). Theirs has stride 2, and takes the norm in the
        dtype of the features, the first phase of several equal ones, and sizes that are odd.

    Example:
        >>> image = torch.tensor([[[[1., 2., 0., 5.]]]])
        >>> pool = AdaptivePolyphase2d(stride=(1, 2))
        >>> pool(image), pool(torch.roll(image, 1, 3))
        (tensor([[[[2., 5.]]]]), tensor([[[[5., 2.]]]]))
    """

    def __init__(
        self,
        *,
        stride: Size = 2,
        norm: PolyphaseNorm = "l2",
        blur_size: int = 1,
        size: Pair | None = None,
    ) -> None:
        super().__init__(stride, blur_size, size)
        if norm not in POLYPHASE_NORMS:
            raise unknown_name("norm", norm, POLYPHASE_NORMS)
        self.norm = norm

    def _choose(self, blurred: Tensor, *shared: Tensor) -> Tensor:
        return strongest_phase((blurred, *shared), self.stride, self.norm)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, norm={self.norm!r}"


@torch.no_grad()
def strongest_phase(maps: tuple[Tensor, ...], stride: Pair, norm: str) -> Tensor:
    """The phase of which the first maps have the largest norm; the others decide between equal ones.

    Args:
        maps: Each (N, C, H, W), any float dtype.
        stride: (down, right).
        norm: One of `POLYPHASE_NORMS`.

    Returns:
        int64 (N,).
    """
    if not _can_look(maps[0]):
        return first_phase(strengths(maps[0], stride, norm), maps, stride)
    choice, clear = clearly_strongest(maps[0], stride, norm)
    if not bool(clear.all()):
        close = tuple(each[~clear] for each in maps)
        choice[~clear] = first_phase(strengths(close[0], stride, norm), close, stride)
    return choice


def first_phase(key: Tensor, maps: tuple[Tensor, ...], stride: Pair) -> Tensor:
    """The phase with the largest key; between equal ones decides what the maps look like from there.

    Args:
        key: int64 (N, P).
        maps: All that will be sampled.
        stride: (down, right).

    Returns:
        int64 (N,).
    """
    if _can_look(key) and not bool((leading(key, torch.ones_like(key, dtype=torch.bool)).sum(1) > 1).any()):
        return key.argmax(1)  # The same phase sooner: there are no ties.
    return first_by(key, fingerprints(maps, stride))


def take_phases(features: Tensor, choice: Tensor, stride: Pair) -> Tensor:
    """The phase of each image that a choice names, or a mixture of phases.

    Args:
        features: (N, C, H, W).
        choice: int64 (N,), or floats (N, P).
        stride: (down, right).
    """
    grid = phase_grid(features, stride)
    n, down, right = grid.shape[:3]
    check_choice(choice, n, down * right)
    if choice.ndim == 1:
        return grid[torch.arange(n, device=features.device), choice // right, choice % right]
    shares = choice.to(features.dtype).reshape(n, down, right, 1, 1, 1)
    mixture: Tensor = (grid * shares).sum((1, 2))
    return mixture


def check_choice(choice: Tensor, n: int, n_phases: int) -> None:
    """Raise `ShapeError` unless a choice is of n images."""
    if tuple(choice.shape) not in ((n,), (n, n_phases)):
        raise ShapeError(
            f"a choice of shape ({n},) or ({n}, {n_phases})",
            tuple(choice.shape),
            fix="Take with the choice that `choose` made for the same images and stride.",
        )


def _can_look(tensor: Tensor) -> bool:
    """Whether a decision in Python costs nothing: not while a graph is written, nor on a device."""
    traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
    return tensor.device.type == "cpu" and not traced
