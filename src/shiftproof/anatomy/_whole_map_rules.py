"""What looks at whole maps, whatever their order or their place: attention, and strengths of frequencies."""

from __future__ import annotations

from shiftproof.anatomy._map_call import Effect, MapCall, unknown, varying
from shiftproof.anatomy._operations import Normalise, Operation, Pointwise, PositionGrid, Reduce, Spectrum


def attended(
    query: PositionGrid | None, key: PositionGrid | None, value: PositionGrid | None, line: int, n_axes: int
) -> Effect:
    """What attention does to positions.

    Each query is answered by a mean of the values, weighed by how its key suits the query: a function of
    the query, and of pairs of keys and values whatever their order. Other axes than that of the queries are
    like a batch.

    Args:
        query, key, value: Where positions lie; None for what has none.
        line: The axis of queries, keys and values.
        n_axes: Of each tensor.
    """
    found = {grid for grid in (query, key, value) if grid is not None}
    if len(found) > 1 or (key is None) != (value is None):
        text = "It looks from some positions at others, or at what has none."
        return varying(text, query if query is not None and line in query.axes else None)
    (grid,) = found
    places = {axis for axis in grid.axes if axis is not None}
    if n_axes - 1 in places or grid.images in (line, n_axes - 1):
        return unknown("Its features are positions or images.")
    if key is None:
        return ((Pointwise(),), grid) if line in places else unknown("It looks along other axes.")
    over = (grid.axes[0] == line, grid.axes[1] == line)
    if query is not None:
        operations: tuple[Operation, ...] = (Pointwise(), Normalise(over)) if any(over) else (Pointwise(),)
        return operations, grid
    if places != {line}:
        return unknown("It looks along other axes than those of all positions.")
    return (Pointwise(), Reduce(linear=False)), None


def read_spectrum(call: MapCall) -> Effect:
    """A Fourier transform of which only the absolute value is read.

    A roll multiplies each frequency by a number of absolute value 1.
    """
    grid, n_axes = call.grid, len(call.before)
    axes = _transformed(call)
    if call.number("n") is not None or call.number("s") is not None:
        return unknown("It cuts off or adds positions before it looks at frequencies.")
    if grid.images in axes:
        return unknown("It mixes images.")
    over = (grid.axes[0] in axes, grid.axes[1] in axes)
    if not any(over):
        return (Pointwise(linear=True),), grid
    if grid.is_joint or n_axes != len(call.after):
        return unknown("It looks at frequencies of positions in a line, which no roll leaves as they are.")
    rows, columns = (None if gone else axis for gone, axis in zip(over, grid.axes, strict=True))
    if all(gone or axis is None for gone, axis in zip(over, grid.axes, strict=True)):
        return (Spectrum(over),), None
    height, width = (1 if gone else size for gone, size in zip(over, grid.size, strict=True))
    return (Spectrum(over),), PositionGrid((height, width), (rows, columns), grid.images)


def _transformed(call: MapCall) -> set[int]:
    """Its axes, counted from 0."""
    n_axes = len(call.before)
    dim = call.number("dim")
    if dim is None:
        last = {"fft": 1, "rfft": 1, "fft2": 2, "rfft2": 2}.get(call.name, n_axes)
        return set(range(n_axes - last, n_axes))
    return {axis % n_axes for axis in (dim if isinstance(dim, list | tuple) else [dim])}
