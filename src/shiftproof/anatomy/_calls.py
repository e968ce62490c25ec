"""One name and one set of arguments for what torch offers as layer, function and method."""

from __future__ import annotations

import copy
import inspect
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import fx, nn

# The same number in, the same number out, wherever it stands.
POINTWISE = (
    "abs", "bfloat16", "celu", "ceil", "clamp", "clip", "cos", "double", "elu", "erf", "exp", "expm1",
    "float", "floor", "gelu", "half", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu",
    "log", "log1p", "logsigmoid", "mish", "neg", "reciprocal", "relu", "relu6", "round", "rsqrt", "selu",
    "sigmoid", "sign", "silu", "sin",
    "softplus", "softshrink", "softsign", "sqrt", "square", "tanh", "tanhshrink", "threshold", "to", "type",
    "type_as",
)  # fmt: skip
UNCHANGED = ("clone", "contiguous", "detach")
ARITHMETIC = (
    "add", "addcdiv", "addcmul", "atan2", "div", "divide", "eq", "fmod", "ge", "gt", "hypot", "le", "lerp",
    "logaddexp",
    "logical_and", "logical_not", "logical_or", "lt", "masked_fill", "maximum", "minimum", "mul", "multiply",
    "ne", "pow", "remainder", "rsub", "sub", "subtract", "true_divide", "truediv", "where",
)  # fmt: skip
POINTWISE_LAYERS = (
    nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU,
    nn.LogSigmoid, nn.Mish, nn.RReLU, nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Sigmoid, nn.Softplus,
    nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink, nn.Threshold,
)  # fmt: skip
DROPOUT_LAYERS = (
    nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout, nn.FeatureAlphaDropout,
)  # fmt: skip

_SIGNATURES: dict[str, tuple[str, ...]] = {
    "adaptive_avg_pool2d": ("input", "output_size"),
    "adaptive_max_pool2d": ("input", "output_size", "return_indices"),
    "alpha_dropout": ("input", "p", "training"),
    "amax": ("input", "dim", "keepdim"),
    "amin": ("input", "dim", "keepdim"),
    "avg_pool2d": (
        "input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override",
    ),
    "batch_norm": ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps"),
    "cat": ("tensors", "dim"),
    "channel_shuffle": ("input", "groups"),
    "chunk": ("input", "chunks", "dim"),
    "conv2d": ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
    "conv_transpose2d": (
        "input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation",
    ),
    "dropout": ("input", "p", "training"),
    "dropout2d": ("input", "p", "training"),
    "expand_as": ("input", "other"),
    "fft": ("input", "n", "dim", "norm"),
    "fft2": ("input", "s", "dim", "norm"),
    "fftn": ("input", "s", "dim", "norm"),
    "flatten": ("input", "start_dim", "end_dim"),
    "getitem": ("input", "index"),
    "glu": ("input", "dim"),
    "group_norm": ("input", "num_groups", "weight", "bias", "eps"),
    "instance_norm": (
        "input", "running_mean", "running_var", "weight", "bias", "use_input_stats", "momentum", "eps",
    ),
    "interpolate": (
        "input", "size", "scale_factor", "mode", "align_corners", "recompute_scale_factor", "antialias",
    ),
    "layer_norm": ("input", "normalized_shape", "weight", "bias", "eps"),
    "linear": ("input", "weight", "bias"),
    "local_response_norm": ("input", "size", "alpha", "beta", "k"),
    "log_softmax": ("input", "dim"),
    "lp_pool2d": ("input", "norm_type", "kernel_size", "stride", "ceil_mode"),
    "logsumexp": ("input", "dim", "keepdim"),
    "max_pool2d": (
        "input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices",
    ),
    "mean": ("input", "dim", "keepdim"),
    "movedim": ("input", "source", "destination"),
    "norm": ("input", "p", "dim", "keepdim"),
    "normalize": ("input", "p", "dim", "eps"),
    "pad": ("input", "pad", "mode", "value"),
    "pixel_shuffle": ("input", "upscale_factor"),
    "pixel_unshuffle": ("input", "downscale_factor"),
    "prelu": ("input", "weight"),
    "prod": ("input", "dim", "keepdim"),
    "rfft": ("input", "n", "dim", "norm"),
    "rfft2": ("input", "s", "dim", "norm"),
    "rfftn": ("input", "s", "dim", "norm"),
    "rms_norm": ("input", "normalized_shape", "weight", "eps"),
    "roll": ("input", "shifts", "dims"),
    "scaled_dot_product_attention": (
        "query", "key", "value", "attn_mask", "dropout_p", "is_causal", "scale", "enable_gqa",
    ),
    "size": ("input", "dim"),
    "softmax": ("input", "dim"),
    "softmin": ("input", "dim"),
    "split": ("input", "split_size", "dim"),
    "squeeze": ("input", "dim"),
    "std": ("input", "dim", "unbiased", "keepdim"),
    "sum": ("input", "dim", "keepdim"),
    "transpose": ("input", "dim0", "dim1"),
    "unbind": ("input", "dim"),
    "unflatten": ("input", "dim", "sizes"),
    "unsqueeze": ("input", "dim"),
    "vector_norm": ("input", "ord", "dim", "keepdim"),
    "var": ("input", "dim", "unbiased", "keepdim"),
}  # fmt: skip
_WITH_LIST = {"expand": "sizes", "permute": "dims", "reshape": "shape", "view": "shape"}
_OTHER_SPELLINGS = {
    "axis": "dim", "concat": "cat", "concatenate": "cat", "moveaxis": "movedim", "swapaxes": "transpose",
    "swapdims": "transpose",
}  # fmt: skip
_NO_EFFECT = ("_stacklevel", "dtype", "inplace", "memory_format", "out")


