"""Filters in whole numbers, whose responses are exact: edges, a letter's own, and random ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.stride_tricks import sliding_window_view

from shiftproof._digest import derive_seed
from shiftproof.errors import OptionError, ShapeError

Integers = npt.NDArray[np.int64]

SMOOTH, SLOPE = (1, 2, 1), (-1, 0, 1)


@dataclass(frozen=True, eq=False)
class Filter:
    """A convolution with ReLU: weights, and how much a response has to exceed.

    Args:
        name: For tables and figures.
        weights: int64 (h, w), not turned around, as networks do it.
        threshold: At least 0, so that an empty image has an empty response; minus the bias of a layer.

    Raises:
        ShapeError: Weights that are not 2-D.
        OptionError: Weights that are not whole numbers, or a threshold below 0.

    Example:
        >>> step = Filter("step", np.array([[-1, 1]]))
        >>> step.respond(np.array([[0, 3, 3, 1]])).tolist()
        [[3, 0, 0]]
    """

    name: str
    weights: Integers
    threshold: int = 0

    def __post_init__(self) -> None:
        if self.weights.ndim != 2 or not self.weights.size:
            raise ShapeError("weights of shape (h, w)", self.weights.shape)
        if not np.issubdtype(self.weights.dtype, np.integer):
            raise OptionError(
                "weights that are whole numbers", self.weights.dtype, fix="Scale and round them."
            )
        if self.threshold < 0:
            raise OptionError(
                "a threshold of at least 0", self.threshold, cause="An empty image would have a response."
            )

    @property
    def reach_px(self) -> int:
        """How many pixels beyond its first it looks at, along the longer axis."""
        return int(max(self.weights.shape)) - 1

    def correlate(self, maps: Integers) -> Integers:
        """The sums alone, without threshold and ReLU: (..., H, W) to (..., H − h + 1, W − w + 1)."""
        windows = sliding_window_view(maps, self.weights.shape, axis=(-2, -1))
        sums: Integers = np.einsum("...ij,ij->...", windows, self.weights.astype(np.int64))
        return sums

    def respond(self, maps: Integers) -> Integers:
        """max(0, sum − threshold) at each place where the filter fits: no padding."""
        return np.maximum(self.correlate(maps) - self.threshold, 0)


def edge_filters() -> tuple[Filter, ...]:
    """Six small detectors: an edge in each of four directions, both signs of a spot.

    Source:
        Sobel 1968 for the edges; the four neighbours' Laplacian for the spots.

    Example:
        >>> [each.name for each in edge_filters()][:2]
        ['edge, brighter below', 'edge, brighter above']
    """
    down = np.outer(SLOPE, SMOOTH)
    spot = np.array([[0, -1, 0], [-1, 4, -1], [0, -1, 0]])
    return (
        Filter("edge, brighter below", down),
        Filter("edge, brighter above", -down),
        Filter("edge, brighter right", down.T.copy()),
        Filter("edge, brighter left", -down.T),
        Filter("bright spot", spot),
        Filter("dark spot", -spot),
    )


def matched_filter(image: npt.ArrayLike, *, alone: bool = False) -> Filter:
    """The filter that answers most to one pattern: +1 where it is bright, −1 where it is not.

    Args:
        image: Whole numbers (H, W); what is not 0 belongs to the pattern.
        alone: Raise the threshold to the second largest response, so that one pixel is left: what the article
            calls a filter that detects the letter.

    Raises:
        ShapeError: Not 2-D.
        OptionError: An empty image.

    Example:
        >>> matched_filter([[0, 5, 5], [0, 5, 0]]).weights.tolist()
        [[1, 1], [1, -1]]
    """
    pattern = cropped(np.asarray(image) != 0)
    weights = np.where(pattern, 1, -1).astype(np.int64)
    if not alone:
        return Filter("matched", weights)
    plain = Filter("matched", weights)
    height, width = pattern.shape
    canvas = np.pad(np.where(pattern, int(np.max(image)), 0), [(height, height), (width, width)])
    sums = np.sort(plain.correlate(canvas), axis=None)
    return Filter("matched, fires once", weights, int(max(0, sums[-2])))


def random_filters(n_filters: int, *, size_px: int = 5, seed: int = 0) -> tuple[Filter, ...]:
    """Square filters of whole numbers from −3 to 3, drawn independently.

    Args:
        n_filters: How many; the first ones do not depend on it.
        size_px: Side; 5 in the article's networks.
        seed: Source of the weights.

    Example:
        >>> random_filters(2, size_px=1)[1].name
        'random 1'
    """
    filters = []
    for number in range(n_filters):
        generator = torch.Generator().manual_seed(derive_seed(seed, "filter", number))
        weights = torch.randint(-3, 4, (size_px, size_px), generator=generator)
        filters.append(Filter(f"random {number}", weights.numpy()))
    return tuple(filters)


def cropped(pattern: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The smallest rectangle around what is set."""
    if pattern.ndim != 2:
        raise ShapeError("an image of shape (H, W)", pattern.shape)
    box = bounding_box(pattern)
    if box is None:
        raise OptionError("an image with something in it", "an empty one")
    return pattern[box]


def bounding_box(pattern: npt.NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """Rows and columns of the smallest rectangle around what is set; None where nothing is."""
    rows, columns = (np.flatnonzero(pattern.any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
