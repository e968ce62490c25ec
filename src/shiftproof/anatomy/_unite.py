"""One graph of two that were recorded: what grows with the number of images becomes a multiple of it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from shiftproof.anatomy._reasons import Reason


class NotRecorded(BaseException):  # Not an exception, so that no forward swallows it.
    """A network that cannot be recorded.

    Args:
        reason: The layer, and why.
    """

    def __init__(self, layer: str, text: str) -> None:
        super().__init__(text)
        self.reason = Reason(layer, text)


Constants = Mapping[str, Tensor]


def unite(
    first: fx.Graph, second: fx.Graph, kept: Constants, kept_again: Constants, n_images: Sequence[int]
) -> None:
    """Make the first graph hold for any number of images.

    Args:
        first, second: Of different numbers of images; the first one is changed.
        kept, kept_again: Tensors of each that are neither parameters nor buffers, by name.
        n_images: Of each.

    Raises:
        NotRecorded: The graphs differ in more than the number of images.
    """
    _Common(first, second, kept, kept_again, n_images).unite()


class _Common:
    def __init__(
        self,
        first: fx.Graph,
        second: fx.Graph,
        kept: Constants,
        kept_again: Constants,
        n_images: Sequence[int],
    ) -> None:
        self._first, self._second = first, second
        self._kept, self._kept_again = kept, kept_again
        self._n = n_images
        self._twin: dict[fx.Node, fx.Node] = {}
        self._multiples: dict[tuple[int, int], fx.Node] = {}
        self._images, *_ = first.nodes
        self._last: fx.Node = self._images

    def unite(self) -> None:
        ones, twos = list(self._first.nodes), list(self._second.nodes)
        if len(ones) != len(twos):
            raise NotRecorded("", "It does something else for other images, or for another number of them.")
        for one, two in zip(ones, twos, strict=True):
            self._twin[two] = one
            if (one.op, one.target) != (two.op, two.target):
                self._differs(one)
            constant = self._kept.get(str(one.target)) if one.op == "get_attr" else None
            if constant is not None and not _same(constant, self._kept_again[str(one.target)]):
                raise NotRecorded(
                    _path(one), "It reads a tensor that was computed outside of torch's functions."
                )
            one.args = self._united(one, one.args, two.args)
            one.kwargs = self._united(one, one.kwargs, two.kwargs)

    def _united(self, node: fx.Node, one: Any, two: Any) -> Any:
        if type(one) is not type(two):
            self._differs(node)
        if isinstance(one, fx.Node):
            if self._twin[two] is not one:
                self._differs(node)
            return one
        if isinstance(one, tuple | list):
            if len(one) != len(two):
                self._differs(node)
            return type(one)([self._united(node, a, b) for a, b in zip(one, two, strict=True)])
        if isinstance(one, dict):
            if list(one) != list(two):
                self._differs(node)
            return {key: self._united(node, part, two[key]) for key, part in one.items()}
        if isinstance(one, slice):
            ends = zip((one.start, one.stop, one.step), (two.start, two.stop, two.step), strict=True)
            return slice(*(self._united(node, a, b) for a, b in ends))
        if one == two or (one != one and two != two):
            return one
        if type(one) is not int:
            self._differs(node)
        return self._number(node, one, two)

    def _number(self, node: fx.Node, one: int, two: int) -> fx.Node:
        """factor · images + rest."""
        factor, left = divmod(two - one, self._n[1] - self._n[0])
        rest = one - factor * self._n[0]
        if left:
            self._differs(node)
        if (factor, rest) not in self._multiples:
            number = self._after(lambda graph: graph.call_method("size", (self._images, 0)))
            if factor != 1:
                last = number
                number = self._after(lambda graph: graph.call_function(operator.mul, (last, factor)))
            if rest:
                product = number
                number = self._after(lambda graph: graph.call_function(operator.add, (product, rest)))
            self._multiples[factor, rest] = number
        return self._multiples[factor, rest]

    def _after(self, make: Callable[[fx.Graph], fx.Node]) -> fx.Node:
        with self._first.inserting_after(self._last):
            self._last = make(self._first)
        return self._last

    def _differs(self, node: fx.Node) -> None:
        raise NotRecorded(
            _path(node), "It does something else for other images, or for another number of them."
        )


def _path(node: fx.Node) -> str:
    return next(iter(node.meta.get("nn_module_stack") or {}), "")


def _same(one: Tensor, two: Tensor) -> bool:
    return one.shape == two.shape and one.dtype == two.dtype and torch.equal(one, two)
