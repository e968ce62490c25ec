"""Where the positions of each step lie in the image, and which tensors are alive after it.

A cut is a moment in a run: all tensors that were computed from the images and are still to be read. What
comes after depends on the images through them alone. Strides follow from the operations; where an operation
is not known, such as a class token or a positional embedding, the layout is taken from the shape, and said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from torch import Tensor, fx

from shiftproof.anatomy._law import Reason
from shiftproof.anatomy._operations import (
    AXES,
    Adaptive,
    AliasFree,
    Axis,
    Choose,
    Finer,
    Images,
    LowPass,
    Normalise,
    Operation,
    Pair,
    Pointwise,
    Reduce,
    Scatter,
    Slide,
    Spectrum,
    Take,
    Unpool,
)
from shiftproof.anatomy._positions import Located, locate
from shiftproof.anatomy._reading import Step, Steps
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
    """

    axes: tuple[int | None, int | None]
    size: Pair
    stride_px: Fractions = (Fraction(1), Fraction(1))
    content: tuple[Pair, Pair] = ((0, 0), (0, 0))
    images: int = 0
    n_extra: int = 0
    chosen: bool = False
    by_shape: bool = False

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


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A moment in the run of a network.

    Args:
        step: The one after which it is.
        alive: The steps whose answers are still to be read.
    """

    step: Step
    alive: tuple[fx.Node, ...]


def common_stride(places: Sequence[Place | None]) -> Pair:
    """The least number of whole pixels by which all of them move by whole positions, (down, right).

    Example:
        >>> common_stride([Place((2, 3), (7, 7), (Fraction(32), Fraction(32))), None])
        (32, 32)
    """
    strides = [place.stride_px for place in places if place is not None]
    down, right = (math.lcm(1, *(stride[axis].numerator for stride in strides)) for axis in AXES)
    return down, right


@dataclass(frozen=True, slots=True)
class Motion:
    """How maps move, and what lies around them.

    Args:
        around: Whether maps go around; else those positions that come in from outside are as computed.
        real_border: Whether a step adds the border that it adds in the network; else that goes around too.
        fractions: Whether maps move by fractions of a position.
    """

    around: bool
    real_border: bool = False
    fractions: bool = False


def commutes(step: Step, parents: Sequence[Placed], image_px: Pair, motion: Motion) -> bool:
    """Whether a step does to moved maps what it does to maps, and then moves them: it can lose nothing.

    Args:
        step: Any.
        parents: Where the positions of its inputs lie; of those without any, all is as it was.
        image_px: Of the images, (height, width).
        motion: How the maps move.
    """
    places = [place for place in parents if isinstance(place, Place)]
    if not places:
        return all(place is None for place in parents) and not isinstance(step.operations[0], Images)
    closed = all(
        size == 1 or size * stride == length
        for place in places
        for size, stride, length in zip(place.size, place.stride_px, image_px, strict=True)
    )
    return all(_commutes(operation, closed, motion) for operation in step.operations)


def _commutes(operation: Operation, closed: bool, motion: Motion) -> bool:
    linear_enough = getattr(operation, "linear", False) or not motion.fractions
    match operation:
        case Pointwise():
            return linear_enough
        case Slide():
            alike = not (motion.real_border and any((*operation.before, *operation.after)))
            return motion.around and alike and operation.stride == (1, 1) and linear_enough
        case Reduce():
            return motion.around and closed and linear_enough
        case Normalise() | AliasFree():
            return motion.around and closed and not motion.fractions
    return False


def find_cuts(steps: Steps) -> tuple[Cut, ...]:
    """One cut after each step, the images first and the answer last."""
    nodes = [step.node for step in steps.steps]
    order = {node: index for index, node in enumerate(nodes)}
    last_read = {
        node: max((order[user] for user in node.users if user in order), default=-1) for node in nodes
    }
    last_read[nodes[-1]] = len(nodes)
    return tuple(
        Cut(step, tuple(node for node in nodes[: index + 1] if last_read[node] > index))
        for index, step in enumerate(steps.steps)
    )


def find_places(steps: Steps) -> dict[fx.Node, Placed]:
    """Where the positions of each step lie; None where it has none, or why that is not known."""
    found: dict[fx.Node, Placed] = {}
    where = locate(steps)
    for step in steps.steps:
        place = _placed(step, [found[node] for node in _sources(step, found)], steps)
        located = where[step.node]
        if isinstance(place, Place) and isinstance(located, Located) and located.stride_px is not None:
            place = replace(place, stride_px=located.stride_px)
        found[step.node] = place
    return found


def _sources(step: Step, found: Mapping[fx.Node, Placed]) -> tuple[fx.Node, ...]:
    return step.inputs or tuple(node for node in step.node.all_input_nodes if node in found)


def _placed(step: Step, parents: Sequence[Placed], steps: Steps) -> Placed:
    first = step.operations[0]
    if isinstance(first, Images):
        assert step.grid is not None
        height, width = step.grid.size
        return Place((2, 3), (height, width), content=((0, height), (0, width)))
    if isinstance(first, Choose):
        return Reason(step.layer, "It gives which positions a layer has chosen.")
    shape = steps.trace.shapes.get(step.node)
    places = [place for place in parents if isinstance(place, Place)]
    if not places:
        reason = next((place for place in parents if isinstance(place, Reason)), None)
        return None if shape is not None and is_row(shape) else reason
    parent = max(places, key=lambda place: math.prod(place.size))
    chosen = any(place.chosen for place in places)
    if step.grid is not None:
        for operation in step.operations:
            parent = _after(operation, parent)
        if parent.size != step.grid.size:
            content = ((0, step.grid.size[0]), (0, step.grid.size[1]))
            parent = replace(parent, size=step.grid.size, content=content)
        found = replace(parent, axes=step.grid.axes, images=step.grid.images, n_extra=step.grid.lead)
        return None if found.size == (1, 1) else replace(found, chosen=found.chosen or chosen)
    if any(isinstance(operation, Reduce | Scatter | Spectrum) for operation in step.operations):
        return None
    if shape is None:  # Several tensors at once: each is looked at by itself when it is taken out.
        return replace(parent, by_shape=True)
    if is_row(shape):
        return None
    guess = placed_by_shape(shape, parent)
    return guess or Reason(step.layer, "Where its positions lie in the image is not known.")


def _after(operation: Operation, place: Place) -> Place:
    match operation:
        case Slide():
            return _scaled(place, [_slid(operation, place, axis) for axis in AXES], operation.stride)
        case Finer() | Unpool():
            factors = operation.factor if isinstance(operation, Finer) else operation.stride
            ends = [
                (size * factor, (begin * factor, end * factor))
                for size, factor, (begin, end) in zip(place.size, factors, place.content, strict=True)
            ]
            return _scaled(place, ends, [Fraction(1, factor) for factor in factors])
        case Adaptive() | Take():
            sizes = [size // by for size, by in zip(place.size, operation.stride, strict=True)]
            return replace(_scaled(place, [(n, (0, n)) for n in sizes], operation.stride), chosen=True)
        case LowPass():
            sizes = [-(-size // by) for size, by in zip(place.size, operation.stride, strict=True)]
            by = [Fraction(before, after) for before, after in zip(place.size, sizes, strict=True)]
            return _scaled(place, [(n, (0, n)) for n in sizes], by)
        case Reduce() | Spectrum():
            ends = [
                (1, (0, 1)) if reduced else (size, content)
                for reduced, size, content in zip(operation.axes, place.size, place.content, strict=True)
            ]
            return _scaled(place, ends, (1, 1))
    return place


def _scaled(place: Place, ends: Sequence[tuple[int, Pair]], by: Sequence[int | Fraction]) -> Place:
    (height, rows), (width, columns) = ends
    stride = (place.stride_px[0] * by[0], place.stride_px[1] * by[1])
    return replace(place, size=(height, width), content=(rows, columns), stride_px=stride)


def _slid(slide: Slide, place: Place, axis: Axis) -> tuple[int, Pair]:
    """Positions after a window, and those of them whose middle lies in the content."""
    n = slide.n_outputs(axis, place.size[axis])
    begin, end = place.content[axis]
    middle = Fraction(slide.extent(axis) - 1, 2) - slide.before[axis]
    first = math.ceil((begin - Fraction(1, 2) - middle) / slide.stride[axis])
    last = math.floor((end - Fraction(1, 2) - middle) / slide.stride[axis])
    return n, (max(0, first), min(n, last + 1))


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
    ends = [(n, (0, n)) for n in size]
    return replace(_scaled(found, ends, factors), axes=ways[0], n_extra=0)
