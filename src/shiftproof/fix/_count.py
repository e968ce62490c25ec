"""How many of several candidates are measured, told every few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

SECONDS_BETWEEN_REPORTS = 5.0
Tell = Callable[[str], None]


class Count:
    """Called after each of several; tells how many are done where that takes long.

    Args:
        n: How many there are.
        tell: Given a line for a reader.
    """

    def __init__(self, n: int, tell: Tell) -> None:
        self._n, self._tell = n, tell
        self._n_done, self._told = 0, time.monotonic()

    def __call__(self, index: int, result: object) -> None:
        self._n_done += 1
        if self._n_done < self._n and time.monotonic() - self._told >= SECONDS_BETWEEN_REPORTS:
            self._told = time.monotonic()
            self._tell(f"{self._n_done} of {self._n} measured")
