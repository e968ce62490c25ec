"""Where the answer of a layer lies in the image: layout, stride, and the pixels that a position sees."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from torch import Tensor

from shiftproof.anatomy import Place

# Channels before rows and columns, or after; `l` is rows and columns as one axis.
Layout = Literal["nchw", "nhwc", "ncl", "nlc"]
Pair = tuple[Fraction, Fraction]
# Class tokens and registers stand before the positions of a transformer.
MOST_EXTRA_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Space:
    """The positions of feature maps, as places in the image.

    Args:
        layout: Order of the axes.
        channels: Features at each position.
        size: Positions, (down, right).
        stride: Pixels of the image from one position to the next, (down, right); below 1 after upsampling.
        first: First pixel that position (0, 0) sees, (down, right); negative where it sees a border.
        last: Last pixel that it sees; None, as `first`, where a position sees the whole image or it is
            not known what.
        n_extra: Tokens before the positions, which have no place in the image.
        by_sizes: Whether strides, here or before, were told by how many positions there are.
    """

    layout: Layout
    channels: int
    size: tuple[int, int]
    stride: Pair = (Fraction(1), Fraction(1))
    first: Pair | None = (Fraction(0), Fraction(0))
    last: Pair | None = (Fraction(0), Fraction(0))
    n_extra: int = 0
    by_sizes: bool = False

    def maps(self, answer: Tensor) -> Tensor:
        """The positions as (N, C, H, W), without the tokens before them."""
        if self.layout == "nchw":
            return answer
        if self.layout == "nhwc":
            return answer.permute(0, 3, 1, 2)
        tokens = answer if self.layout == "ncl" else answer.transpose(1, 2)
        channels = tokens.shape[1]
        return tokens[:, :, self.n_extra :].reshape(len(tokens), channels, *self.size)

    def place(self, image_px: tuple[int, int]) -> Place:
        """The same as anatomy says it, of images of that size."""
        axes = {"nchw": (2, 3), "nhwc": (1, 2), "ncl": (2, 2), "nlc": (1, 1)}[self.layout]
        return Place(
            axes,
            self.size,
            self.stride,
            (self._content(0, image_px[0]), self._content(1, image_px[1])),
            n_extra=self.n_extra,
            by_shape=self.by_sizes,
            measured=not self.by_sizes,
        )

    def _content(self, axis: int, length_px: int) -> tuple[int, int]:
        """Positions that see around a middle which lies in the image, up to half a pixel."""
        size = self.size[axis]
        if self.first is None or self.last is None:
            return 0, size
        twice = (2 * p * self.stride[axis] + self.first[axis] + self.last[axis] for p in range(size))
        inside = [p for p, middle in enumerate(twice) if -1 <= middle <= 2 * length_px - 1]
        return (inside[0], inside[-1] + 1) if inside else (0, 0)

    @property
    def blind(self) -> Space:
        """The same, of which it is not known what a position sees."""
        return replace(self, first=None, last=None)


def arranged(shape: Sequence[int], parent: Space) -> Space | None:
    """Layout and size of an answer whose input was laid out as `parent`; None where it has no positions.

    Where a shape can be read in two ways, the layout of the input is kept.

    Example:
        >>> parent = Space("nchw", 64, (14, 14))
        >>> arranged((2, 197, 64), parent).layout, arranged((2, 64), parent)
        ('nlc', None)
    """
    readings = [found for layout in _order(parent, shape) if (found := _read(shape, layout, parent))]
    exact = [r for r in readings if r.size == parent.size and r.channels == parent.channels]
    same_size = [r for r in readings if r.size == parent.size]
    return next(iter([*exact, *same_size, *readings]), None)


def _order(parent: Space, shape: Sequence[int]) -> list[Layout]:
    if len(shape) == 4:
        last = parent.layout in ("nhwc", "nlc")
        return ["nhwc", "nchw"] if last else ["nchw", "nhwc"]
    first = parent.layout in ("nchw", "ncl")
    return ["ncl", "nlc"] if first else ["nlc", "ncl"]


def _read(shape: Sequence[int], layout: Layout, parent: Space) -> Space | None:
    if len(shape) != len(layout) or 0 in shape:
        return None
    channels = shape[layout.index("c")]
    if "l" in layout:
        n_extra = shape[layout.index("l")] - parent.size[0] * parent.size[1]
        if not 0 <= n_extra <= MOST_EXTRA_TOKENS:
            return None
        return replace(parent.blind, layout=layout, channels=channels, n_extra=n_extra)
    size = (shape[layout.index("h")], shape[layout.index("w")])
    if "l" in parent.layout and size != parent.size:
        return None
    if layout != parent.layout and size != parent.size:  # Another order is believed only if it fits.
        return None
    return replace(parent.blind, layout=layout, channels=channels, size=size, n_extra=0)
