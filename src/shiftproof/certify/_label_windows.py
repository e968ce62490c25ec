"""Labels of what windows see: convolutions, transposed ones, and pools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from shiftproof.certify._labels import BEYOND, BORDER, Array, Labels


def convolved(labels: Labels, maps: Array, given: Mapping[str, Any], output: Tensor) -> Array:
    """(worlds, *output.shape): each channel is a function of its own of a window in its order.

    Args:
        labels: Where new ones come from.
        maps: (worlds, N, C, ...).
        given: The arguments of `aten::convolution`; the weight is a constant.
        output: What it gave.
    """
    size, after = maps.shape[3:], output.shape[2:]
    kernel_size = given["weight"].shape[2:]
    along = [
        _transposed(*numbers) if given["transposed"] else _taken(*numbers)
        for numbers in zip(
            size,
            after,
            kernel_size,
            _each(given["stride"], len(size)),
            _each(given["padding"], len(size)),
            _each(given["dilation"], len(size)),
            strict=True,
        )
    ]
    n, groups, n_filters = maps.shape[1], int(given["groups"]), output.shape[1]
    grouped = maps.reshape(-1, n, groups, maps.shape[2] // groups, *size)
    channels = labels.fresh(np.moveaxis(grouped, 3, -1))
    windows = labels.fresh(_gathered(channels, along))
    # Of each group, which is numbered by its place, the filters.
    group = np.arange(groups).reshape(1, 1, -1, *([1] * len(size)))
    of_group = labels.fresh(np.stack([windows, np.broadcast_to(group, windows.shape)], -1))
    filters = labels.with_number(of_group, n_filters // groups)
    return np.moveaxis(filters, -1, 3).reshape(-1, *output.shape)


def pooled(maps: Array, given: Mapping[str, Any], n: int, after: Sequence[int]) -> Array:
    """(worlds, ..., *after, numbers of a window): what each window sees, and where it ends outside.

    Args:
        maps: (worlds, ..., *size).
        given: The arguments of a pool; without a kernel it is one of a fixed number of windows.
        n: Axes of a window.
        after: Windows along these.
    """
    size = maps.shape[-n:]
    if "kernel_size" not in given:
        return _gathered(maps, [_parts(old, new) for old, new in zip(size, after, strict=True)])
    kernel = _each(given["kernel_size"], n)
    stride = _each(given["stride"] or kernel, n)
    padding, dilation = _each(given.get("padding", 0), n), _each(given.get("dilation", 1), n)
    numbers = zip(size, after, kernel, stride, padding, dilation, strict=True)
    return _gathered(maps, [_taken(*each) for each in numbers])


def _each(value: Any, n: int) -> list[int]:
    listed = list(value) if isinstance(value, list | tuple) else [value]
    return listed * n if len(listed) == 1 else listed


def _taken(size: int, n: int, kernel_size: int, stride: int, padding: int, dilation: int) -> Array:
    """(windows, taps): the positions that each window reads."""
    places = np.arange(n)[:, None] * stride - padding + np.arange(kernel_size) * dilation
    outside = np.where(places < size + padding, BORDER, BEYOND)
    return np.where((places >= 0) & (places < size), places, outside).astype(np.int64)


def _transposed(size: int, n: int, kernel_size: int, stride: int, padding: int, dilation: int) -> Array:
    """(positions, taps): the old position that reaches a new one by each tap."""
    reached = np.arange(n)[:, None] + padding - np.arange(kernel_size) * dilation
    known = (reached % stride == 0) & (reached >= 0) & (reached < size * stride)
    return np.where(known, reached // stride, BORDER).astype(np.int64)


def _parts(size: int, n: int) -> Array:
    """(parts, most): the positions of each of so many parts, as torch's adaptive pools take them."""
    bounds = [(part * size // n, -(-(part + 1) * size // n)) for part in range(n)]
    most = max(stop - start for start, stop in bounds)
    rows = [[*range(start, stop), *[BEYOND] * (most - stop + start)] for start, stop in bounds]
    return np.array(rows, np.int64)


def _gathered(maps: Array, along: Sequence[Array]) -> Array:
    """(..., windows along each axis, numbers of a window), with what lies outside marked."""
    first = maps.ndim - len(along)
    for axis, positions in enumerate(along, start=first):
        n, n_taps = positions.shape
        taken = np.take(maps, np.maximum(positions, 0).reshape(-1), axis)
        taken = taken.reshape(*maps.shape[:axis], n, n_taps, *maps.shape[axis + 1 :])
        mark = positions.reshape(n, n_taps, *([1] * (maps.ndim - axis - 1)))
        maps = np.moveaxis(np.where(mark < 0, np.minimum(mark, taken), taken), axis + 1, -1)
    shape = maps.shape[: first + len(along)]
    return np.ascontiguousarray(maps).reshape(*shape, -1)
