"""Where positions go when axes are merged, split, moved or cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from shiftproof.anatomy._operations import Pair, PositionGrid, Slide

Shape = tuple[int, ...]


def reshaped(before: Shape, after: Shape, grid: PositionGrid) -> PositionGrid | None:
    """The grid after a reshape, or None where positions are mixed with other things.

    An axis survives where there is one of the same length that has as many numbers before it.

    Example:
        >>> reshaped((2, 6, 4, 5), (2, 3, 2, 20), PositionGrid((4, 5), (2, 3)))
        PositionGrid(size=(4, 5), axes=(3, 3), images=0, lead=0)
        >>> reshaped((2, 6, 4, 5), (2, 120), PositionGrid((4, 5), (2, 3))) is None
        True
    """
    images = _find(after, math.prod(before[: grid.images]), before[grid.images])
    if images is None or math.prod(before) != math.prod(after):
        return None
    height, width = grid.size
    starts = _starts(before, grid)
    if grid.lead:
        assert starts[0] is not None
        line = _find(after, starts[0], grid.lead + height * width)
        return None if line is None else PositionGrid(grid.size, (line, line), images, grid.lead)
    rows, columns = (
        _find(after, start, size) if start is not None else None
        for start, size in zip(starts, grid.size, strict=True)
    )
    lone_row, lone_column = height == 1, width == 1
    if (rows is not None or lone_row) and (columns is not None or lone_column) and rows != columns:
        return _checked(PositionGrid(grid.size, (rows, columns), images))
    adjacent = starts[0] is not None and starts[1] == starts[0] * height
    joint = _find(after, starts[0], height * width) if starts[0] is not None and adjacent else None
    return None if joint is None else PositionGrid(grid.size, (joint, joint), images)


def blocked(before: Shape, after: Shape, grid: PositionGrid) -> tuple[Slide, PositionGrid] | None:
    """What a reshape does that cuts rows and columns into blocks: each block is a position from then on.

    Example:
        >>> slide, grid = blocked((2, 8, 6, 5), (2, 4, 2, 3, 2, 5), PositionGrid((8, 6), (1, 2)))
        >>> slide.stride, grid
        ((2, 2), PositionGrid(size=(4, 3), axes=(1, 3), images=0, lead=0))
    """
    images = _find(after, math.prod(before[: grid.images]), before[grid.images])
    if images is None or math.prod(before) != math.prod(after) or grid.is_joint:
        return None
    places: list[int | None] = []
    sizes, blocks = [], []
    for start, size in zip(_starts(before, grid), grid.size, strict=True):
        if start is None:
            place, block = None, 1
        else:
            outer = (
                axis
                for axis in range(len(after) - 1)
                if math.prod(after[:axis]) == start
                and (after[axis] == size or after[axis] * after[axis + 1] == size)
            )
            place = next(outer, None)
            if place is None:
                return None
            block = size // after[place]
        places.append(place)
        sizes.append(size // block)
        blocks.append(block)
    slide = Slide(_pair(blocks), _pair(blocks), linear=True)
    return slide, PositionGrid(_pair(sizes), (places[0], places[1]), images)


def _starts(shape: Shape, grid: PositionGrid) -> tuple[int | None, int | None]:
    """How many numbers there are before rows, and before columns, in the order of a reshape."""
    rows, columns = grid.axes
    if rows is not None and grid.is_joint:
        start = math.prod(shape[:rows])
        return start, start * grid.size[0]
    return (
        None if rows is None else math.prod(shape[:rows]),
        None if columns is None else math.prod(shape[:columns]),
    )


def _find(shape: Shape, start: int, size: int) -> int | None:
    """The axis of that length before which there are that many numbers."""
    found = (axis for axis in range(len(shape)) if math.prod(shape[:axis]) == start and shape[axis] == size)
    return next(found, None)


def _checked(grid: PositionGrid) -> PositionGrid | None:
    return None if grid.axes == (None, None) else grid


def common_grid(grids: Sequence[PositionGrid]) -> PositionGrid | None:
    """Where the positions of tensors lie that are broadcast to each other; None where that does not fit.

    Example:
        >>> rows, columns = PositionGrid((4, 1), (2, 3)), PositionGrid((1, 5), (2, 3))
        >>> common_grid([rows, columns])
        PositionGrid(size=(4, 5), axes=(2, 3), images=0, lead=0)
        >>> common_grid([PositionGrid((4, 1), (2, None)), PositionGrid((1, 4), (None, 2))]) is None
        True
    """
    if len(set(grids)) == 1:
        return grids[0]
    if len({grid.images for grid in grids}) > 1:
        return None
    wide = [grid for grid in grids if grid.size != (1, 1)]
    if any(grid.is_joint for grid in wide):  # Positions in a line have to be the same line.
        return wide[0] if all(grid == wide[0] for grid in wide) else None
    axes: list[int | None] = []
    sizes = []
    for axis in (0, 1):
        found = {(grid.axes[axis], grid.size[axis]) for grid in wide if grid.size[axis] > 1}
        if len(found) > 1:
            return None
        place, size = next(iter(found), (None, 1))
        axes.append(place)
        sizes.append(size)
    if axes[0] is not None and axes[0] == axes[1]:
        return None  # Rows of one and columns of the other.
    return PositionGrid((sizes[0], sizes[1]), (axes[0], axes[1]), grids[0].images) if wide else grids[0]


def permuted(order: Sequence[int], grid: PositionGrid) -> PositionGrid | None:
    """The grid after axes change places: output axis i is input axis order[i]."""
    places = [axis % len(order) for axis in order]
    if sorted(places) != list(range(len(order))):
        return None
    rows, columns = (None if axis is None else places.index(axis) for axis in grid.axes)
    return replace(grid, axes=(rows, columns), images=places.index(grid.images))


def cut(index: Any, before: Shape, grid: PositionGrid) -> tuple[Slide | None, PositionGrid] | None:
    """What indexing does: to positions, if anything, and where they lie after it.

    None where it asks for something else than slices of positions.

    Example:
        >>> slide, grid = cut((slice(None), 0, slice(1, None), slice(None, None, 2)), (2, 3, 6, 6),
        ...                   PositionGrid((6, 6), (2, 3)))
        >>> slide.before, slide.after, slide.stride, grid
        ((-1, 0), (0, 0), (1, 2), PositionGrid(size=(5, 3), axes=(1, 2), images=0, lead=0))
    """
    items = _items(index, len(before))
    if items is None:
        return None
    axis, kept = 0, 0
    places: dict[int, int] = {}
    cuts: dict[int, tuple[int, int, int]] = {}
    for item in items:
        if item is None:
            kept += 1
            continue
        touches = axis in grid.axes
        whole = item == slice(None) or (
            isinstance(item, slice) and item.indices(before[axis]) == (0, before[axis], 1)
        )
        if axis == grid.images and not whole:
            return None
        if isinstance(item, slice):
            start, stop, step = item.indices(before[axis])
            if touches and not whole:
                if grid.is_joint or step < 1 or stop <= start:
                    return None
                cuts[axis] = (start, stop, step)
            places[axis] = kept
            kept += 1
        elif isinstance(item, int) and not touches:
            pass
        else:
            return None
        axis += 1
    rows, columns = (None if place is None else places[place] for place in grid.axes)
    if not cuts:
        return None, replace(grid, axes=(rows, columns), images=places[grid.images])
    slide = _crop(cuts, before, grid)
    size = (slide.n_outputs(0, grid.size[0]), slide.n_outputs(1, grid.size[1]))
    return slide, PositionGrid(size, (rows, columns), places[grid.images])


def _items(index: Any, n_axes: int) -> list[Any] | None:
    """One item for each axis, and None for each new one; None if there is more to it."""
    items = list(index) if isinstance(index, tuple) else [index]
    if any(not (item is None or item is Ellipsis or isinstance(item, int | slice)) for item in items):
        return None
    if any(isinstance(item, bool) for item in items):
        return None
    n_given = sum(1 for item in items if item is not None and item is not Ellipsis)
    rest = [slice(None)] * (n_axes - n_given)
    if Ellipsis in items:
        place = items.index(Ellipsis)
        return [*items[:place], *rest, *items[place + 1 :]]
    return [*items, *rest]


def _crop(cuts: dict[int, tuple[int, int, int]], before: Shape, grid: PositionGrid) -> Slide:
    starts, ends, steps = [], [], []
    for axis in grid.axes:
        length = 1 if axis is None else before[axis]
        start, stop, step = (0, length, 1) if axis is None or axis not in cuts else cuts[axis]
        starts.append(-start)
        ends.append(stop - length)
        steps.append(step)
    return Slide(stride=_pair(steps), before=_pair(starts), after=_pair(ends), linear=True)


def _pair(numbers: list[int]) -> Pair:
    first, second = numbers
    return first, second
