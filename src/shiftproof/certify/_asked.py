"""What a rule about labels is asked: an operation of torch, as it ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils._pytree import tree_leaves

from shiftproof.certify._labels import NOTHING, Array, Labels

# Labels of a tensor, and of its absolute values where these are known to be more often the same. None for
# what is as good as a constant.
Found = tuple[Array | None, Array | None]


@dataclass(frozen=True, eq=False)
class Asked:
    """An operation, run.

    Args:
        func: Of torch's dispatcher.
        args, kwargs: As it was called.
        labels: Of its inputs.
        outputs: What it gave; of an operation in place, its first argument.
    """

    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    labels: Labels
    outputs: tuple[Tensor, ...]

    @property
    def name(self) -> str:
        """Such as `add`, also of `add_`."""
        name = str(self.func.overloadpacket.__name__)
        return name.removesuffix("_") if self.func._schema.is_mutable else name

    @cached_property
    def given(self) -> dict[str, Any]:
        """All arguments by their name."""
        arguments = self.func._schema.arguments
        named = {a.name: a.default_value for a in arguments}
        return named | dict(zip([a.name for a in arguments], self.args, strict=False)) | self.kwargs

    @property
    def tensors(self) -> list[Tensor]:
        """Those among the arguments."""
        return [leaf for leaf in tree_leaves((self.args, self.kwargs)) if isinstance(leaf, Tensor)]

    def of(self, name: str) -> Array:
        """Labels of an argument."""
        return self.labels.of(self.given[name])

    def dims(self, n_axes: int) -> list[int]:
        """The axes that are named, counted from 0; all where there is none."""
        dim = self.given.get("dim")
        if dim is None or dim == []:
            return list(range(n_axes))
        listed = list(dim) if isinstance(dim, list | tuple) else [dim]
        return [axis % n_axes for axis in listed]


def whole(asked: Asked) -> list[Found]:
    """Any function of all inputs in their order."""
    worlds = [asked.labels.of(tensor).reshape(asked.labels.n_worlds, -1) for tensor in asked.tensors]
    everything = asked.labels.fresh(np.concatenate(worlds, 1))
    return [
        (asked.labels.with_number(everything, one.numel()).reshape(-1, *one.shape), None)
        for one in asked.outputs
    ]


def spread(labels: Array, shape: Sequence[int]) -> Array:
    missing = len(shape) + 1 - labels.ndim
    aligned = labels.reshape(len(labels), *([1] * missing), *labels.shape[1:])
    return np.broadcast_to(aligned, (len(labels), *shape))


def fibres(labels: Array, axes: Sequence[int]) -> Array:
    """The labels along some axes as rows at the end."""
    kept = [axis for axis in range(labels.ndim - 1) if axis not in axes]
    order = [0, *(axis + 1 for axis in kept), *(axis + 1 for axis in axes)]
    turned = labels.transpose(order)
    return turned.reshape(*turned.shape[: 1 + len(kept)], -1)


def as_set(rows: Array) -> Array:
    """Rows in which each label is left once, in order: a maximum does not ask how often it is there."""
    found = np.sort(rows, -1)
    again = np.zeros(found.shape, bool)
    again[..., 1:] = found[..., 1:] == found[..., :-1]
    return np.sort(np.where(again | (found < 0), NOTHING, found), -1)
