"""Labels of numbers: two numbers with one label are the same function of the images.

Labels are kept for several worlds at once: in world 0 the images are as they are, in each of the others
they are rolled. Label 7 in world 0 and label 7 in world 2 say that what a network computes at the one place
from the images is, for all images, what it computes at the other place from the rolled ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.int64]

# Labels that one step may look at, over all worlds, and all steps together: some 20 s.
MOST, MOST_IN_ALL = 4_000_000, 100_000_000
# What stands for the zeros around maps, for what is not even there, and for what does not matter.
BORDER, BEYOND, NOTHING = -1, -2, -3


class NotFollowedError(Exception):  # never leaves this room
    """A step of which labels cannot be told."""


@dataclass(eq=False)
class _Memory:
    """Labels of all numbers of a storage, of which tensors are views.

    Args:
        owner: A tensor in that memory, which keeps it from being used for another one.
        item_bytes: Of one number.
        labels: (worlds, numbers).
        strengths: Labels of their absolute values, where these are known to be more often the same.
    """

    owner: Tensor
    item_bytes: int
    labels: Array
    strengths: Array | None = None


class Labels:
    """The labels of every tensor that depends on the images.

    Args:
        n_worlds: How many.
    """

    def __init__(self, n_worlds: int) -> None:
        self.n_worlds = n_worlds
        self._memories: dict[int, _Memory] = {}
        self._next = 1
        self._looked_at = 0

    def fresh(self, rows: Array) -> Array:
        """A new label for each row along the last axis; the same one for the same rows."""
        self._looked_at += rows.size
        if rows.size > MOST or self._looked_at > MOST_IN_ALL:
            raise NotFollowedError("It looks at too many numbers at once.")
        *shape, width = rows.shape
        flat = rows.reshape(-1, width)
        order = np.lexsort(flat.T)
        in_order = flat[order]
        is_new = np.any(in_order[1:] != in_order[:-1], axis=1)
        places = np.empty(len(flat), np.int64)
        places[order] = np.concatenate([[0], np.cumsum(is_new)])
        return self._handed_out(places.reshape(shape))

    def with_number(self, labels: Array, n: int) -> Array:
        """New labels for n numbers that are computed from what each label stands for, on a new axis."""
        if labels.size * n > MOST:
            raise NotFollowedError("It looks at too many numbers at once.")
        _, places = np.unique(labels, return_inverse=True)
        numbered = places.reshape(labels.shape).astype(np.int64)[..., None] * n + np.arange(n)
        return self._handed_out(numbered)

    def _handed_out(self, places: Array) -> Array:
        found = places + self._next
        self._next += int(places.max(initial=0)) + 1
        return found

    def start(self, tensor: Tensor, labels: Array) -> None:
        """Note the labels of the images."""
        self.write(tensor, labels)
        self._next = int(labels.max()) + 1

    def knows(self, tensor: Tensor) -> bool:
        """Whether it depends on the images."""
        return _address(tensor) in self._memories

    def of(self, tensor: Tensor) -> Array:
        """(worlds, *shape). Of constants those that are bit by bit the same have one label."""
        memory = self._memories.get(_address(tensor))
        if memory is None:
            return np.broadcast_to(self._of_constant(tensor), (self.n_worlds, *tensor.shape))
        if 2 * tensor.element_size() == memory.item_bytes and not tensor.is_complex():
            return self._of_parts(tensor, memory)
        labels = np.array(_seen(memory.labels, tensor, memory))
        return conjugate(labels) if tensor.is_conj() else labels

    def _of_parts(self, tensor: Tensor, memory: _Memory) -> Array:
        """Of real and imaginary parts, which follow each other in memory."""
        halves = np.arange(2 * memory.labels.shape[1])[tensor.storage_offset() :]
        places = as_strided(halves, tuple(tensor.shape), [8 * stride for stride in tensor.stride()])
        part = np.broadcast_to(places % 2, (self.n_worlds, *places.shape))
        return self.fresh(np.stack([memory.labels[:, places // 2], part], -1))

    def strengths_of(self, tensor: Tensor) -> Array | None:
        """Labels of absolute values, where there are such."""
        memory = self._memories.get(_address(tensor))
        if memory is None or memory.strengths is None:
            return None
        return np.array(_seen(memory.strengths, tensor, memory))

    def write(self, tensor: Tensor, labels: Array, strengths: Array | None = None) -> None:
        """Note the labels of a tensor, and so of all that share its memory."""
        if not tensor.numel():
            return
        if tensor.is_conj():
            raise NotFollowedError("It is written through its conjugate.")
        memory = self._memories.get(_address(tensor))
        if memory is None:
            memory = self._remember(tensor)
        _seen(memory.labels, tensor, memory)[...] = labels
        memory.strengths = None
        if strengths is not None:
            memory.strengths = memory.labels.copy()
            _seen(memory.strengths, tensor, memory)[...] = strengths

    def _remember(self, tensor: Tensor) -> _Memory:
        """Memory of constants from here on depends on the images, a part of it at least."""
        storage = tensor.untyped_storage()
        n = storage.nbytes() // tensor.element_size()
        whole = torch.as_strided(tensor, (n,), (1,), 0)
        labels = np.array(np.broadcast_to(self._of_constant(whole), (self.n_worlds, n)), order="C")
        self._memories[_address(tensor)] = memory = _Memory(tensor, tensor.element_size(), labels)
        return memory

    def _of_constant(self, tensor: Tensor) -> Array:
        _check_plain(tensor)
        if not tensor.numel():
            return np.zeros(tuple(tensor.shape), np.int64)
        width = tensor.element_size()
        numbers = (
            tensor.detach().resolve_conj().cpu().contiguous().reshape(-1).view(torch.uint8).reshape(-1, width)
        )
        keys = numbers.numpy().astype(np.int64)
        return self.fresh(keys).reshape(tuple(tensor.shape))


def conjugate(labels: Array) -> Array:
    """The labels of complex conjugates: other ones, of which the conjugates are the same again.

    Example:
        >>> conjugate(conjugate(np.array([7, 8]))).tolist()
        [7, 8]
    """
    found: Array = -1000 - labels
    return found


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _check_plain(tensor: Tensor) -> None:
    if tensor.is_neg() or tensor.layout is not torch.strided:
        raise NotFollowedError("Its memory is not what it says.")


def _seen(labels: Array, tensor: Tensor, memory: _Memory) -> NDArray[Any]:
    """The part of the labels of a memory that a tensor sees."""
    _check_plain(tensor)
    if tensor.element_size() != memory.item_bytes:
        raise NotFollowedError("It looks at parts of numbers.")
    strides = [labels.strides[1] * stride for stride in tensor.stride()]
    part = labels[:, tensor.storage_offset() :]
    return as_strided(part, (len(labels), *tensor.shape), (labels.strides[0], *strides))
