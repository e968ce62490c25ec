"""Read layers of one input: which positions they look at, and what they leave of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from shiftproof.dense._operations import (
    BatchSize,
    Dense,
    Elementwise,
    Maps,
    Operation,
    Relabel,
    Rows,
    Unknown,
    shape_of,
)
from shiftproof.dense._sliding import read_slide

Arguments = dict[str, Any]
Reading = tuple[Operation, Maps | Rows | None]


def read_layer(name: str, arguments: Arguments, value: Maps | Rows, shape: tuple[int, ...]) -> Reading:
    """What a layer does.

    Args:
        name: As in `Call`.
        arguments: All but its input.
        value: Its input.
        shape: Of its answer, for a batch of `BATCH` images.
    """
    read = _READERS.get(name)
    if read is not None:
        return read(arguments, value, shape) or (unknown(name), None)
    if isinstance(value, Maps):
        return read_slide(name, arguments, value, shape) or (unknown(name), None)
    return unknown(name), None


def unknown(name: str) -> Unknown:
    """What to say about a layer that is none of ours."""
    if "ttention" in name or "ransformer" in name:
        return Unknown("Attention looks at all positions.")
    if "pad" in name.lower():
        return Unknown("It adds a border.")
    if "norm" in name.lower():
        return Unknown(f"`{name}` normalises over positions or images.")
    return Unknown(f"What `{name}` does to positions is not known.")


def _identity(arguments: Arguments, value: Maps | Rows, shape: tuple[int, ...]) -> Reading:
    return Relabel(), value


def _dropout(arguments: Arguments, value: Maps | Rows, shape: tuple[int, ...]) -> Reading:
    if arguments.get("training", True):
        return Unknown("Dropout is on."), None
    return Relabel(), value


def _flatten(arguments: Arguments, value: Maps | Rows, shape: tuple[int, ...]) -> Reading | None:
    rank = 2 if isinstance(value, Rows) else len(value.axes)
    start = arguments.get("start_dim", 0) % rank
    end = arguments.get("end_dim", -1) % rank
    if start == end or isinstance(value, Rows):
        return (Relabel(), value) if start == end else None
    if (start, end) == (1, rank - 1):
        return Relabel(), Rows(shape[1], value)
    if value.axes[start : end + 1] == "hw":
        return Relabel(), replace(value, axes=value.axes.replace("hw", "l"))
    return None


def _view(arguments: Arguments, value: Maps | Rows, shape: tuple[int, ...]) -> Reading | None:
    """Only what is a flatten in other words: images stay apart, whatever their number."""
    wanted = arguments["shape"]
    images_apart = wanted and (wanted[0] == -1 or isinstance(wanted[0], BatchSize))
    if not images_apart or not all(isinstance(size, int) for size in wanted[1:]):
        return None
    if isinstance(value, Rows):
        return (Relabel(), value) if shape[1:] == (value.features,) else None
    if len(shape) == 2 and shape[1] == math.prod(shape_of(value, 1)):
        return Relabel(), Rows(shape[1], value)
    tokens = replace(value, axes=value.axes.replace("hw", "l"))
    return (Relabel(), tokens) if shape == shape_of(tokens, shape[0]) else None


def _permute(arguments: Arguments, value: Maps | Rows, shape: tuple[int, ...]) -> Reading | None:
    dims = arguments["dims"]
    if isinstance(value, Rows) or sorted(d % len(value.axes) for d in dims) != list(range(len(value.axes))):
        return None
    axes = "".join(value.axes[d] for d in dims)
    return (Relabel(), replace(value, axes=axes)) if axes[0] == "n" else None


def _transpose(arguments: Arguments, value: Maps | Rows, shape: tuple[int, ...]) -> Reading | None:
    if isinstance(value, Rows):
        return None
    dims = list(range(len(value.axes)))
    first, second = arguments["dim0"], arguments["dim1"]
    dims[first], dims[second] = dims[second], dims[first]
    return _permute({"dims": dims}, value, shape)


def _linear(arguments: Arguments, value: Maps | Rows, shape: tuple[int, ...]) -> Reading | None:
    weight, bias = arguments["weight"], arguments.get("bias")
    if not isinstance(weight, Tensor) or not isinstance(bias, Tensor | None) or weight.ndim != 2:
        return None
    if isinstance(value, Rows):
        return Dense(weight.detach(), None if bias is None else bias.detach()), Rows(shape[1])
    if not value.axes.endswith("c"):
        return Unknown("Its weights mix positions."), None
    as_conv = {"weight": weight[:, :, None, None], "bias": bias}
    slide = read_slide("conv2d", as_conv, replace(value, axes="nchw"), None)
    assert slide is not None
    return slide[0], replace(value, channels=len(weight))


def _softmax(function: Callable[..., Tensor]) -> Callable[..., Reading | None]:
    def read(arguments: Arguments, value: Maps | Rows, shape: tuple[int, ...]) -> Reading | None:
        dim = arguments.get("dim")
        if set(arguments) != {"dim"} or not isinstance(dim, int):
            return None
        if dim % len(shape) != _channel_axis(value):
            return Unknown("It mixes positions."), None
        return Elementwise(lambda features: function(features, 1)), value

    return read


def _channel_axis(value: Maps | Rows) -> int:
    return 1 if isinstance(value, Rows) else value.axes.index("c")


def _batch_norm(arguments: Arguments, value: Maps | Rows, shape: tuple[int, ...]) -> Reading | None:
    if arguments.get("training") or arguments.get("running_mean") is None:
        return Unknown("It normalises by the statistics of the batch."), None
    if _channel_axis(value) != 1:
        return None
    names = ("running_mean", "running_var", "weight", "bias")
    mean, var, weight, bias = (_detached(arguments.get(name)) for name in names)
    eps = arguments.get("eps", 1e-5)
    return Elementwise(lambda maps: F.batch_norm(maps, mean, var, weight, bias, False, 0.0, eps)), value


def _detached(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach()


def _layer_norm(arguments: Arguments, value: Maps | Rows, shape: tuple[int, ...]) -> Reading | None:
    normalized = tuple(arguments["normalized_shape"])
    weight, bias = _detached(arguments.get("weight")), _detached(arguments.get("bias"))
    eps = arguments.get("eps", 1e-5)
    if isinstance(value, Maps) and not (len(normalized) == 1 and value.axes.endswith("c")):
        return Unknown("It normalises over positions."), None

    def normalise(features: Tensor) -> Tensor:
        channels_last = features.movedim(1, -1)
        return F.layer_norm(channels_last, normalized, weight, bias, eps).movedim(-1, 1)

    return Elementwise(normalise), value


def _prelu(arguments: Arguments, value: Maps | Rows, shape: tuple[int, ...]) -> Reading | None:
    weight = arguments["weight"].detach()
    if weight.numel() > 1 and _channel_axis(value) != 1:
        return None
    return Elementwise(lambda maps: F.prelu(maps, weight), channels_alike=weight.numel() == 1), value


_READERS: dict[str, Callable[[Arguments, Maps | Rows, tuple[int, ...]], Reading | None]] = {
    "alpha_dropout": _dropout,
    "batch_norm": _batch_norm,
    "dropout": _dropout,
    "dropout2d": _dropout,
    "flatten": _flatten,
    "identity": _identity,
    "layer_norm": _layer_norm,
    "linear": _linear,
    "log_softmax": _softmax(torch.log_softmax),
    "permute": _permute,
    "prelu": _prelu,
    "reshape": _view,
    "softmax": _softmax(torch.softmax),
    "transpose": _transpose,
    "view": _view,
}