@dataclass(frozen=True, slots=True)
class TorchCall:
    """One step of a network, however it was written.

    Args:
        name: Torch's name of the function, or of a layer that has no function.
        arguments: By name, for functions whose arguments decide about positions.
        function: For functions of each number alone: called with `args` and `kwargs`, it changes
            none of its inputs.
        recognised: Whether it is torch's function of that name. Others may share the name, such as
            `torch.special.softmax` or a function of a user.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    function: Callable[..., Any] | None = None
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    recognised: bool = True


def _functions_by_identity() -> dict[Any, tuple[str, Callable[..., Any]]]:
    """Name, and the function that leaves its input alone. Only torch's own count: names can be shared."""
    names = (*POINTWISE, *UNCHANGED, *ARITHMETIC, *_SIGNATURES, *_WITH_LIST, *_OTHER_SPELLINGS)
    homes = (torch, F, operator, torch.fft, torch.linalg)
    return {
        function: (name, getattr(home, name))
        for name in names
        for home in homes
        for spelling in (name, f"{name}_")
        if callable(function := getattr(home, spelling, None)) and hasattr(home, name)
    }


_FUNCTIONS = _functions_by_identity()


def call_of(node: fx.Node) -> TorchCall:
    """The call of a function or a method."""
    if node.target is getattr and node.args[1] == "mT":
        return TorchCall("transpose", {"input": node.args[0], "dim0": -2, "dim1": -1})
    if node.target is getattr:
        return TorchCall(str(node.args[1]), {"input": node.args[0]})
    if node.op == "call_method":
        name = str(node.target).rstrip("_")
        function = getattr(torch.Tensor, name, None)
    else:
        name, function = _FUNCTIONS.get(node.target, ("", None))
    if function is None or not name:
        return TorchCall(getattr(node.target, "__name__", str(node.target)), recognised=False)
    name = _OTHER_SPELLINGS.get(name, name)
    if name in UNCHANGED:
        return TorchCall("identity", {"input": node.args[0]})
    if name in POINTWISE or name in ARITHMETIC:
        args, kwargs = _not_in_place(node)
        return TorchCall(name, function=function, args=args, kwargs=kwargs)
    return TorchCall(name, _bind(name, node))


