"""Stable names for contents: canonical JSON and SHA-256."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


def canonical_json(value: object) -> str:
    """The one JSON text of a value: sorted keys, no blanks, no NaN.

    Example:
        >>> canonical_json({"b": (1, 2), "a": None})
        '{"a":null,"b":[1,2]}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(value: object) -> str:
    """SHA-256 of the canonical JSON of a value, as 64 hex digits.

    Example:
        >>> digest_of({"a": 1})[:8]
        '015abd7f'
    """
    # A name that is no UTF-8 has halves of characters in it, and is a name all the same.
    return digest_of_bytes([canonical_json(value).encode("utf-8", "surrogatepass")])


def digest_of_bytes(parts: Iterable[bytes | memoryview]) -> str:
    """SHA-256 of bytes in sequence, as 64 hex digits."""
    state = hashlib.sha256()
    for part in parts:
        state.update(part)
    return state.hexdigest()


def derive_seed(seed: int, *words: str | int) -> int:
    """A seed for one purpose, independent of all others with the same root seed.

    Deriving by name rather than by drawing in turn means that work can be done in any order, by any
    number of workers, or again after a crash, and still sees the same random numbers.

    Returns:
        An integer in [0, 2^63).

    Example:
        >>> derive_seed(0, "shuffle", 1) == derive_seed(0, "shuffle", 1)
        True
        >>> derive_seed(0, "shuffle", 1) == derive_seed(0, "shuffle", 2)
        False
    """
    return int(digest_of([seed, *words])[:16], 16) >> 1
