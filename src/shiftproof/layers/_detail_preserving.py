"""Detail-preserving pooling: a weighted mean in which pixels that stand out count more."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, fx, nn
from torch.nn.functional import conv2d

from shiftproof._registry import unknown_name
from shiftproof.errors import OptionError, ShapeError
from shiftproof.layers._arguments import check_maps, widened

DetailKind = Literal["lite", "full"]
DETAIL_KINDS: tuple[DetailKind, ...] = get_args(DetailKind)

# Keeps the power of a deviation differentiable at 0; the authors' value, and theirs for [0, 1] features.
EPSILON = 1e-3

# Single steps to torch.fx: they look at shapes and layouts, which a traced value does not have.
fx.wrap("check_maps")
fx.wrap("check_one_window")
fx.wrap("widened")


class DetailPreservingPool2d(nn.Module):
    """A pool that learns, for each channel, where it stands between a mean and the most marked pixel.

    Each window of `stride` pixels is replaced with the mean of its pixels I, weighed by how far they
    are from a coarse image Ĩ at that place:

        d = I − Ĩ, or max(I − Ĩ, 0) if not symmetric;    v = d² + 0.001;    r = v / mean of v in the window
        w = α + r^(λ/2);    answer = Σ I·w / Σ w        (sums over the window)

    λ = exp(`log_lambda`) and α = exp(`log_alpha`) are learned, one each per channel, and start at 1.
    λ → 0 or α → ∞ is the mean pool. λ → ∞ with α → 0 picks the pixel that is farthest from Ĩ: for `lite`
    and not symmetric that is the largest of the window, so that the pool is a max pool.

    Args:
        channels: C of the features.
        kind: `lite`: Ĩ is the mean of the window. `full`: Ĩ is a learned 3 × 3 filter of each channel, of
            the same stride and padded by a zero pixel; it starts as a mean.
        symmetric: Whether pixels that are darker than Ĩ count as detail as well.
        stride: Height and width of the windows, which do not overlap, in pixels; one number for both.

    Shape:
        (N, C, H, W) to (N, C, ⌊H / stride⌋, ⌊W / stride⌋), same float dtype. Rows and columns that fill
        no window are left out, as `MaxPool2d` does. Half precision is computed in float32.

    Raises:
        UnknownNameError: `kind` is neither of the two.
        OptionError: `channels` or a stride below 1.
        ShapeError: Features of another number of channels or axes, or smaller than one window.

    Convention:
        v is divided by its mean over the window. The authors publish that, and a kernel that divides by the
        sum, which is 2 × 2 = 4 times as much: the same function for another α. The paper's own form,
        w = α + (d² + ε²)^(λ/2), divides by neither, so that there the gain of a layer before changes the
        weights. Not invariant to shifts: windows stay where they are.
        Pinned by tests/layers/test_detail_preserving.py.

    Source:
        Saeedan, Weber, Goesele and Roth 2018, arXiv:1804.04076. They give `log_alpha` and `log_lambda` no
        weight decay, and start them at 0 or in ± 1/√C.

    Example:
        >>> image = torch.tensor([[[[0., 0.], [0., 4.]]]])
        >>> pool = DetailPreservingPool2d(1)
        >>> with torch.no_grad():
        ...     print(round(float(pool(image)), 2))
        1.46
        >>> pool.log_lambda.data.fill_(-20)  # λ → 0: the mean
        tensor([-20.])
        >>> with torch.no_grad():
        ...     print(round(float(pool(image)), 2))
        1.0
    """

    def __init__(
        self,
        channels: int,
        *,
        kind: DetailKind = "lite",
        symmetric: bool = True,
        stride: int | tuple[int, int] = 2,
    ) -> None:
        super().__init__()
        if kind not in DETAIL_KINDS:
            raise unknown_name("kind of detail-preserving pool", kind, DETAIL_KINDS)
        sy, sx = (stride, stride) if isinstance(stride, int) else stride
        if channels < 1:
            raise OptionError("at least 1 in `channels`", channels)
        if sy < 1 or sx < 1:
            raise OptionError("a `stride` of at least 1 px", (sy, sx), fix="Use stride=2.")
        self.channels = channels
        self.symmetric = symmetric
        self.stride = (sy, sx)
        self.log_alpha = nn.Parameter(torch.zeros(channels))
        self.log_lambda = nn.Parameter(torch.zeros(channels))
        # A mean, so that `full` starts near `lite` instead of calling noise a detail.
        mean = torch.full((channels, 1, 3, 3), 1 / 9)
        self.coarse_filter = nn.Parameter(mean) if kind == "full" else None

    def forward(self, features: Tensor) -> Tensor:
        check_maps(features, self.channels)
        check_one_window(features, self.stride)
        sy, sx = self.stride
        height, width = features.shape[2:]
        values = widened(features)[:, :, : height // sy * sy, : width // sx * sx]
        # (pixels of a window, N, C, rows, columns): all that follows is elementwise on whole maps.
        cells = torch.stack([values[:, :, y::sy, x::sx] for y in range(sy) for x in range(sx)])
        weights = self._weights(cells, self._coarse(values, cells))
        pooled = (cells * weights).sum(0) / weights.sum(0)
        return pooled.to(features.dtype)

    def _coarse(self, values: Tensor, cells: Tensor) -> Tensor:
        """Ĩ, one number a window: (N, C, rows, columns)."""
        if self.coarse_filter is None:
            return cells.mean(0)
        taps = self.coarse_filter.to(values.dtype)
        return conv2d(values, taps, stride=self.stride, padding=1, groups=self.channels)

    def _weights(self, cells: Tensor, coarse: Tensor) -> Tensor:
        """w of all pixels, but for a factor that they share in each window."""
        deviation = cells - coarse
        if not self.symmetric:
            deviation = deviation.relu()
        squared = deviation.square() + EPSILON
        log_squared = squared.log()
        # The factor: r^(λ/2) of the largest pixel, which overflows for a λ that training can reach.
        # Divided by it the largest power is 1. It cancels in the answer, so no gradient flows through it.
        log_peak = log_squared.detach().amax(0)
        log_alpha, exponent = (
            p.to(cells.dtype).view(-1, 1, 1) for p in (self.log_alpha, self.log_lambda.exp() / 2)
        )
        alpha = (log_alpha + exponent * (squared.mean(0).log() - log_peak)).exp()
        return (exponent * (log_squared - log_peak)).exp() + alpha

    def extra_repr(self) -> str:
        kind = "lite" if self.coarse_filter is None else "full"
        return f"{self.channels}, kind={kind!r}, symmetric={self.symmetric}, stride={self.stride}"


def check_one_window(features: Tensor, stride: tuple[int, int]) -> None:
    """Raise `ShapeError` if not one whole window fits into maps."""
    if any(size < step for size, step in zip(features.shape[2:], stride, strict=True)):
        raise ShapeError(
            f"features of at least {stride} px",
            tuple(features.shape[2:]),
            cause="There is not one whole window in them.",
            fix="Use larger images, or leave a pool out.",
        )
