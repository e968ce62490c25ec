"""A dictionary of bounded size: what was not used for longest is forgotten."""

from __future__ import annotations

from collections import OrderedDict
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Kept(Generic[K, V]):
    """Keeps the last few things.

    Args:
        most: How many.

    Example:
        >>> kept = Kept[str, int](2)
        >>> for name, value in (("a", 1), ("b", 2), ("c", 3)):
        ...     kept.put(name, value)
        >>> kept.get("a"), kept.get("c")
        (None, 3)
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._items: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        """What is kept under a key, or None."""
        if key in self._items:
            self._items.move_to_end(key)
        return self._items.get(key)

    def put(self, key: K, value: V) -> None:
        """Keep something, and forget what was not used for longest."""
        self._items[key] = value
        self._items.move_to_end(key)
        while len(self._items) > self.most:
            self._items.popitem(last=False)
