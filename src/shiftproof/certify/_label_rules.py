"""From which numbers, in which order or in none, each operation of torch computes each of its own.

A rule gives for each number of an answer a row of labels, of which the number is a function that is the
same for all of them. The rule for what is not named here is that each number of an answer is a function of
its own of all numbers of all inputs in their order, which is true of whatever torch computes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from shiftproof.certify._asked import Asked, Found, as_set, spread, whole
from shiftproof.certify._label_orders import ALONG_AXES
from shiftproof.certify._label_windows import convolved, pooled
from shiftproof.certify._labels import MOST, Array, Labels, conjugate

# Of these the order of the inputs does not matter.
COMMUTATIVE = (
    "add", "eq", "fmax", "fmin", "logaddexp", "logical_and", "logical_or", "maximum", "minimum", "mul", "ne",
)  # fmt: skip
UNCHANGED = ("_to_copy", "alias", "clone", "copy", "positive")
OVERWRITING = ("copy", "fill", "zero")
# Copies of numbers, and nothing else; where there is nothing to copy, of a zero.
MOVES = (
    "_upsample_nearest_exact1d", "_upsample_nearest_exact2d", "cat", "channel_shuffle", "constant_pad_nd",
    "diag_embed", "expand_copy", "flip", "gather", "im2col", "index", "index_fill", "index_put",
    "index_select", "pixel_shuffle", "pixel_unshuffle", "reflection_pad1d", "reflection_pad2d", "repeat",
    "replication_pad1d", "replication_pad2d", "roll", "rot90", "select_scatter", "slice_scatter", "stack",
    "take", "tril", "triu", "unfold_copy", "upsample_nearest1d", "upsample_nearest2d",
)  # fmt: skip
# Of these, at which argument there is a number to put between the copies.
FILLING = {"constant_pad_nd": 2, "index_fill": 3}
PRODUCTS = ("_cdist_forward", "addmm", "addmv", "baddbmm", "bmm", "dot", "mm", "mv")
POOLS = ("avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool2d_with_indices")
ADAPTIVE_POOLS = ("_adaptive_avg_pool2d", "adaptive_max_pool2d")
# Of their input they only ask for its size.
SIZED = (
    "empty_like", "full_like", "new_empty", "new_empty_strided", "new_full", "new_ones", "new_zeros",
    "ones_like", "zeros_like",
)  # fmt: skip


def labels_after(asked: Asked) -> list[Found]:
    """Labels of each output."""
    if asked.name in SIZED:
        return [(None, None)] * len(asked.outputs)
    rule = RULES.get(asked.name)
    if rule is None and torch.Tag.pointwise in asked.func.tags:
        rule = _pointwise
    return (rule or whole)(asked)


def _pointwise(asked: Asked) -> list[Found]:
    """A function of the numbers at one place."""
    (output,) = asked.outputs
    tensors, shape = asked.tensors, tuple(output.shape)
    if asked.name == "abs" and (strengths := asked.labels.strengths_of(tensors[0])) is not None:
        return [(asked.labels.fresh(strengths[..., None]), None)]
    if asked.name == "mul" and (power := _power(asked, tensors)) is not None:
        return [(power, power)]
    if asked.name in UNCHANGED and tensors[-1].dtype == output.dtype:
        source = tensors[-1]
        labels = spread(asked.labels.of(source), shape)
        strengths = asked.labels.strengths_of(source)
        return [(labels, None if strengths is None else spread(strengths, shape))]
    if asked.name in OVERWRITING:
        tensors = tensors[1:] or [torch.zeros(())]
    rows = np.stack([spread(asked.labels.of(tensor), shape) for tensor in tensors], -1)
    if asked.name in COMMUTATIVE and asked.given.get("alpha", 1) == 1:
        rows.sort(-1)
    return [(asked.labels.fresh(rows), None)]


def _power(asked: Asked, tensors: list[Tensor]) -> Array | None:
    """Of numbers times their own conjugates, which is how strong they are."""
    strengths = asked.labels.strengths_of(tensors[0])
    if strengths is None or len(tensors) != 2 or tensors[0].shape != tensors[1].shape:
        return None
    one, other = (asked.labels.of(tensor) for tensor in tensors)
    return asked.labels.fresh(strengths[..., None]) if np.array_equal(one, conjugate(other)) else None


def _moved(asked: Asked) -> list[Found]:
    """The operation itself is asked where each number comes from."""
    if asked.given.get("accumulate"):
        return whole(asked)
    nothing = asked.labels.fresh(np.zeros((asked.labels.n_worlds, 1, 1), np.int64))
    known, n = [nothing], 1

    def numbered(value: Any) -> Any:
        nonlocal n
        if not isinstance(value, Tensor) or not (asked.labels.knows(value) or value.is_floating_point()):
            return value
        known.append(asked.labels.of(value).reshape(asked.labels.n_worlds, -1))
        n += value.numel()
        return torch.arange(n - value.numel(), n, dtype=torch.float64).reshape(value.shape)

    args, kwargs = tree_map(numbered, (asked.args, asked.kwargs))
    if asked.name in FILLING:
        args, kwargs = (*args[: FILLING[asked.name]], 0.0), {}
    functional = getattr(torch.ops.aten, asked.name)
    places = getattr(functional, asked.func._overloadname)(*args, **kwargs)
    return [(np.concatenate(known, 1)[:, places.long().numpy()], None)]


def _gated(asked: Asked) -> list[Found]:
    """A half of an axis, and the other one."""
    source = asked.tensors[0]
    labels = asked.labels.of(source)
    halves = np.split(labels, 2, 1 + int(asked.given["dim"]) % source.ndim)
    return [(asked.labels.fresh(np.stack(halves, -1)), None)]


def _product(asked: Asked) -> list[Found]:
    """Sums of products of pairs: neither the order of a pair matters nor that of the pairs."""
    names = next(pair for pair in _FACTORS if pair[0] in asked.given and pair[1] in asked.given)
    one, other = (asked.of(name) for name in names)
    (output,) = asked.outputs
    if asked.name == "_cdist_forward":
        other = other.swapaxes(-1, -2)
    one = one[..., None, :] if one.ndim > 2 else one[:, None, None, :]
    other = other.swapaxes(-1, -2)[..., None, :, :] if other.ndim > 2 else other[:, None, None, :]
    sums = _sums_of_products(asked.labels, one, other).reshape(-1, *output.shape)
    if asked.name in ("addmm", "baddbmm", "addmv"):
        rows = np.stack([sums, spread(asked.of("self"), output.shape)], -1)
        return [(asked.labels.fresh(rows), None)]
    return [(sums, None)]


def _sums_of_products(labels: Labels, one: Array, other: Array) -> Array:
    """Of pairs along the last axis, after broadcasting; in their order where there are too many pairs."""
    if 2 * one.size * other.shape[-2] > MOST:
        each = np.broadcast_arrays(labels.fresh(one), labels.fresh(other))
        return labels.fresh(np.stack(each, -1))
    one, other = np.broadcast_arrays(one, other)
    pairs = labels.fresh(np.sort(np.stack([one, other], -1), -1))
    return labels.fresh(np.sort(pairs, -1))


_FACTORS = (
    ("mat1", "mat2"), ("batch1", "batch2"), ("self", "mat2"), ("mat", "vec"), ("self", "vec"), ("x1", "x2"),
    ("self", "tensor"),
)  # fmt: skip


def _convolution(asked: Asked) -> list[Found]:
    maps, *weights = asked.tensors
    if any(asked.labels.knows(each) for each in weights) or maps.ndim != weights[0].ndim:
        return whole(asked)
    return [(convolved(asked.labels, asked.of("input"), asked.given, asked.outputs[0]), None)]


def _pool(asked: Asked) -> list[Found]:
    n = len(asked.given["kernel_size"])
    return _in_windows(asked, n)


def _adaptive_pool(asked: Asked) -> list[Found]:
    return _in_windows(asked, len(asked.given["output_size"]))


def _in_windows(asked: Asked, n: int) -> list[Found]:
    """Whatever the order of a window; where its maximum was, in its order."""
    rows = pooled(asked.of("self"), asked.given, n, asked.outputs[0].shape[-n:])
    found: list[Found] = []
    for number, output in enumerate(asked.outputs):
        seen = as_set(rows) if "max" in asked.name else np.sort(rows, -1)
        labels = asked.labels.fresh(rows if number else seen)
        found.append((labels.reshape(-1, *output.shape), None))
    if len(found) > 1:  # An index counts from the beginning of the maps.
        found[1] = whole(asked)[1]
    return found


_OWN: dict[str, Callable[[Asked], list[Found]]] = {
    name: rule
    for names, rule in (
        ((*UNCHANGED, *OVERWRITING), _pointwise),
        (MOVES, _moved),
        (PRODUCTS, _product),
        (POOLS, _pool),
        (ADAPTIVE_POOLS, _adaptive_pool),
        (("convolution",), _convolution),
        (("glu",), _gated),
    )
    for name in names
}
RULES = {**_OWN, **ALONG_AXES}
