"""Capsules: vectors whose length says whether a thing is there, and whose direction says how.

Source: Sabour, Frosst and Hinton 2017, arXiv:1710.09829.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, fx, nn

from shiftproof.errors import OptionError, ShapeError
from shiftproof.layers._arguments import widened

# Single steps to torch.fx: they look at shapes and layouts, which a traced value does not have.
fx.wrap("check_capsules")
fx.wrap("squash")


def squash(vectors: Tensor, *, dim: int = -1) -> Tensor:
    """Shrink vectors to a length below 1, in their direction: short ones to their square, long ones to 1.

    Args:
        vectors: Any shape and float dtype. Half precision is computed in float32.
        dim: Axis along which a vector lies.

    Returns:
        s·‖s‖ / (1 + ‖s‖²) of the same shape and dtype. The zero vector stays, with gradient 0.

    Source:
        Sabour et al. 2017, equation 1.

    Example:
        >>> squash(torch.tensor([3., 4.]))
        tensor([0.5769, 0.7692])
    """
    wide = widened(vectors)
    length = torch.linalg.vector_norm(wide, dim=dim, keepdim=True)
    shrunk: Tensor = wide * (length / (1 + length.square()))
    return shrunk.to(vectors.dtype)


class PrimaryCapsules(nn.Module):
    """The first capsules: a convolution whose channels, at each position, are cut into vectors.

    The 8 numbers of a capsule are 8 CHANNELS of one position. Cutting the memory of (N, C, H, W) into
    runs of 8, as some implementations do, makes a capsule of 8 neighbouring pixels of one channel instead.

    Args:
        in_channels: C of the features.
        n_maps: Capsules at each position.
        length: Numbers in a capsule.
        kernel: Height and width of the filters, without padding.
        stride: Of the convolution, in pixels.

    Shape:
        (N, C, H, W) to (N, n_maps · H' · W', length), squashed, with H' = ⌊(H − kernel) / stride⌋ + 1.

    Raises:
        OptionError: A number below 1.

    Convention:
        Channel m·length + k is number k of map m. Capsules are ordered by map, then row, then column.
        Pinned by tests/layers/test_capsules.py.

    Source:
        Sabour et al. 2017, section 4: 32 maps of 8 numbers, 9 × 9, stride 2.

    Example:
        >>> PrimaryCapsules(16, n_maps=3)(torch.zeros(2, 16, 20, 20)).shape
        torch.Size([2, 108, 8])
    """

    def __init__(
        self, in_channels: int, *, n_maps: int = 32, length: int = 8, kernel: int = 9, stride: int = 2
    ) -> None:
        super().__init__()
        _check_positive(in_channels=in_channels, n_maps=n_maps, length=length, kernel=kernel, stride=stride)
        self.n_maps = n_maps
        self.length = length
        self.conv = nn.Conv2d(in_channels, n_maps * length, kernel, stride)

    def forward(self, features: Tensor) -> Tensor:
        maps: Tensor = self.conv(features).flatten(2).unflatten(1, (self.n_maps, self.length))
        return squash(maps.transpose(2, 3).flatten(1, 2))

    def extra_repr(self) -> str:
        return f"n_maps={self.n_maps}, length={self.length}"


class RoutedCapsules(nn.Module):
    """Capsules that are sums of predictions; a prediction counts more the better it agrees with the sum.

    Capsule i predicts capsule j by a matrix of its own, û_ij = W_ij u_i. Couplings c_i = softmax over j
    of b_i, s_j = Σ_i c_ij û_ij, v_j = squash(s_j); b starts at 0, and b_ij += û_ij · v_j between two
    iterations. Gradients flow through the last sum only: the couplings are constants to them.

    Args:
        n_in: Capsules in the layer before.
        n_out: Capsules here.
        in_length: Numbers in a capsule of the layer before.
        out_length: Numbers in a capsule here.
        n_iterations: Sums that are computed. 1 is no routing: all couplings are 1 / n_out.

    Shape:
        (N, n_in, in_length) to (N, n_out, out_length), squashed.

    Raises:
        OptionError: A number below 1.
        ShapeError: Capsules of another number or length.

    Source:
        Sabour et al. 2017, procedure 1: 1152 × 8 to 10 × 16, 3 iterations.

    Example:
        >>> RoutedCapsules(108, 10)(torch.zeros(2, 108, 8)).shape
        torch.Size([2, 10, 16])
    """

    def __init__(
        self, n_in: int, n_out: int, *, in_length: int = 8, out_length: int = 16, n_iterations: int = 3
    ) -> None:
        super().__init__()
        _check_positive(
            n_in=n_in, n_out=n_out, in_length=in_length, out_length=out_length, n_iterations=n_iterations
        )
        self.n_iterations = n_iterations
        self.weight = nn.Parameter(torch.empty(n_in, n_out, out_length, in_length))
        self.initialise()

    def initialise(self, generator: torch.Generator | None = None) -> None:
        """Draw every matrix W_ij as Glorot does: uniform in ± √(6 / (in_length + out_length))."""
        limit = math.sqrt(6 / sum(self.weight.shape[2:]))
        nn.init.uniform_(self.weight, -limit, limit, generator=generator)

    def forward(self, capsules: Tensor) -> Tensor:
        n_in, _, _, in_length = self.weight.shape
        check_capsules(capsules, n_in, in_length)
        predictions = self.predictions(capsules)
        return self._weighted(predictions, self.couplings(predictions))

    def predictions(self, capsules: Tensor) -> Tensor:
        """û: what each capsule says about each of ours, (N, n_out, n_in, out_length)."""
        n_in, n_out, out_length, in_length = self.weight.shape
        matrices = self.weight.reshape(n_in, n_out * out_length, in_length).transpose(1, 2)
        predictions = torch.bmm(capsules.transpose(0, 1), matrices)  # (n_in, N, n_out · out_length)
        # Every iteration reads them twice, as matrices of n_in rows.
        return predictions.view(n_in, -1, n_out, out_length).permute(1, 2, 0, 3).contiguous()

    def couplings(self, predictions: Tensor) -> Tensor:
        """c of the last iteration, (N, n_out, n_in): the shares of a capsule sum to 1 over `n_out`."""
        predictions = predictions.detach()
        agreement = torch.zeros_like(predictions[..., 0])
        for _ in range(self.n_iterations - 1):
            poses = self._weighted(predictions, agreement.softmax(1))
            agreement = agreement + (predictions @ poses.unsqueeze(3)).squeeze(3)
        return agreement.softmax(1)

    @staticmethod
    def _weighted(predictions: Tensor, couplings: Tensor) -> Tensor:
        return squash((couplings.unsqueeze(2) @ predictions).squeeze(2))

    def extra_repr(self) -> str:
        n_in, n_out, out_length, in_length = self.weight.shape
        return f"{n_in} × {in_length} to {n_out} × {out_length}, n_iterations={self.n_iterations}"


def check_capsules(capsules: Tensor, n_in: int, in_length: int) -> None:
    """Raise `ShapeError` unless capsules are of that number and length."""
    if capsules.shape[1:] != (n_in, in_length):
        raise ShapeError(
            f"capsules of shape (N, {n_in}, {in_length})",
            tuple(capsules.shape),
            cause="The number of primary capsules follows from the size of the image.",
            fix="Build the network for images of this shape.",
        )


class CapsuleLengths(nn.Module):
    """Lengths of capsules, in [0, 1), as the scores of their classes: (N, K, length) to (N, K).

    Example:
        >>> CapsuleLengths()(torch.tensor([[[0.3, 0.4], [0., 0.]]]))
        tensor([[0.5000, 0.0000]])
    """

    def forward(self, capsules: Tensor) -> Tensor:
        lengths: Tensor = torch.linalg.vector_norm(capsules, dim=-1)
        return lengths


def _check_positive(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise OptionError(f"at least 1 in `{name}`", number)
