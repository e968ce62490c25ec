"""Where the positions of a tensor lie, in the tensor and in the image.

Strides are those of the operations; where an operation is not known, such as a class token or a positional
embedding, the layout is taken from the shape, and said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from torch import Tensor, fx

from shiftproof.anatomy._network import Step, Steps
from shiftproof.anatomy._operations import AXES, Choose, Flatten, Pair, PositionGrid, Reduce, Spectrum
from shiftproof.anatomy._positions import Located, locate
from shiftproof.anatomy._reasons import Reason
from shiftproof.anatomy._trace import BATCH

# Class tokens and registers stand before the positions of a transformer.
MOST_EXTRA_TOKENS = 8
Fractions = tuple[Fraction, Fraction]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the positions of a tensor lie in the image. All pairs are (down, right).

    Args:
        axes: Axes of rows and of columns; one twice where rows follow each other on one axis.
        size: Positions.
        stride_px: Pixels of the image from one position to the next; below 1 after upsampling.
        content: The first position that stands for a place of the image and the one after the last; those
            beyond were added as a border.
        images: Axis of the images.
        n_extra: Tokens on the axis before the positions, which have no place in the image.
        chosen: Whether a layer chooses by the content by how many whole positions maps move.
        by_shape: Whether this was taken from the shape.
        measured: Whether it was measured: by which numbers a NaN reaches.
    """

    axes: tuple[int | None, int | None]
    size: Pair
    stride_px: Fractions = (Fraction(1), Fraction(1))
    content: tuple[Pair, Pair] = ((0, 0), (0, 0))
    images: int = 0
    n_extra: int = 0
    chosen: bool = False
    by_shape: bool = False
    measured: bool = False

    @property
    def is_joint(self) -> bool:
        """Whether all positions lie on one axis."""
        return self.axes[0] is not None and self.axes[0] == self.axes[1]

    def goes_around(self, image_px: Pair) -> bool:
        """Whether the positions close a circle as the pixels do; a border may repeat some of them."""
        return all(
            size == 1 or ((length / stride).denominator == 1 and size >= length / stride)
            for size, stride, length in zip(self.size, self.stride_px, image_px, strict=True)
        )

    def maps(self, value: Tensor) -> Tensor:
        """A view (N, …, rows, columns) of the positions of a tensor, without the tokens before them."""
        named = [axis for axis in dict.fromkeys(self.axes) if axis is not None]
        others = [axis for axis in range(value.ndim) if axis not in named and axis != self.images]
        view = value.permute(self.images, *others, *named)
        if self.is_joint:
            positions = view[..., self.n_extra :]
            return positions.view(*positions.shape[:-1], *self.size)
        if self.axes[1] is None:
            view = view.unsqueeze(-1)
        return view.unsqueeze(-2) if self.axes[0] is None else view


Placed = Place | Reason | None


def common_stride(places: Sequence[Place | None]) -> Pair:
    """The least number of whole pixels by which all of them move by whole positions, (down, right).

    Example:
        >>> common_stride([Place((2, 3), (7, 7), (Fraction(32), Fraction(32))), None])
        (32, 32)
    """
    strides = [place.stride_px for place in places if place is not None]
    down, right = (math.lcm(1, *(stride[axis].numerator for stride in strides)) for axis in AXES)
    return down, right


def find_places(steps: Steps) -> dict[fx.Node, Placed]:
    """Where the positions of each step lie; None where it has none, or why that is not known."""
    found: dict[fx.Node, Placed] = {}
    where = locate(steps)
    for step in steps.steps:
        sources = step.inputs or tuple(node for node in step.node.all_input_nodes if node in found)
        found[step.node] = _placed(step, where[step.node], [found[node] for node in sources], steps)
    return found