def _not_in_place(node: fx.Node) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments such that the function leaves its input as it is."""
    args, kwargs = node.args, dict(node.kwargs)
    try:
        signature = inspect.signature(node.target) if callable(node.target) else inspect.Signature()
        bound = signature.bind(*args, **kwargs)
    except (TypeError, ValueError):
        return args, kwargs
    if "inplace" in bound.arguments:
        bound.arguments["inplace"] = False
    return bound.args, bound.kwargs


def _bind(name: str, node: fx.Node) -> dict[str, Any]:
    kwargs = {_OTHER_SPELLINGS.get(k, k): v for k, v in node.kwargs.items() if k not in _NO_EFFECT or v}
    kwargs = {k: v for k, v in kwargs.items() if k not in ("_stacklevel", "inplace")}
    if name in _WITH_LIST:
        source, *rest = node.args
        listed = rest[0] if len(rest) == 1 and isinstance(rest[0], list | tuple) else rest
        return {"input": source, _WITH_LIST[name]: tuple(listed), **kwargs}
    names = _SIGNATURES.get(name, ())
    if len(node.args) > len(names):
        return {"too many": node.args, **kwargs}
    return {**dict(zip(names, node.args, strict=False)), **kwargs}


def layer_call(node: fx.Node, root: nn.Module) -> TorchCall:
    """The call that a layer makes, with its numbers as arguments."""
    layer = root.get_submodule(str(node.target))
    kind = type(layer)
    if len(node.args) != 1 or node.kwargs:
        return TorchCall(kind.__name__)
    (source,) = node.args
    if kind in DROPOUT_LAYERS:  # The network is in evaluation mode.
        return TorchCall("identity", {"input": source})
    if kind in POINTWISE_LAYERS:
        pure = copy.copy(layer)
        if hasattr(pure, "inplace"):
            vars(pure)["inplace"] = False
        return TorchCall("pointwise", function=pure, args=(source,))
    if kind not in LAYERS:
        return TorchCall(kind.__name__)
    name, fields = LAYERS[kind]
    return TorchCall(name, {"input": source} | {key: getattr(layer, own) for key, own in fields.items()})


def _same(*names: str) -> dict[str, str]:
    return {name: name for name in names}


_WINDOW = _same("kernel_size", "stride", "padding", "ceil_mode")
_NORM = _same("weight", "bias", "running_mean", "running_var", "training", "eps")
# For each layer its function, and where the layer keeps the arguments.
LAYERS: dict[type[nn.Module], tuple[str, dict[str, str]]] = {
    nn.AdaptiveAvgPool2d: ("adaptive_avg_pool2d", _same("output_size")),
    nn.AdaptiveMaxPool2d: ("adaptive_max_pool2d", _same("output_size", "return_indices")),
    nn.AvgPool2d: ("avg_pool2d", _WINDOW | _same("count_include_pad", "divisor_override")),
    nn.BatchNorm1d: ("batch_norm", _NORM),
    nn.BatchNorm2d: ("batch_norm", _NORM),
    nn.Conv2d: ("conv2d", _same("weight", "bias", "stride", "padding", "dilation", "groups", "padding_mode")),
    nn.Flatten: ("flatten", _same("start_dim", "end_dim")),
    nn.LayerNorm: ("layer_norm", _same("normalized_shape", "weight", "bias", "eps")),
    nn.LPPool2d: ("lp_pool2d", _same("norm_type", "kernel_size", "stride", "ceil_mode")),
    nn.Linear: ("linear", _same("weight", "bias")),
    nn.LogSoftmax: ("log_softmax", _same("dim")),
    nn.MaxPool2d: ("max_pool2d", _WINDOW | _same("dilation", "return_indices")),
    nn.PReLU: ("prelu", _same("weight")),
    nn.Softmax: ("softmax", _same("dim")),
    nn.SyncBatchNorm: ("batch_norm", _NORM),
}
