"""One step of a network, run on other images than those it was traced with: more of them, or larger ones."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx

from shiftproof.anatomy import BATCH, Trace


class Runner:
    """Runs single steps, with the weights as they are when it is made.

    Args:
        traced: The network.
        depending: The steps that depend on the images.
    """

    def __init__(self, traced: Trace, depending: frozenset[fx.Node]) -> None:
        self._traced = traced
        self._depending = depending
        self._module = copy.deepcopy(traced.module).requires_grad_(False)
        for tensor in (*self._module.parameters(), *self._module.buffers()):
            if tensor.ndim == 4:  # Of others there is no such order.
                tensor.data = tensor.data.contiguous(memory_format=torch.channels_last)
        self._interpreter = fx.Interpreter(self._module)

    def run(self, node: fx.Node, tensors: Mapping[fx.Node, Any], n_images: int) -> Any:
        """What a step gives.

        Args:
            node: The step.
            tensors: What it reads, of the steps that depend on the images.
            n_images: Of which these are.
        """
        if node.op == "call_module" and len(node.args) == 1 and not node.kwargs:
            return self._module.get_submodule(str(node.target))(tensors[node.all_input_nodes[0]])
        known = dict(tensors)

        def value(source: fx.Node) -> Any:
            if source not in known:
                known[source] = self._number(source, tensors, n_images)
            return known[source]

        args, kwargs = fx.node.map_arg((node.args, node.kwargs), value)
        return getattr(self._interpreter, node.op)(node.target, args, kwargs)

    def zeros(self, shape: tuple[int, ...]) -> Tensor:
        """With dtype and device of the images."""
        return self._traced.images(1, (1, 1, 1)).new_zeros(shape)

    def weight(self, node: fx.Node, name: str, argument: Any) -> Tensor | None:
        """A weight that a step reads, by its name in a layer, or as an argument."""
        if node.op == "call_module":
            found: Tensor | None = getattr(self._module.get_submodule(str(node.target)), name)
            return found
        return self._traced.constants.get(argument) if isinstance(argument, fx.Node) else argument

    def _number(self, node: fx.Node, tensors: Mapping[fx.Node, Any], n_images: int) -> Any:
        """A constant, or what is asked about the size of some values."""
        if node in tensors:
            return tensors[node]
        if node in self._traced.constants:
            return self._traced.constants[node]
        if node in self._depending:
            shape = list(self._traced.shapes[node])
            shape[0] = n_images if shape[0] == BATCH else shape[0]
            return torch.empty(shape, device="meta")
        if not node.all_input_nodes:
            return self._traced.numbers[node]
        args, kwargs = fx.node.map_arg(
            (node.args, node.kwargs), lambda source: self._number(source, tensors, n_images)
        )
        return getattr(self._interpreter, node.op)(node.target, args, kwargs)