def _placed(step: Step, where: Located | Reason, parents: Sequence[Placed], steps: Steps) -> Placed:
    if isinstance(step.operations[0], Choose):
        return Reason(step.layer, "It gives which positions a layer has chosen.")
    if isinstance(where, Located) and where.stride_px is not None and step.grid is not None:
        return None if step.grid.size == (1, 1) else _known(step.grid, where, where.stride_px)
    shape = steps.trace.shapes.get(step.node)
    places = [place for place in parents if isinstance(place, Place)]
    if not places:
        reason = next((place for place in parents if isinstance(place, Reason)), None)
        return None if shape is not None and is_row(shape) else reason
    if any(isinstance(operation, Reduce | Flatten | Spectrum) for operation in step.operations):
        return None
    parent = max(places, key=lambda place: math.prod(place.size))
    if shape is None:  # Several tensors at once: each is looked at by itself when it is taken out.
        return replace(parent, by_shape=True)
    if is_row(shape):
        return None
    guess = placed_by_shape(shape, parent)
    return guess or Reason(step.layer, "Where its positions lie in the image is not known.")


def _known(grid: PositionGrid, where: Located, stride_px: Fractions) -> Place:
    down, right = (
        positions.content if positions is not None else (0, size)
        for positions, size in zip(where.axes, grid.size, strict=True)
    )
    return Place(grid.axes, grid.size, stride_px, (down, right), grid.images, grid.lead, where.chosen)


def is_row(shape: Sequence[int]) -> bool:
    """(N, F), (N, 1, F), (N, F, 1, 1): one row of features for each image, of which none is a place.

    Example:
        >>> is_row((2, 10)), is_row((2, 10, 1, 1)), is_row((2, 10, 7, 7))
        (True, True, False)
    """
    return len(shape) > 1 and shape[0] == BATCH and sum(size > 1 for size in shape[1:]) <= 1


def placed_by_shape(shape: Sequence[int], parent: Place) -> Place | None:
    """The layout of a tensor that was computed from another in a way that is not known.

    Args:
        shape: Of the tensor, for `BATCH` images.
        parent: Where the positions of its input lie.

    Returns:
        The same positions on the same axes, as tokens of which some may stand before them, or as maps whose
        sizes divide those of the input; None where it fits in none of these ways.

    Example:
        >>> parent = Place((2, 3), (14, 14), (Fraction(16), Fraction(16)))
        >>> placed_by_shape((2, 197, 64), parent).n_extra, placed_by_shape((2, 3, 196, 196), parent)
        (1, None)
    """
    images = parent.images if len(shape) > parent.images and shape[parent.images] == BATCH else 0
    if not shape or shape[images] != BATCH:
        return None
    own = [axis for axis in range(len(shape)) if axis != images]
    found = replace(parent, images=images, by_shape=True)
    n_positions = parent.size[0] * parent.size[1]
    if len(shape) == 3:
        first = [parent.axes[0]] if parent.is_joint and parent.axes[0] in own else []
        for axis in [*first, *own]:
            if axis is not None and 0 <= shape[axis] - n_positions <= MOST_EXTRA_TOKENS:
                return replace(found, axes=(axis, axis), n_extra=shape[axis] - n_positions)
    if len(shape) != 4 or images != 0:
        return None
    ways: list[tuple[int, int]] = [(2, 3), (1, 2)]
    if parent.axes in ways:
        ways.sort(key=lambda way: way != parent.axes)
    for rows, columns in ways:
        if (shape[rows], shape[columns]) == parent.size:
            return replace(found, axes=(rows, columns), n_extra=0)
    if parent.axes not in ways:
        return None
    if min(shape) == 0:
        return None
    size = (shape[ways[0][0]], shape[ways[0][1]])
    factors = [Fraction(before, after) for before, after in zip(parent.size, size, strict=True)]
    strides = [stride * factor for stride, factor in zip(parent.stride_px, factors, strict=True)]
    if any(stride.denominator > 1 for stride in strides):  # Whole pixels, or it is something else.
        return None
    whole = ((0, size[0]), (0, size[1]))
    return replace(
        found, axes=ways[0], size=size, stride_px=(strides[0], strides[1]), content=whole, n_extra=0
    )
