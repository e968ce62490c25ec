"""Learned polyphase sampling: a small network says which positions a stride keeps."""

from __future__ import annotations

import torch
from torch import Tensor, fx, nn
from torch.nn.functional import conv2d, pad

from shiftproof.errors import OptionError
from shiftproof.layers._arguments import Size, positive
from shiftproof.layers._exact_keys import fixed_point, in_units
from shiftproof.layers._phases import Pair, split_phases
from shiftproof.layers._polyphase import Polyphase2d, first_phase

# float32 holds all whole numbers up to 2^24.
_EXACT_BITS = 24
# Weight and bias of each convolution.
Filters = tuple[tuple[Tensor, Tensor | None], ...]

# Single steps to torch.fx: they look at shapes and layouts, which a traced value does not have.
fx.wrap("best_phase")
fx.wrap("split_phases")


class LearnedPolyphase2d(Polyphase2d):
    """Keep the phase to which a small network gives the largest score.

    Two circular 3 × 3 convolutions with a ReLU between them, the same for all phases, and a mean: if the
    image is shifted circularly, the scores change places as the phases do. In training mode the answer is
    a mixture of all phases by the softmax of their scores, which has a gradient. In evaluation mode it is
    the phase with the largest score, as in `AdaptivePolyphase2d`: call `.eval()` before measuring.

    Args:
        channels: C of the features.
        hidden: Filters of both convolutions.
        stride: (down, right), or one number for both, in px.
        temperature: What scores are divided by before the softmax; lower comes closer to one phase.
        blur_size: Kernel size of a circular binomial filter before the phases are split, 1 (none) to 7.
        size: (H, W) of the features, where it is known, to be checked now.

    Shape:
        (N, C, H, W) to (N, C, H / down, W / right), any float dtype.

    Raises:
        ShapeError: The stride does not divide the size: there is no choice that follows all shifts.
        OptionError: A stride, `channels` or `hidden` below 1, a temperature that is not positive.

    Convention:
        In evaluation mode: given features that are shifted bit by bit, the choice is the shifted choice,
        exactly, in every dtype, and for ties. Features and weights are rounded to about 16 bits (14 for 64
        channels), and their products are summed without rounding, so that sums have no order.
        In training mode: there is no noise (the paper adds Gumbel noise), so that training needs no
        random numbers; scores are ordinary floats. A mixture of phases does not follow shifts, but its
        mean over positions stays.
        Pinned by tests/layers/test_polyphase.py.

    Source:
        Rojas-Gomez, Lim, Schwing, Do and Yeh 2022, arXiv:2210.08001 (LPS).

    Example:
        >>> pool = LearnedPolyphase2d(3, 4)
        >>> pool(torch.rand(2, 3, 8, 6)).shape
        torch.Size([2, 3, 4, 3])
        >>> pool.choose(torch.rand(2, 3, 8, 6)).shape, pool.eval().choose(torch.rand(2, 3, 8, 6)).shape
        (torch.Size([2, 4]), torch.Size([2]))
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        *,
        stride: Size = 2,
        temperature: float = 1.0,
        blur_size: int = 1,
        size: Pair | None = None,
    ) -> None:
        super().__init__(stride, blur_size, size)
        positive("channels", channels)
        positive("hidden", hidden)
        if not temperature > 0:
            raise OptionError("a positive `temperature`", temperature)
        self.temperature = temperature
        self.conv1 = nn.Conv2d(channels, hidden, 3, padding=1, padding_mode="circular")
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(hidden, hidden, 3, padding=1, padding_mode="circular")

    def scores(self, features: Tensor) -> Tensor:
        """The score of each phase, as training sees it: (N, P), in the dtype of the weights."""
        phases = split_phases(features, self.stride)
        maps = self.conv2(self.relu(self.conv1(phases.flatten(0, 1))))
        scores: Tensor = maps.mean((1, 2, 3)).reshape(phases.shape[:2])
        return scores

    def _choose(self, blurred: Tensor, *shared: Tensor) -> Tensor:
        if self.training:
            return (self.scores(blurred) / self.temperature).softmax(1)
        filters = tuple((conv.weight, conv.bias) for conv in (self.conv1, self.conv2))
        return best_phase((blurred, *shared), filters, self.stride)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, temperature={self.temperature:g}"


@torch.no_grad()
def best_phase(maps: tuple[Tensor, ...], filters: Filters, stride: Pair) -> Tensor:
    """The phase of which the first maps have the largest score, as whole numbers: int64 (N,).

    They are the same wherever the image starts. The other maps decide between equal scores.
    """
    phases = split_phases(maps[0], stride)
    first, second = filters
    scores = _exact_conv(_exact_conv(phases, *first).clamp_min(0), *second)
    return first_phase(fixed_point(scores).sum((2, 3, 4)), maps, stride)


def _exact_conv(phases: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A circular 3 × 3 convolution of (N, P, C, h, w), in which no sum is rounded: float64.

    float32 holds whole numbers up to 2^24, and sums of products below that are exact in any order. So
    features and weights are cut into two halves of few bits each, and all four pairs of halves are
    convolved.
    """
    bits = (_EXACT_BITS - weight[0].numel().bit_length()) // 2
    maps, unit = in_units(phases, 2 * bits)
    units, weight_unit = in_units(weight[None], 2 * bits)
    around = pad(torch.cat(_halves(maps, bits)).flatten(0, 1), (1, 1, 1, 1), mode="circular")
    # Without the bias: a library may begin its sums with it, and then they are rounded. Rounded here, in
    # case that a library transforms tiles (Winograd), which is nearly exact.
    sums = conv2d(around, torch.cat(_halves(units[0], bits))).round().double()
    # Not `len`: an exporter would take it for a number of images that never changes.
    n, n_filters = phases.shape[0], weight.shape[0]
    sums = sums.reshape(2, n, phases.shape[1], 2, n_filters, *sums.shape[2:])
    coarse = sums[0] * 2**bits + sums[1]
    answer: Tensor = (coarse[:, :, 0] * 2**bits + coarse[:, :, 1]) * (unit.double() * weight_unit.double())
    return answer if bias is None else answer + bias.double()[:, None, None]


def _halves(units: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Whole numbers as 2^bits times the first plus the second; float32."""
    whole = units.round()
    high = (whole * 2.0**-bits).round()
    return high.float(), (whole - high * 2**bits).float()
