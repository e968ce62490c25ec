"""What a perfectly equivariant network would hold of a moved image: the maps of the image, moved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import torch
from torch import Tensor

from shiftproof.anatomy import Place

# Half the length of the windowed sinc that reads between positions, where there are so many.
HALF_TAPS = 8
Offset = tuple[float, float]


def moved_maps(value: Tensor, place: Place, offsets_px: Sequence[Offset], size_px: tuple[int, int]) -> Tensor:
    """The maps of images that go around, moved along with them: exact, whole positions or not.

    Args:
        value: A tensor of N images.
        place: Where its positions lie; it has to go around as the images do.
        offsets_px: (dy, dx) of each image.
        size_px: Of the images.

    Returns:
        A new tensor. Whole positions are copies; between positions the Fourier series of the circle is read;
        tokens without a place are as they are.
    """
    around = [
        int(length / stride) if size > 1 else 1
        for size, stride, length in zip(place.size, place.stride_px, size_px, strict=True)
    ]
    moved = value.clone()
    maps, target = place.maps(value), place.maps(moved)
    for index, offset in enumerate(offsets_px):
        down, right = (
            _around(place.size[axis], around[axis], _distance(place, offset, axis, maps)) for axis in (0, 1)
        )
        target[index] = right.read(down.read(maps[index], -2), -1)
    return moved


def moved_inside(value: Tensor, place: Place, offsets_px: Sequence[Offset], beneath: Tensor) -> Tensor:
    """The maps of images, moved along with them as far as they reach; the rest is as it was computed.

    Args:
        value: A tensor of N images.
        place: Where its positions lie.
        offsets_px: (dy, dx) of each image.
        beneath: What the network computed for the moved images, of which those positions are kept that come
            in from outside, and those of a border.

    Returns:
        A new tensor. Between positions a windowed sinc is read.
    """
    moved = value.clone()  # Tokens without a place are those of the images.
    maps, target, below = place.maps(value), place.maps(moved), place.maps(beneath)
    for index, offset in enumerate(offsets_px):
        down, right = (
            _inside(place.size[axis], place.content[axis], _distance(place, offset, axis, maps))
            for axis in (0, 1)
        )
        target[index] = below[index]
        if down.filled.stop > down.filled.start and right.filled.stop > right.filled.start:
            found = right.read(down.read(maps[index], -2), -1)
            target[index][..., down.filled, right.filled] = found
    return moved


def _distance(place: Place, offset_px: Offset, axis: int, maps: Tensor) -> Fraction:
    """In positions; whole where maps cannot move by less."""
    distance = Fraction(offset_px[axis]) / place.stride_px[axis]
    whole_only = place.chosen or not maps.is_floating_point()
    return Fraction(math.floor(distance + Fraction(1, 2))) if whole_only else distance


@dataclass(frozen=True, eq=False, slots=True)
class _Reader:
    """What to read along one axis.

    Args:
        filled: Positions that are read.
        source: For each of them a position, or weights (positions read, positions).
    """

    filled: slice
    source: Tensor

    def read(self, maps: Tensor, dim: int) -> Tensor:
        source = self.source.to(maps.device)
        if not source.is_floating_point():
            return maps.index_select(dim, source)
        weights = source.to(maps.dtype)
        return torch.matmul(weights, maps) if dim == -2 else torch.matmul(maps, weights.T)


@cache
def _around(size: int, around: int, distance: Fraction) -> _Reader:
    """Of an axis that goes around after so many positions; those beyond repeat the first ones."""
    places = torch.arange(size)
    if distance.denominator == 1:
        return _Reader(slice(0, size), (places - int(distance)) % around)
    weights = torch.zeros(size, size, dtype=torch.float64)
    weights[:, :around] = _fourier(around, -float(distance))[places % around]
    return _Reader(slice(0, size), weights)


def _fourier(size: int, distance: float) -> Tensor:
    """Weights (positions, positions) that read a periodic, band-limited row at i + distance."""
    frequencies = torch.fft.fftfreq(size, dtype=torch.float64)
    turns = torch.polar(torch.ones_like(frequencies), 2 * torch.pi * frequencies * distance)
    if size % 2 == 0:  # The highest frequency is real: it cannot turn.
        turns[size // 2] = math.cos(math.pi * distance)
    spectrum = torch.fft.fft(torch.eye(size, dtype=torch.float64), dim=0)
    weights: Tensor = torch.fft.ifft(spectrum * turns[:, None], dim=0).real
    return weights


@cache
def _inside(size: int, content: tuple[int, int], distance: Fraction) -> _Reader:
    """Of an axis that ends: the positions of the content that come from the content."""
    begin, end = content
    first, stop = max(begin, math.ceil(begin + distance)), min(end, math.floor(end - 1 + distance) + 1)
    filled = slice(first, max(first, stop))
    if distance.denominator == 1:
        return _Reader(filled, torch.arange(filled.start, filled.stop) - int(distance))
    wanted = torch.arange(filled.start, filled.stop, dtype=torch.float64)[:, None] - float(distance)
    positions = torch.arange(size, dtype=torch.float64)
    away = wanted - positions
    taps = max(1, min(HALF_TAPS, (end - begin) // 2))
    weights = torch.sinc(away) * torch.sinc(away / taps) * (away.abs() < taps)
    weights = weights * ((positions >= begin) & (positions < end))
    return _Reader(filled, weights / weights.sum(1, keepdim=True))
