"""The derivative of a function of images in one direction, by three methods: the exact ones first."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from shiftproof._registry import unknown_name
from shiftproof.errors import ModelError
from shiftproof.explain._layer_answer import Function

Method = Literal["forward", "double-backward", "differences"]
METHODS: tuple[Method, ...] = get_args(Method)
# Half the distance of the two images, in px, for which error of rounding and of curvature are alike.
STEPS_PX = {torch.float64: 1e-4, torch.float32: 2**-7}

ValueAndDerivative = tuple[Tensor, Tensor]


def directional_derivative(
    function: Function, images: Tensor, direction: Tensor, method: Method
) -> ValueAndDerivative:
    """The value at `images`, and its derivative in `direction`.

    Args:
        function: Images to a tensor.
        images: (N, C, H, W), float32 or float64.
        direction: The same shape.
        method: `forward`: forward-mode differentiation, one pass. `double-backward`: the gradient
            differentiated again, for operations without forward mode. `differences`: central differences
            along the direction, for any function; (f(x + hv) − f(x − hv)) ÷ 2h with h of 1e-4 px in
            float64 and 2^-7 px in float32.

    Returns:
        Both of the shape of the value. Where the function has a kink (ReLU at 0, a tie of a maximum) the
        first two give the derivative on the side that torch chooses, differences the mean of both sides.

    Raises:
        UnknownNameError: Another method.

    Example:
        >>> x = torch.tensor([[[[2.0]]]])
        >>> _, found = directional_derivative(torch.square, x, torch.ones_like(x), "forward")
        >>> found.item()
        4.0
    """
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    # Fused attention has neither forward mode nor a second derivative.
    with sdpa_kernel(SDPBackend.MATH):
        return _BY_METHOD[method](function, images, direction)


def choose_method(function: Function, images: Tensor, direction: Tensor) -> tuple[Method, tuple[str, ...]]:
    """The first method that works on these images, and why those before it do not."""
    notes: list[str] = []
    for method in METHODS[:-1]:
        try:
            _, found = directional_derivative(function, images, direction, method)
        except (RuntimeError, NotImplementedError, ModelError) as error:
            # A classifier tells what its model raised as a `ModelError`; what it raised is the reason.
            notes.append(f"{method}: {_first_line(error.__cause__ or error)}")
            continue
        if bool(found.any()) or not _changes(function, images, direction):
            return method, tuple(notes)
        notes.append(f"{method}: the model detaches its answer from the image")
    return METHODS[-1], tuple(notes)


def _changes(function: Function, images: Tensor, direction: Tensor) -> bool:
    """Whether differences see a change: a derivative of exactly 0 may be that of a model that hides it."""
    return bool(_differences(function, images, direction)[1].any())


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


@cache
def _load_forward_mode() -> None:
    """Torch loads it at its first use, with a deprecated part of its own, of which users need not hear."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.func.jvp(torch.neg, (torch.zeros(1),), (torch.zeros(1),))


@torch.no_grad()
def _forward(function: Function, images: Tensor, direction: Tensor) -> ValueAndDerivative:
    _load_forward_mode()
    value, derivative, *_ = torch.func.jvp(function, (images,), (direction,))
    return value, derivative


def _double_backward(function: Function, images: Tensor, direction: Tensor) -> ValueAndDerivative:
    with torch.enable_grad():
        images = images.detach().requires_grad_()
        value = function(images)
        weights = torch.zeros_like(value, requires_grad=True)
        (pulled,) = torch.autograd.grad(value, images, weights, create_graph=True)
        (derivative,) = torch.autograd.grad(pulled, weights, direction)
    return value.detach(), derivative


@torch.no_grad()
def _differences(function: Function, images: Tensor, direction: Tensor) -> ValueAndDerivative:
    step = STEPS_PX[images.dtype]
    ahead, behind = (function(images + sign * step * direction) for sign in (1, -1))
    return function(images), (ahead - behind) / (2 * step)


_BY_METHOD: dict[Method, Callable[[Function, Tensor, Tensor], ValueAndDerivative]] = {
    "forward": _forward,
    "double-backward": _double_backward,
    "differences": _differences,
}
