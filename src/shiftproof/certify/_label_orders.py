"""Labels of what looks along axes: in their order, in none, or around a circle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from torch import Tensor

from shiftproof.certify._asked import Asked, Found, as_set, fibres, spread, whole
from shiftproof.certify._labels import Array, NotFollowedError

# Functions of all numbers of some axes, whatever their order; a second answer says where they were.
SYMMETRIC = (
    "all", "amax", "amin", "any", "count_nonzero", "kthvalue", "linalg_vector_norm", "logsumexp", "max",
    "mean", "median", "min", "nansum", "norm", "prod", "std", "sum", "var", "var_mean",
)  # fmt: skip
# Of these it does not matter either how often a number is there.
IDEMPOTENT = ("all", "amax", "amin", "any", "max", "min")
ORDERED = ("argmax", "argmin")
SORTS = ("sort", "topk")
RUNNING = ("cummax", "cummin", "cumprod", "cumsum", "logcumsumexp")
SOFTMAX = ("_log_softmax", "_safe_softmax", "_softmax")
SPECTRA = ("_fft_c2c", "_fft_c2r", "_fft_r2c")


def _symmetric(asked: Asked) -> list[Found]:
    """A function of all numbers of some axes, whatever their order."""
    if len(asked.tensors) != 1:
        return whole(asked)
    source = asked.tensors[0]
    rows = fibres(asked.labels.of(source), asked.dims(source.ndim))
    alike = asked.labels.fresh(as_set(rows) if asked.name in IDEMPOTENT else np.sort(rows, -1))
    statistics = {"var_mean": 2}.get(asked.name, 1)
    found: list[Found] = []
    for number, output in enumerate(asked.outputs):
        labels = alike if number < statistics else asked.labels.fresh(rows)
        # Another number of the same numbers.
        found.append((asked.labels.fresh(labels[..., None]).reshape(-1, *output.shape), None))
    return found


def _ordered(asked: Asked) -> list[Found]:
    """A function of all numbers of some axes in their order."""
    source, (output,) = asked.tensors[0], asked.outputs
    rows = fibres(asked.labels.of(source), asked.dims(source.ndim))
    return [(asked.labels.fresh(rows).reshape(-1, *output.shape), None)]


def _sort(asked: Asked) -> list[Found]:
    """The n-th of all numbers of an axis, whatever their order; where it was depends on their order."""
    source = asked.tensors[0]
    axis = int(asked.given.get("dim", -1)) % max(source.ndim, 1)
    rows = fibres(asked.labels.of(source), [axis])
    n = asked.outputs[0].shape[axis]
    return [
        (np.moveaxis(asked.labels.with_number(asked.labels.fresh(each), n), -1, axis + 1), None)
        for each in (np.sort(rows, -1), rows)
    ]


def _running(asked: Asked) -> list[Found]:
    """A function of all numbers of an axis up to a place, whatever their order."""
    source = asked.tensors[0]
    axis = int(asked.given["dim"]) % max(source.ndim, 1)
    rows = fibres(asked.labels.of(source), [axis])
    n = rows.shape[-1]
    values = [asked.labels.fresh(np.sort(rows[..., : stop + 1], -1)) for stop in range(n)]
    places = [asked.labels.fresh(rows[..., : stop + 1]) for stop in range(n)]
    both = [np.stack(each, axis + 1) for each in (values, places)]
    return [(labels, None) for labels in both[: len(asked.outputs)]]


def _softmax(asked: Asked) -> list[Found]:
    """A function of a number, and of all of its axis, whatever their order."""
    axis = int(asked.given["dim"]) % max(asked.outputs[0].ndim, 1)
    labels = asked.of("self")
    alike = asked.labels.fresh(np.sort(fibres(labels, [axis]), -1))
    rows = np.stack([labels, np.broadcast_to(np.expand_dims(alike, axis + 1), labels.shape)], -1)
    return [(asked.labels.fresh(rows), None)]


def _beside_statistics(asked: Asked, axes: Sequence[int], shape: Sequence[int]) -> list[Found]:
    """A function of a number, of its weights, and of all numbers of some axes, whatever their order.

    Args:
        asked: The operation; its other answers are statistics.
        axes: Of `shape`.
        shape: In which its input is seen.
    """
    output, *others = asked.outputs
    labels = asked.of("input").reshape(-1, *shape)
    alike = asked.labels.fresh(np.sort(fibres(labels, axes), -1))
    whole = alike.reshape([*(1 if a - 1 in axes else size for a, size in enumerate(labels.shape))])
    columns = [labels, np.broadcast_to(whole, labels.shape)]
    rows = [column.reshape(-1, *output.shape) for column in columns]
    for name in ("weight", "bias", "running_mean", "running_var"):
        tensor = asked.given.get(name)
        if tensor is not None:
            rows.append(spread(asked.labels.of(_aligned(asked.name, tensor, output)), output.shape))
    found: list[Found] = [(asked.labels.fresh(np.stack(rows, -1)), None)]
    for other in others:
        if not other.numel():
            found.append((None, None))
            continue
        found.append((asked.labels.fresh(alike[..., None]).reshape(-1, *other.shape), None))
    return found


def _aligned(name: str, tensor: Tensor, output: Tensor) -> Tensor:
    """Weights of channels, which come second, or of the last axes."""
    return tensor if name == "native_layer_norm" else tensor.reshape(-1, *([1] * (output.ndim - 2)))


def _layer_norm(asked: Asked) -> list[Found]:
    shape = asked.outputs[0].shape
    n = len(asked.given["normalized_shape"])
    return _beside_statistics(asked, range(len(shape) - n, len(shape)), shape)


def _group_norm(asked: Asked) -> list[Found]:
    n, groups = int(asked.given["N"]), int(asked.given["group"])
    return _beside_statistics(asked, [2], (n, groups, asked.outputs[0].numel() // (n * groups)))


def _batch_norm(asked: Asked) -> list[Found]:
    shape = asked.outputs[0].shape
    if not asked.given["training"]:
        return _beside_statistics(asked, [], shape)
    if asked.given["running_mean"] is not None:
        raise NotFollowedError("It changes its statistics.")
    return _beside_statistics(asked, [axis for axis in range(len(shape)) if axis != 1], shape)


def _spectrum(asked: Asked) -> list[Found]:
    """Each frequency is a function of all numbers in their order; how strong it is, of them on a circle."""
    labels, (output,) = asked.of("self"), asked.outputs
    axes = asked.dims(labels.ndim - 1)
    sizes = [labels.shape[axis + 1] for axis in axes]
    n = int(np.prod([output.shape[axis] for axis in axes]))

    def spread_out(each: Array) -> Array:
        numbered = asked.labels.with_number(each, n)
        kept = [size for axis, size in enumerate(output.shape) if axis not in axes]
        apart = numbered.reshape(-1, *kept, *(output.shape[axis] for axis in axes))
        return np.moveaxis(apart, range(-len(axes), 0), [axis + 1 for axis in axes])

    rows = fibres(labels, axes)
    whole = spread_out(asked.labels.fresh(rows))
    if asked.name == "_fft_c2r":
        return [(whole, None)]
    on_circle = _around(rows, sizes)
    return [(whole, spread_out(asked.labels.fresh(on_circle)))]


def _around(rows: Array, sizes: Sequence[int]) -> Array:
    """Each row rolled, along all of its axes, so that the label that occurs least often comes first.

    Rows that are rolls of each other become one row, if some label occurs only once in them.
    """
    found = rows.copy().reshape(-1, rows.shape[-1])
    for row in found:
        values, counts = np.unique(row, return_counts=True)
        rare = values[counts == counts.min()][0]
        place = np.unravel_index(int(np.flatnonzero(row == rare)[0]), sizes)
        row[:] = np.roll(row.reshape(sizes), [-int(p) for p in place], range(len(sizes))).reshape(-1)
    return found.reshape(rows.shape)


ALONG_AXES: Mapping[str, Callable[[Asked], list[Found]]] = MappingProxyType(
    {
        name: rule
        for names, rule in (
            (SYMMETRIC, _symmetric),
            (ORDERED, _ordered),
            (SORTS, _sort),
            (RUNNING, _running),
            (SOFTMAX, _softmax),
            (SPECTRA, _spectrum),
            (("native_batch_norm",), _batch_norm),
            (("native_group_norm",), _group_norm),
            (("native_layer_norm",), _layer_norm),
        )
        for name in names
    }
)
