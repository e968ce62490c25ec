"""Named things: networks, protocols, metrics, data sources. One class for all of them."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

from shiftproof.errors import UnknownNameError

T = TypeVar("T")


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UnknownNameError:
    """The error for a name that is not there, with the nearest names that are.

    Example:
        >>> print(unknown_name("network", "cnn3", ["cnn1", "cnn2"]))
        Expected the name of a network, got 'cnn3'. Did you mean 'cnn2' or 'cnn1'? Known: cnn1, cnn2.
    """
    known = sorted(known)
    near = difflib.get_close_matches(name, known, n=3)
    return UnknownNameError(
        f"the name of {'an' if kind[0] in 'aeiou' else 'a'} {kind}",
        repr(name),
        cause=f"Did you mean {' or '.join(map(repr, near))}?" if near else "",
        fix=f"Known: {', '.join(known)}.",
    )


class Registry(Generic[T]):
    """Items by name, in the order in which they were registered.

    Args:
        kind: What an item is, as a singular noun for error messages.

    Example:
        >>> sizes: Registry[int] = Registry("size")
        >>> sizes.register("small", 1)
        1
        >>> sizes.names("s*")
        ('small',)
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def register(self, name: str, item: T) -> T:
        """Add an item; a name can be taken once only."""
        if name in self._items:
            raise ValueError(f"The {self.kind} {name!r} is registered twice.")
        self._items[name] = item
        return item

    def get(self, name: str) -> T:
        """The item of that name; `UnknownNameError` suggests near names."""
        try:
            return self._items[name]
        except KeyError:
            raise unknown_name(self.kind, name, self._items) from None

    def names(self, pattern: str = "*") -> tuple[str, ...]:
        """All names that match a shell pattern, in the order of registration."""
        return tuple(fnmatch.filter(self._items, pattern))

    def __iter__(self) -> Iterator[T]:
        return iter(self._items.values())

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, name: object) -> bool:
        return name in self._items
