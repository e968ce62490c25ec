"""A scripted or traced module as calls of torch, in the order in which it makes them."""

from __future__ import annotations

import inspect
import operator
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

# Where the operators of a graph are in Python, the first one with the same arguments in the same order.
_HOMES = (torch, nn.functional, torch._C._nn)
_SAME = ("aten::Int", "aten::contiguous", "aten::detach", "prim::NumToTensor")


class _UnreadableError(Exception):
    """A step that has no counterpart in Python, such as a loop."""


def eager(module: torch.jit.ScriptModule) -> fx.GraphModule | None:
    """The same computation as a graph of calls, or None where it branches, loops, or does what is not known.

    Args:
        module: In evaluation mode; scripted or traced.

    Returns:
        A module with the weights as buffers. It was read, not run: compare it with the original.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript as a whole
            frozen = torch.jit.freeze(module, optimize_numerics=False)
        return _Reader(frozen.graph).module
    except (_UnreadableError, RuntimeError, ValueError):
        return None


class _Reader:
    """Goes through a frozen graph: constants, lists of them, and calls of operators."""

    def __init__(self, graph: Any) -> None:
        self.root = nn.Module()
        self.calls = fx.Graph()
        self.values: dict[str, Any] = {}
        _, images = graph.inputs()  # the first is the module itself, of which nothing is left
        self.values[images.debugName()] = self.calls.placeholder("images")
        for node in graph.nodes():
            self._read(node)
        (answer,) = graph.outputs()
        self.calls.output(self._value(answer))
        self.calls.eliminate_dead_code()
        self.module = fx.GraphModule(self.root, self.calls, "ScriptModule").eval()

    def _value(self, value: Any) -> Any:
        name = value.debugName()
        if name not in self.values:
            raise _UnreadableError(name)
        return self.values[name]

    def _read(self, node: Any) -> None:
        outputs = list(node.outputs())
        if not outputs:  # checks that end in an error; what they ask about is dead without them
            if not _only_raises(node):
                raise _UnreadableError(node.kind())
            return
        try:
            self.values[outputs[0].debugName()] = self._computed(node)
        except _UnreadableError:
            if len(outputs) > 1:
                raise
            # Left out, in the hope that nothing else reads it.

    def _computed(self, node: Any) -> Any:
        if node.kind() == "prim::Constant":
            return self._constant(node)
        inputs = [self._value(each) for each in node.inputs()]
        if node.kind() in ("prim::ListConstruct", "prim::TupleConstruct"):
            return inputs
        if node.kind() in _SAME:
            return inputs[0]
        if not node.kind().startswith("aten::"):
            raise _UnreadableError(node.kind())
        positional, named = _as_in_python(node, inputs)
        return self._call(node.kind().removeprefix("aten::").removesuffix("_"), positional, named)

    def _constant(self, node: Any) -> Any:
        output = node.output()
        value = output.toIValue()
        if not isinstance(value, Tensor):
            return value
        name = f"constant_{len(list(self.root.buffers()))}"
        self.root.register_buffer(name, value)
        return self.calls.get_attr(name)

    def _call(self, name: str, positional: Sequence[Any], named: dict[str, Any]) -> Any:
        if name in _RENAMED:
            return self.calls.call_function(*_RENAMED[name](positional, named))
        for home in _HOMES:
            function = getattr(home, name, None)
            if callable(function) and _takes(function, positional, named):
                return self.calls.call_function(function, tuple(positional), named)
        if hasattr(Tensor, name):
            return self.calls.call_method(name, tuple(positional), named)
        raise _UnreadableError(name)


def _only_raises(node: Any) -> bool:
    if node.kind() == "prim::RaiseException":
        return True
    kinds = {inner.kind() for block in node.blocks() for inner in block.nodes()}
    return node.kind() == "prim::If" and kinds <= {"prim::RaiseException", "prim::Constant"}


def _as_in_python(node: Any, inputs: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments by place and by name; the last ones are left out where they are what they are by default."""
    declared = torch._C.parse_schema(node.schema()).arguments
    named = {
        argument.name: value
        for argument, value in zip(declared, inputs, strict=True)
        if argument.kwarg_only and not _is_default(argument, value)
    }
    placed = [(a, value) for a, value in zip(declared, inputs, strict=True) if not a.kwarg_only]
    while placed and _is_default(*placed[-1]):
        placed.pop()
    return [value for _, value in placed], named


def _is_default(argument: Any, value: Any) -> bool:
    if isinstance(value, fx.Node) or not argument.has_default_value():
        return False
    return bool(argument.default_value == value)


def _takes(function: Callable[..., Any], positional: Sequence[Any], named: dict[str, Any]) -> bool:
    """Whether a function of Python can be called so; one in C has the arguments of the operator."""
    try:
        inspect.signature(function).bind(*positional, **named)
    except TypeError:
        return False
    except ValueError:  # it has no signature to be asked for
        return True
    return True


Rewritten = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


def _convolution(given: Sequence[Any], named: dict[str, Any]) -> Rewritten:
    images, weight, bias, stride, padding, dilation, transposed, _, groups = given[:9]
    if transposed:
        raise _UnreadableError("a transposed convolution")
    return torch.conv2d, (images, weight, bias, stride, padding, dilation, groups), {}


def _batch_norm(given: Sequence[Any], named: dict[str, Any]) -> Rewritten:
    maps, weight, bias, mean, var, training, momentum, eps = given[:8]
    return nn.functional.batch_norm, (maps, mean, var, weight, bias, training, momentum, eps), {}


def _scaled(function: Callable[..., Any]) -> Callable[[Sequence[Any], dict[str, Any]], Rewritten]:
    """Sums, whose second part has a factor that Python's signs do not have."""

    def rewritten(given: Sequence[Any], named: dict[str, Any]) -> Rewritten:
        if named.get("alpha", 1) != 1:
            raise _UnreadableError("a sum with a factor")
        return function, tuple(given[:2]), {}

    return rewritten


_RENAMED = {
    "_convolution": _convolution,
    "batch_norm": _batch_norm,
    "add": _scaled(operator.add),
    "sub": _scaled(operator.sub),
}
