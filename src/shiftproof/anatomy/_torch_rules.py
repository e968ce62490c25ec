"""What torch's own functions do to positions: one rule for each name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor, fx

from shiftproof.anatomy._operations import Pointwise, Reduce, Scatter, Slide
from shiftproof.anatomy._question import LINEAR, Question, Reading, Rule, not_known, unknown
from shiftproof.anatomy._relabel import blocked, cut, permuted, reshaped
from shiftproof.anatomy._statistics_rules import STATISTICS
from shiftproof.anatomy._window_rules import WINDOWS


def read_call(question: Question) -> Reading:
    """What a call does to positions, and where they lie after it."""
    rule = RULES.get(question.name)
    if rule is None or "too many" in question.arguments:
        return not_known(question.name)
    if any(isinstance(leaf, fx.Node) for leaf in _leaves(question.arguments)):
        return unknown(f"An argument of `{question.name}` is computed from the images.")
    return rule(question)


def _leaves(arguments: Any) -> list[Any]:
    found: list[Any] = []
    fx.node.map_aggregate(dict(arguments), found.append)
    return found


def _linear(question: Question) -> Reading:
    last = len(question.before) - 1
    if last == question.grid.images:
        return unknown("It mixes images.")
    if last in question.grid.axes:
        # It mixes all columns, each with its own weight.
        return (Scatter(),), None
    return (LINEAR,), question.grid


def _prelu(question: Question) -> Reading:
    weight = question.arguments.get("weight")
    alike = isinstance(weight, Tensor) and weight.numel() == 1
    return ((Pointwise(),), question.grid) if alike or 1 not in question.grid.axes else not_known("prelu")


def _reshape(question: Question) -> Reading:
    if not question.after:
        return not_known(question.name)
    grid = reshaped(question.before, question.after, question.grid)
    if grid is not None:
        return (LINEAR,), grid
    blocks = blocked(question.before, question.after, question.grid)
    if blocks is not None:
        return (blocks[0],), blocks[1]
    return (Scatter(features=len(question.after) == 2),), None


def _permute(question: Question) -> Reading:
    order = list(range(len(question.before)))
    if question.name == "transpose":
        first, second = (question.arguments[name] % len(order) for name in ("dim0", "dim1"))
        order[first], order[second] = order[second], order[first]
    elif question.name == "movedim":
        order = _moved(order, question.arguments["source"], question.arguments["destination"])
    else:
        order = list(question.arguments["dims"])
    grid = permuted(order, question.grid)
    return ((LINEAR,), grid) if grid is not None else not_known(question.name)


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


def _roll(question: Question) -> Reading:
    """On a circle it is a shift of its own."""
    dims, shifts = question.arguments.get("dims"), question.arguments.get("shifts")
    if dims is None or dims in ([], ()):
        return not_known("roll")
    axes = [axis % len(question.before) for axis in (dims if isinstance(dims, list | tuple) else [dims])]
    by = dict(zip(axes, shifts if isinstance(shifts, list | tuple) else [shifts], strict=True))
    grid = question.grid
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


def _channel_shuffle(question: Question) -> Reading:
    second = question.grid.images == 0 and 1 not in question.grid.axes
    return ((LINEAR,), question.grid) if second else not_known(question.name)


def _getitem(question: Question) -> Reading:
    index = question.arguments["index"]
    if not question.before:  # One of several tensors that a split has left.
        return ((LINEAR,), question.grid) if isinstance(index, int | slice) else not_known("getitem")
    found = cut(index, question.before, question.grid)
    if found is None and question.grid.lead:
        return _of_one_line(index, question)
    if found is None:
        return unknown("It picks positions or images one by one.")
    slide, grid = found
    return (LINEAR if slide is None else slide,), grid


def _of_one_line(index: Any, question: Question) -> Reading:
    """All that stands before the positions of an axis, or all that comes after it."""
    grid = question.grid
    line, size = grid.axes[0], question.before
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


def _split(question: Question) -> Reading:
    axis = question.number("dim", 0) % len(question.before)
    if axis == question.grid.images or axis in question.grid.axes:
        return unknown("It cuts maps or batches into parts.")
    return (LINEAR,), question.grid


def _unbind(question: Question) -> Reading:
    axis, grid = question.number("dim", 0) % len(question.before), question.grid
    if axis == grid.images or axis in grid.axes:
        return unknown("It cuts maps or batches into parts.")
    rows, columns = (None if place is None else place - (axis < place) for place in grid.axes)
    images = grid.images - (axis < grid.images)
    return (LINEAR,), replace(grid, axes=(rows, columns), images=images)


def _expand(question: Question) -> Reading:
    axes = (question.grid.images, *(axis for axis in question.grid.axes if axis is not None))
    before, after = question.before, question.after
    if len(before) != len(after) or any(before[axis] != after[axis] for axis in axes):
        return not_known(question.name)
    return (LINEAR,), question.grid


def _same(question: Question) -> Reading:
    return (LINEAR,), question.grid


def _dropout(question: Question) -> Reading:
    if question.number("training", question.name != "alpha_dropout"):
        return unknown("It drops at random.")
    return _same(question)


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
