"""What sums and statistics do to positions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from shiftproof.anatomy._map_call import LINEAR, Effect, MapCall, Rule, not_known, unknown
from shiftproof.anatomy._operations import Normalise, Pointwise, PositionGrid, Reduce


def _batch_norm(call: MapCall) -> Effect:
    if call.number("training", False) or call.arguments.get("running_mean") is None:
        return unknown("It has no statistics of its own: the answer to an image depends on the others.")
    return ((LINEAR,), call.grid) if _channels_second(call) else not_known("batch_norm")


def _channels_second(call: MapCall) -> bool:
    """Whether images come first, then channels."""
    return call.grid.images == 0 and 1 not in call.grid.axes


def _layer_norm(call: MapCall) -> Effect:
    shape = call.number("normalized_shape")
    n_axes = len(shape) if isinstance(shape, list | tuple) else 1
    first = len(call.before) - n_axes
    if call.grid.images >= first:
        return unknown("It normalises over images.")
    over = _over(range(first, len(call.before)), call.grid)
    for name in ("weight", "bias"):
        tensor = call.arguments.get(name)
        if isinstance(tensor, Tensor) and any(over) and not _alike(tensor, call, first):
            return unknown(f"Its {name} differs between positions.")
    return _statistics(over, call.grid)


def _alike(tensor: Tensor, call: MapCall, first: int) -> bool:
    """Whether a tensor has the same number at all positions."""
    for axis in {axis for axis in call.grid.axes if axis is not None and axis >= first}:
        beginning = tensor.detach().narrow(axis - first, 0, 1)
        if not bool((tensor.detach() == beginning).all()):
            return False
    return True


def _group_norm(call: MapCall) -> Effect:
    if not _channels_second(call):
        return not_known(call.name)
    return _statistics((True, True), call.grid)


def _instance_norm(call: MapCall) -> Effect:
    if not _channels_second(call):
        return not_known(call.name)
    by_itself = call.number("use_input_stats", True) or call.arguments.get("running_mean") is None
    return _statistics((True, True), call.grid) if by_itself else ((LINEAR,), call.grid)


def _softmax(call: MapCall) -> Effect:
    n_axes = len(call.before)
    axis = call.number("dim", 1 if n_axes in (2, 4) else 0) % n_axes
    if axis == call.grid.images:
        return unknown("It compares images with each other.")
    return _statistics(_over([axis], call.grid), call.grid)


def _normalize(call: MapCall) -> Effect:
    axis = call.number("dim", 1) % len(call.before)
    if axis == call.grid.images:
        return unknown("It mixes images.")
    return _statistics(_over([axis], call.grid), call.grid)


def _channels_alone(call: MapCall) -> Effect:
    """At each position a function of its channels, whose axis comes second."""
    return ((Pointwise(),), call.grid) if _channels_second(call) else not_known(call.name)


def _reduction(call: MapCall) -> Effect:
    axes, grid = set(call.dims()), call.grid
    linear = call.name in ("mean", "sum")
    over = _over(sorted(axes), grid)
    if all(reduced or place is None for reduced, place in zip(over, grid.axes, strict=True)):
        return (Reduce(linear=linear),), None  # Also over images, all of which roll alike.
    if grid.images in axes:
        return unknown("It mixes images.")
    keeps = len(call.after) == len(call.before)
    sizes, places = [], []
    for reduced, place, size in zip(over, grid.axes, grid.size, strict=True):
        gone = place is None or reduced
        sizes.append(1 if gone else size)
        places.append(
            None if place is None or reduced else place if keeps else place - sum(a < place for a in axes)
        )
    images = grid.images if keeps else grid.images - sum(a < grid.images for a in axes)
    operation = Reduce(over, linear) if any(over) else Pointwise(linear)
    return (operation,), replace(grid, size=(sizes[0], sizes[1]), axes=(places[0], places[1]), images=images)


def _over(axes: Sequence[int] | range, grid: PositionGrid) -> tuple[bool, bool]:
    return grid.axes[0] in axes, grid.axes[1] in axes


def _statistics(over: tuple[bool, bool], grid: PositionGrid) -> Effect:
    return (Normalise(over) if any(over) else Pointwise(),), grid


STATISTICS: dict[str, Rule] = {
    "amax": _reduction,
    "amin": _reduction,
    "batch_norm": _batch_norm,
    "group_norm": _group_norm,
    "instance_norm": _instance_norm,
    "layer_norm": _layer_norm,
    "log_softmax": _softmax,
    "local_response_norm": _channels_alone,
    "logsumexp": _reduction,
    "mean": _reduction,
    "norm": _reduction,
    "normalize": _normalize,
    "prod": _reduction,
    "rms_norm": _layer_norm,
    "softmax": _softmax,
    "softmin": _softmax,
    "std": _reduction,
    "sum": _reduction,
    "var": _reduction,
    "vector_norm": _reduction,
}
