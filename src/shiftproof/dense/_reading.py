"""Recognise the operations of a traced network; what is not recognised says why."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx

from shiftproof.anatomy import Call, Trace, call_of, layer_call
from shiftproof.dense._layers import read_layer, unknown
from shiftproof.dense._operations import (
    BatchSize,
    Elementwise,
    Maps,
    Operation,
    Relabel,
    Rows,
    Unknown,
    shape_of,
)

Value = Maps | Rows | None


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a network.

    Args:
        layer: Where it happens, for messages.
        node: In the traced graph.
        operation: What it does.
        inputs: The steps whose maps or rows it reads.
        value: What it gives; None where that is unknown.
    """

    layer: str
    node: fx.Node
    operation: Operation
    inputs: tuple[fx.Node, ...]
    value: Value


def read_steps(trace: Trace) -> tuple[Step, ...]:
    """Every step that gives maps or rows, the images first and the answer last."""
    reader = _Reader(trace)
    return tuple(step for node in trace.nodes if (step := reader.read(node)) is not None)


class _Reader:
    """What is known of the steps so far: constants, and the geometry of maps and rows."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._values: dict[fx.Node, Value] = {}
        self._known: dict[fx.Node, Any] = {}

    def read(self, node: fx.Node) -> Step | None:
        if node.op == "output":
            return None
        if node.op == "placeholder":
            _, channels, height, width = self._trace.shapes[node]
            self._values[node] = Maps(channels, height, width)
            return Step(self._trace.layer_of(node), node, Relabel(), (), self._values[node])
        if node in self._trace.constants:
            self._known[node] = self._trace.constants[node]
            return None
        call = layer_call(node, self._trace.module) if node.op == "call_module" else call_of(node)
        if self._is_size(call, node):
            return None
        inputs = tuple(source for source in node.all_input_nodes if source not in self._known)
        operation, value = self._operation(call, node, inputs)
        if isinstance(operation, Elementwise) and not operation.channels_alike and isinstance(value, Rows):
            value = Rows(value.features)  # Each feature has its own function: the maps are gone.
        self._values[node] = value
        return Step(self._trace.layer_of(node), node, operation, inputs, value)

    def _is_size(self, call: Call, node: fx.Node) -> bool:
        """Remember sizes: all but the number of images are the same for every window."""
        source = call.arguments.get("input")
        if not isinstance(source, fx.Node):
            return False
        if call.name in ("size", "shape") and source in self._trace.shapes:
            sizes: Any = (BatchSize(), *self._trace.shapes[source][1:])
            dim = call.arguments.get("dim")
            self._known[node] = sizes if dim is None else sizes[dim]
        elif call.name == "getitem" and isinstance(self._known.get(source), tuple):
            self._known[node] = self._known[source][call.arguments["index"]]
        else:
            return False
        return True

    def _operation(self, call: Call, node: fx.Node, inputs: tuple[fx.Node, ...]) -> tuple[Operation, Value]:
        values = [self._values.get(source) for source in inputs]
        if None in values or not values:
            return Unknown("It follows a step that is not understood."), None
        shape = self._trace.shapes.get(node)
        if shape is None or len(shape) < 2:
            return unknown(call.name), None
        arguments = {name: self._constant(value) for name, value in call.arguments.items()}
        if call.function is not None:
            return self._pointwise(call, inputs, shape)
        if call.name == "cat":
            return self._concatenation(arguments, inputs, shape)
        value = values[0]
        if len(inputs) > 1 or value is None:
            return unknown(call.name), None
        arguments.pop("input", None)
        return read_layer(call.name, arguments, value, shape)

    def _constant(self, argument: Any) -> Any:
        """An argument with what is known put in; maps and rows stay nodes."""
        return fx.node.map_arg(argument, lambda node: self._known.get(node, node))

    def _pointwise(
        self, call: Call, inputs: tuple[fx.Node, ...], shape: tuple[int, ...]
    ) -> tuple[Operation, Value]:
        """A function of each number alone, or of the numbers of several inputs at the same place."""
        value = _same_place([self._values[source] for source in inputs], shape)
        if value is None:
            return Unknown("It combines values of different places."), None
        mapping: dict[fx.Node, Any] = {}
        alike = True
        for node in {n for n in _nodes((call.args, call.kwargs)) if n in self._known}:
            constant = self._known[node]
            if isinstance(constant, Tensor) and constant.ndim:
                alike = False
                constant = _along_channels(constant, value)
            if not isinstance(constant, Tensor | int | float):
                return Unknown("It reads a tensor that differs between positions, or the batch size."), None
            mapping[node] = constant
        fn = partial(_apply, call, inputs, mapping)
        return Elementwise(fn, channels_alike=alike), value

    def _concatenation(
        self, arguments: dict[str, Any], inputs: tuple[fx.Node, ...], shape: tuple[int, ...]
    ) -> tuple[Operation, Value]:
        tensors = arguments.get("tensors", ())
        values = [self._values.get(node) for node in tensors if isinstance(node, fx.Node)]
        if len(values) != len(tensors) or set(arguments) - {"tensors", "dim"}:
            return unknown("cat"), None
        value = _same_place(values, shape)
        dim = arguments.get("dim", 0) % len(shape)
        if value is None or dim != (1 if isinstance(value, Rows) else value.axes.index("c")):
            return Unknown("It joins values of different places, or along another axis than channels."), None
        order = [inputs.index(node) for node in tensors]
        return Elementwise(lambda *parts: torch.cat([parts[i] for i in order], 1)), value


def _nodes(arguments: Any) -> list[fx.Node]:
    found: list[fx.Node] = []
    fx.node.map_arg(arguments, found.append)
    return found


def _apply(
    call: Call, inputs: tuple[fx.Node, ...], constants: dict[fx.Node, Any], *tensors: Tensor
) -> Tensor:
    given = dict(zip(inputs, tensors, strict=True)) | constants
    args, kwargs = fx.node.map_arg((call.args, dict(call.kwargs)), given.__getitem__)
    assert call.function is not None
    answer: Tensor = call.function(*args, **kwargs)
    return answer


def _same_place(values: list[Value], shape: tuple[int, ...]) -> Value:
    """The value with that shape whose positions are those of all others; None where there is none."""
    first = values[0]
    if isinstance(first, Rows):
        alike = all(isinstance(value, Rows) for value in values)
        if not alike or len(shape) != 2:
            return None
        sources = {value.source if isinstance(value, Rows) else None for value in values}
        same = sources.pop() if len(sources) == 1 and shape[1] == first.features else None
        return Rows(shape[1], same)
    if first is None or len(shape) != len(first.axes):
        return None
    channels = shape[first.axes.index("c")]
    expected = Maps(channels, first.height, first.width, first.stride, first.axes)
    geometry = (first.height, first.width, first.stride, first.axes)
    for value in values:
        if not isinstance(value, Maps) or (value.height, value.width, value.stride, value.axes) != geometry:
            return None
    return expected if shape == shape_of(expected, shape[0]) else None


def _along_channels(constant: Tensor, value: Maps | Rows) -> Tensor | None:
    """A constant as (1, C, 1, 1), or (1, F) for rows; None where it also differs between positions."""
    if isinstance(value, Rows):
        row = constant.reshape((1,) * (2 - constant.ndim) + constant.shape) if constant.ndim <= 2 else None
        return row if row is not None and len(row) == 1 else None
    rank = len(value.axes)
    if constant.ndim > rank:
        return None
    shape = (1,) * (rank - constant.ndim) + tuple(constant.shape)
    channel = value.axes.index("c")
    if any(size != 1 for axis, size in enumerate(shape) if axis != channel):
        return None
    return constant.reshape(1, -1, 1, 1)
