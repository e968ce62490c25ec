"""What torch's own functions do to positions: one rule for each name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor, fx

from shiftproof.anatomy._map_call import LINEAR, Effect, MapCall, Rule, not_known, unknown
from shiftproof.anatomy._operations import Flatten, Pointwise, Reduce, Slide
from shiftproof.anatomy._relabel import blocked, cut, permuted, reshaped
from shiftproof.anatomy._statistics_rules import STATISTICS
from shiftproof.anatomy._window_rules import WINDOWS


def read_call(call: MapCall) -> Effect:
    """What a call does to positions, and where they lie after it."""
    rule = RULES.get(call.name)
    if rule is None or "too many" in call.arguments:
        return not_known(call.name)
    if any(isinstance(leaf, fx.Node) for leaf in _leaves(call.arguments)):
        return unknown(f"An argument of `{call.name}` is computed from the images.")
    return rule(call)


def _leaves(arguments: Any) -> list[Any]:
    found: list[Any] = []
    fx.node.map_aggregate(dict(arguments), found.append)
    return found


def _linear(call: MapCall) -> Effect:
    last = len(call.before) - 1
    if last == call.grid.images:
        return unknown("It mixes images.")
    if last in call.grid.axes:
        # It mixes all columns, each with its own weight.
        return (Flatten(),), None
    return (LINEAR,), call.grid


def _prelu(call: MapCall) -> Effect:
    weight = call.arguments.get("weight")
    alike = isinstance(weight, Tensor) and weight.numel() == 1
    return ((Pointwise(),), call.grid) if alike or 1 not in call.grid.axes else not_known("prelu")


def _reshape(call: MapCall) -> Effect:
    if not call.after:
        return not_known(call.name)
    grid = reshaped(call.before, call.after, call.grid)
    if grid is not None:
        return (LINEAR,), grid
    blocks = blocked(call.before, call.after, call.grid)
    if blocks is not None:
        return (blocks[0],), blocks[1]
    return (Flatten(features=len(call.after) == 2),), None


def _permute(call: MapCall) -> Effect:
    order = list(range(len(call.before)))
    if call.name == "transpose":
        first, second = (call.arguments[name] % len(order) for name in ("dim0", "dim1"))
        order[first], order[second] = order[second], order[first]
    elif call.name == "movedim":
        order = _moved(order, call.arguments["source"], call.arguments["destination"])
    else:
        order = list(call.arguments["dims"])
    grid = permuted(order, call.grid)
    return ((LINEAR,), grid) if grid is not None else not_known(call.name)


def _moved(axes: list[int], source: Any, destination: Any) -> list[int]:
    """The axes after some of them went to other places; the rest keep their order.

    Example:
        >>> _moved([0, 1, 2, 3], (1, 2), (-1, 1))
        [0, 2, 3, 1]
    """
    froms, tos = (list(one) if isinstance(one, list | tuple) else [one] for one in (source, destination))
    placed = {to % len(axes): axis % len(axes) for axis, to in zip(froms, tos, strict=True)}
    rest = (axis for axis in axes if axis not in placed.values())
    return [placed[place] if place in placed else next(rest) for place in axes]


def _roll(call: MapCall) -> Effect:
    """On a circle it is a shift of its own."""
    dims, shifts = call.arguments.get("dims"), call.arguments.get("shifts")
    if dims is None or dims in ([], ()):
        return not_known("roll")
    axes = [axis % len(call.before) for axis in (dims if isinstance(dims, list | tuple) else [dims])]
    by = dict(zip(axes, shifts if isinstance(shifts, list | tuple) else [shifts], strict=True))
    grid = call.grid
    if grid.images in by or len(by) < len(axes):
        return unknown("It mixes images.") if grid.images in by else not_known("roll")
    if not any(axis in by for axis in grid.axes):
        return (LINEAR,), grid
    if grid.is_joint:
        return not_known("roll")
    places = zip(grid.axes, grid.size, strict=True)
    down, right = (_shorter(by.get(axis, 0), size) if axis is not None else 0 for axis, size in places)
    before, after = (down, right), (-down, -right)
    return (Slide(before=before, after=after, border="circular", linear=True),), grid


def _shorter(by: int, size: int) -> int:
    """The same roll the shorter way around."""
    by %= size
    return by - size if 2 * by > size else by


def _channel_shuffle(call: MapCall) -> Effect:
    second = call.grid.images == 0 and 1 not in call.grid.axes
    return ((LINEAR,), call.grid) if second else not_known(call.name)


def _getitem(call: MapCall) -> Effect:
    index = call.arguments["index"]
    if not call.before:  # One of several tensors that a split has left.
        return ((LINEAR,), call.grid) if isinstance(index, int | slice) else not_known("getitem")
    found = cut(index, call.before, call.grid)
    if found is None and call.grid.lead:
        return _of_one_line(index, call)
    if found is None:
        return unknown("It picks positions or images one by one.")
    slide, grid = found
    return (LINEAR if slide is None else slide,), grid


def _of_one_line(index: Any, call: MapCall) -> Effect:
    """All that stands before the positions of an axis, or all that comes after it."""
    grid = call.grid
    line, size = grid.axes[0], call.before
    index = index if isinstance(index, tuple) else (index,)
    whole = all(item == slice(None) for item in index[:line])
    if (
        line is None
        or not whole
        or len(index) <= line
        or any(item != slice(None) for item in index[line + 1 :])
    ):
        return not_known("getitem")
    item = index[line]
    if isinstance(item, int):
        item = slice(item % size[line], item % size[line] + 1)
    if not isinstance(item, slice):
        return not_known("getitem")
    start, stop, step = item.indices(size[line])
    if stop <= grid.lead:
        return (Reduce(linear=False),), None
    if (start, stop, step) == (grid.lead, size[line], 1):
        return (LINEAR,), replace(grid, lead=0)
    return unknown("It picks some of the positions.")


def _split(call: MapCall) -> Effect:
    axis = call.number("dim", 0) % len(call.before)
    if axis == call.grid.images or axis in call.grid.axes:
        return unknown("It cuts maps or batches into parts.")
    return (LINEAR,), call.grid


def _glu(call: MapCall) -> Effect:
    """One half of the features gates the other one."""
    axis = call.number("dim", -1) % len(call.before)
    if axis == call.grid.images or axis in call.grid.axes:
        return unknown("It cuts maps or batches into parts.")
    return (Pointwise(),), call.grid


def _unbind(call: MapCall) -> Effect:
    axis, grid = call.number("dim", 0) % len(call.before), call.grid
    if axis == grid.images or axis in grid.axes:
        return unknown("It cuts maps or batches into parts.")
    rows, columns = (None if place is None else place - (axis < place) for place in grid.axes)
    images = grid.images - (axis < grid.images)
    return (LINEAR,), replace(grid, axes=(rows, columns), images=images)


def _expand(call: MapCall) -> Effect:
    axes = (call.grid.images, *(axis for axis in call.grid.axes if axis is not None))
    before, after = call.before, call.after
    if len(before) != len(after) or any(before[axis] != after[axis] for axis in axes):
        return not_known(call.name)
    return (LINEAR,), call.grid


def _same(call: MapCall) -> Effect:
    return (LINEAR,), call.grid


def _dropout(call: MapCall) -> Effect:
    if call.number("training", call.name != "alpha_dropout"):
        return unknown("It drops at random.")
    return _same(call)


RULES: dict[str, Rule] = {
    **WINDOWS,
    **STATISTICS,
    "alpha_dropout": _dropout,
    "channel_shuffle": _channel_shuffle,
    "chunk": _split,
    "dropout": _dropout,
    "dropout2d": _dropout,
    "expand": _expand,
    "expand_as": _expand,
    "flatten": _reshape,
    "getitem": _getitem,
    "glu": _glu,
    "identity": _same,
    "linear": _linear,
    "movedim": _permute,
    "permute": _permute,
    "prelu": _prelu,
    "reshape": _reshape,
    "roll": _roll,
    "split": _split,
    "squeeze": _reshape,
    "transpose": _permute,
    "unbind": _unbind,
    "unflatten": _reshape,
    "unsqueeze": _reshape,
    "view": _reshape,
}
