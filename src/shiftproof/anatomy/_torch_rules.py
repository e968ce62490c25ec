"""What torch's own functions do to positions: one rule for each name."""

from __future__ import annotations

from typing import Any

from torch import Tensor, fx

from shiftproof.anatomy._operations import Pointwise, Scatter
from shiftproof.anatomy._question import LINEAR, Question, Reading, Rule, not_known, unknown
from shiftproof.anatomy._relabel import cut, permuted, reshaped
from shiftproof.anatomy._statistics_rules import STATISTICS
from shiftproof.anatomy._window_rules import WINDOWS


def read_call(question: Question) -> Reading:
    """What a call does to positions, and where they lie after it."""
    rule = RULES.get(question.name)
    if rule is None:
        return not_known(question.name)
    if any(isinstance(leaf, fx.Node) for leaf in _leaves(question.arguments)):
        return unknown(f"An argument of `{question.name}` is computed from the images.")
    return rule(question)


def _leaves(arguments: Any) -> list[Any]:
    found: list[Any] = []
    fx.node.map_aggregate(dict(arguments), found.append)
    return found


def _linear(question: Question) -> Reading:
    if len(question.before) - 1 in question.grid.axes:
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
    return ((LINEAR,), grid) if grid is not None else ((Scatter(),), None)


def _permute(question: Question) -> Reading:
    order = list(range(len(question.before)))
    if question.name == "transpose":
        first, second = (question.arguments[name] % len(order) for name in ("dim0", "dim1"))
        order[first], order[second] = order[second], order[first]
    else:
        order = list(question.arguments["dims"])
    grid = permuted(order, question.grid)
    return ((LINEAR,), grid) if grid is not None else unknown("It moves the axis of the images.")


def _getitem(question: Question) -> Reading:
    index = question.arguments["index"]
    if not question.before:  # One of several tensors that a split has left.
        return ((LINEAR,), question.grid) if isinstance(index, int | slice) else not_known("getitem")
    found = cut(index, question.before, question.grid)
    if found is None:
        return unknown("It picks positions or images one by one.")
    slide, grid = found
    return (LINEAR if slide is None else slide,), grid


def _split(question: Question) -> Reading:
    axis = question.number("dim", 0) % len(question.before)
    if axis == 0 or axis in question.grid.axes:
        return unknown("It cuts maps or batches into parts.")
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
    "chunk": _split,
    "dropout": _dropout,
    "dropout2d": _dropout,
    "flatten": _reshape,
    "getitem": _getitem,
    "identity": _same,
    "linear": _linear,
    "permute": _permute,
    "prelu": _prelu,
    "reshape": _reshape,
    "split": _split,
    "squeeze": _reshape,
    "transpose": _permute,
    "unflatten": _reshape,
    "unsqueeze": _reshape,
    "view": _reshape,
}
