"""The shifts under which layers are compared: few, the same ones every time, and of every kind."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor

from shiftproof.errors import OptionError
from shiftproof.explain._space import Pair
from shiftproof.shifts import Border, extend, translate

N_WHOLE = 8
# What comes in from outside must not be sharper than the image moves: see `moved`.
MARGIN_PX = 16
# One over the root of x³ = x + 1 and its square: points that fill a square evenly (Roberts 2018).
EVENLY = (0.7548776662466927, 0.5698402909980532)


@dataclass(frozen=True, slots=True)
class View:
    """One shift of all images.

    Args:
        offset_px: (dy, dx).
        drawn: Whether it is one of the evenly spread ones, rather than there for the sake of a stride.
    """

    offset_px: tuple[float, float]
    drawn: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether it moves by whole pixels."""
        return all(d == round(d) for d in self.offset_px)

    def is_multiple_of(self, stride: Pair) -> bool:
        """Whether feature maps with this stride would move by whole positions."""
        return self.is_whole and all(
            (Fraction(d) / s).denominator == 1 for d, s in zip(self.offset_px, stride, strict=True)
        )


def choose_views(
    size_px: tuple[int, int], strides: Iterable[Pair], *, max_shift_px: int | None = None
) -> tuple[View, ...]:
    """Whole shifts and fractional ones spread evenly over a square, and multiples of each stride.

    Args:
        size_px: Height and width of the images.
        strides: Total strides of the layers, in pixels.
        max_shift_px: Longest shift; by default a seventh of the image for those that are spread, and half
            of it for multiples of strides.

    Returns:
        `N_WHOLE` or fewer whole ones, as many that are half a pixel off on one axis or both, and three for
        each stride that has room; the same for the same arguments.

    Raises:
        OptionError: A longest shift below 1, or no smaller than the image.

    Example:
        >>> views = choose_views((28, 28), [(Fraction(2), Fraction(2))])
        >>> [view.offset_px for view in views if not view.drawn]
        [(2, 0), (0, -2), (-2, 2)]
    """
    smallest = min(size_px)
    reach = max(1, smallest // 7) if max_shift_px is None else max_shift_px
    if not 1 <= reach < smallest:
        raise OptionError(
            f"a longest shift from 1 to {smallest - 1} px",
            reach,
            cause=f"The images are {size_px[0]} × {size_px[1]}.",
            fix="Use a smaller max_shift_px, or larger images.",
        )
    whole = _spread(reach)
    halves = [(0.5, 0.0), (0.0, 0.5), (0.5, 0.5)]
    fractional = [
        (_towards_zero(dy, halves[i % 3][0]), _towards_zero(dx, halves[i % 3][1]))
        for i, (dy, dx) in enumerate(whole)
    ]
    longest = smallest // 2 if max_shift_px is None else max_shift_px
    multiples = [
        (dy, dx)
        for sy, sx in sorted({(math.ceil(s[0]), math.ceil(s[1])) for s in strides})
        if 1 < max(sy, sx) <= longest
        for dy, dx in ((sy, 0), (0, -sx), (-sy, sx))
    ]
    return (
        *(View(offset) for offset in whole),
        *(View(offset) for offset in dict.fromkeys(fractional)),
        *(View(offset, drawn=False) for offset in multiples),
    )


def _spread(reach_px: int) -> list[tuple[float, float]]:
    """Different whole offsets up to `reach_px` on each axis, never (0, 0)."""
    n_wanted = min(N_WHOLE, (2 * reach_px + 1) ** 2 - 1)
    found: dict[tuple[float, float], None] = {}
    for n in range(1, 1000):
        point = tuple(math.floor((0.5 + n * step) % 1 * (2 * reach_px + 1)) - reach_px for step in EVENLY)
        if any(point):
            found[(point[0], point[1])] = None
        if len(found) == n_wanted:
            break
    return list(found)


def _towards_zero(offset_px: float, part_px: float) -> float:
    return offset_px - part_px if offset_px > 0 else offset_px + part_px


def moved(images: Tensor, view: View, border: Border) -> Tensor:
    """Images (N, C, H, W) with their content moved; fractions are moved band-limited.

    Fractions of a circular border are exact. For others the image is first given a margin of what lies
    outside, so that what the Fourier series wraps around stays out of the image.
    """
    if view.is_whole:
        return translate(images, view.offset_px, border=border)
    if border == "circular":
        return translate(images, view.offset_px, border=border, interpolation="fourier")
    my, mx = (MARGIN_PX + math.ceil(abs(d)) for d in view.offset_px)
    wide = extend(images, (my, mx), border)
    wide = translate(wide, view.offset_px, border="circular", interpolation="fourier")
    return wide[:, :, my:-my, mx:-mx].contiguous()
