"""Whether something draws random numbers, of whatever kind."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


class Randomness:
    """Watches the generators of Python, NumPy and torch, and puts them back.

    Example:
        >>> with Randomness() as randomness:
        ...     numbers = torch.rand(3)
        >>> randomness.was_asked
        True
    """

    was_asked = False

    def __enter__(self) -> Randomness:
        self._before = _states()
        return self

    def __exit__(self, *raised: object) -> None:
        after = _states()
        self.was_asked = any(
            not np.array_equal(np.asarray(old), np.asarray(new))
            for old, new in zip(_flat(self._before), _flat(after), strict=False)
        )
        _put_back(self._before)


def _states() -> dict[str, Any]:
    found: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=True),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        found["cuda"] = torch.cuda.get_rng_state_all()
    return found


def _put_back(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    torch.set_rng_state(states["torch"])
    if "cuda" in states:
        torch.cuda.set_rng_state_all(states["cuda"])


def _flat(states: dict[str, Any]) -> list[Any]:
    """Numbers, arrays and tensors, in order."""
    version, numbers, gauss = states["python"]
    name, keys, *rest = states["numpy"]
    return [version, numbers, repr(gauss), name, keys, *rest, states["torch"], *states.get("cuda", [])]
