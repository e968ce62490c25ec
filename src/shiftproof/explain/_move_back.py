"""Which positions of two feature maps belong together when the image moved, and how to read between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import product

import torch
from torch import Tensor

from shiftproof.explain._space import Space
from shiftproof.explain._views import View

# Half the length of the windowed sinc, in positions: the longest that leaves enough to compare.
HALF_TAPS = (8, 6, 4, 3, 2, 1)
# Sharp edges ring where a fraction of a pixel is moved, beside what came in from outside.
RINGING_PX = 2

Reader = Tensor | slice


@dataclass(frozen=True, eq=False, slots=True)
class MoveBack:
    """How to lay the maps of a moved image over those of the image.

    Args:
        rows, columns: Positions of the unmoved maps that are compared.
        readers: For each way of moving back, what to read of the moved maps: positions, or weights
            (positions compared, positions); down and right.
    """

    rows: slice
    columns: slice
    readers: tuple[tuple[Reader, Reader], ...]

    def squared_difference(self, unmoved: Tensor, moved: Tensor) -> Tensor:
        """Mean squared difference of each image, float64 (N,), where it is least among the ways."""
        here = unmoved[:, :, self.rows, self.columns]
        found = [
            (here - _read(_read(moved, down, 2), right, 3)).square().mean((1, 2, 3), dtype=torch.float64)
            for down, right in self.readers
        ]
        return torch.stack(found).amin(0).cpu()


def move_back(space: Space, view: View, size_px: tuple[int, int], *, inside: bool) -> MoveBack | None:
    """Whole offsets of the maps are read as they are; between positions a windowed sinc is used.

    A layer may also answer with maps that move by whole positions alone, such as adaptive polyphase
    sampling. So where the offset is no whole number of positions, the nearest ones count as well.

    Args:
        space: Where the maps lie in the image.
        view: How the image was moved.
        size_px: Of the image.
        inside: Only positions that see neither a border nor what came in from outside, in both images.

    Returns:
        None where there is no position to compare.
    """
    if inside and space.first is None:
        return None
    spans, readers = [], []
    for axis in (_Axis.of(space, view, size_px, number) for number in (0, 1)):
        span = axis.span(inside)
        if span is None:
            return None
        spans.append(span[:2])
        readers.append(axis.readers(*span))
    return _combined(spans, readers)


def move_around(space: Space, view: View) -> MoveBack:
    """The same for maps that go around: all positions, and fractions by a Fourier series, exactly."""
    readers, spans = [], []
    for size, offset, stride in zip(space.size, view.offset_px, space.stride, strict=True):
        distance = Fraction(offset) / stride
        near = sorted({math.floor(distance), math.ceil(distance)})
        found: list[Reader] = [torch.arange(size).add(whole).remainder(size) for whole in near]
        readers.append(found if len(near) == 1 else [_fourier(size, float(distance)), *found])
        spans.append((0, size))
    return _combined(spans, readers)


def _combined(spans: Sequence[tuple[int, int]], readers: Sequence[list[Reader]]) -> MoveBack:
    down, right = readers
    ways = [(down[0], right[0])]
    if len(down) > 1 or len(right) > 1:
        ways += product(down[1:] or down, right[1:] or right)
    return MoveBack(slice(*spans[0]), slice(*spans[1]), tuple(ways))


@dataclass(frozen=True, slots=True)
class _Axis:
    """One axis of the maps, and how far they moved along it.

    Args:
        size: Positions.
        distance: Of the content, in positions.
        stride: Pixels from one position to the next.
        first, last: Pixels that position 0 sees; None where that is not known.
        known_px: First pixel, and the one after the last, that hold the image after the move.
        size_px: Of the image.
    """

    size: int
    distance: Fraction
    stride: Fraction
    first: Fraction | None
    last: Fraction | None
    known_px: tuple[int, int]
    size_px: int

    @staticmethod
    def of(space: Space, view: View, size_px: tuple[int, int], axis: int) -> _Axis:
        offset, length = view.offset_px[axis], size_px[axis]
        spare = 0 if offset == round(offset) else RINGING_PX
        known = (max(0, math.ceil(offset)) + spare, min(length, length + math.floor(offset)) - spare)
        return _Axis(
            space.size[axis],
            Fraction(offset) / space.stride[axis],
            space.stride[axis],
            space.first[axis] if space.first else None,
            space.last[axis] if space.last else None,
            known,
            length,
        )

    @property
    def is_whole(self) -> bool:
        return self.distance.denominator == 1

    def span(self, inside: bool) -> tuple[int, int, int] | None:
        """First position compared, the one after the last, and half the taps between positions."""
        if self.is_whole:
            span = self._with_taps(0, inside)
            return (*span, 0) if span else None
        full = self._with_taps(1, inside)
        for taps in HALF_TAPS:
            span = self._with_taps(taps, inside)
            if span and full and 2 * (span[1] - span[0]) >= full[1] - full[0]:
                return (*span, taps)
        return None

    def _with_taps(self, taps: int, inside: bool) -> tuple[int, int] | None:
        """Positions i for which i, and all that is read around i + distance, is there."""
        near = math.floor(self.distance)
        low, high = near - max(0, taps - 1), near + taps
        start, stop = max(0, -low), min(self.size, self.size - high)
        if inside:
            assert self.first is not None
            assert self.last is not None
            for shift, (begin, end) in (
                (0, (0, self.size_px)),
                (low, self.known_px),
                (high, self.known_px),
            ):
                start = max(start, math.ceil((begin - self.first) / self.stride) - shift)
                stop = min(stop, math.floor((end - 1 - self.last) / self.stride) - shift + 1)
        return (start, stop) if start < stop else None

    def readers(self, start: int, stop: int, taps: int) -> list[Reader]:
        """The band-limited way first, where there is one."""
        near = math.floor(self.distance)
        whole: list[Reader] = [slice(start + near, stop + near)]
        if self.is_whole:
            return whole
        whole.append(slice(start + near + 1, stop + near + 1))
        return [_windowed_sinc(self.size, start, stop, self.distance, taps), *whole]


@cache
def _windowed_sinc(size: int, start: int, stop: int, distance: Fraction, taps: int) -> Tensor:
    """Weights (positions compared, positions) of a sinc under a Lanczos window; each row sums to one."""
    wanted = torch.arange(start, stop, dtype=torch.float64)[:, None] + float(distance)
    away = wanted - torch.arange(size, dtype=torch.float64)
    weights = torch.sinc(away) * torch.sinc(away / taps) * (away.abs() < taps)
    return weights / weights.sum(1, keepdim=True)


@cache
def _fourier(size: int, distance: float) -> Tensor:
    """Weights (positions, positions) that read a periodic, band-limited row at i + distance."""
    frequencies = torch.fft.fftfreq(size, dtype=torch.float64)
    turns = torch.polar(torch.ones_like(frequencies), 2 * torch.pi * frequencies * distance)
    if size % 2 == 0:  # The highest frequency is real: it cannot turn.
        turns[size // 2] = math.cos(math.pi * distance)
    spectrum = torch.fft.fft(torch.eye(size, dtype=torch.float64), dim=0)
    weights: Tensor = torch.fft.ifft(spectrum * turns[:, None], dim=0).real
    return weights


def _read(maps: Tensor, reader: Reader, dim: int) -> Tensor:
    if isinstance(reader, slice):
        return maps[:, :, reader] if dim == 2 else maps[..., reader]
    reader = reader.to(maps.device)
    if not reader.is_floating_point():
        return maps.index_select(dim, reader)
    weights = reader.to(maps.dtype)
    return torch.matmul(weights, maps) if dim == 2 else torch.matmul(maps, weights.T)
