"""One thread that computes for all visitors, with a line of bounded length in front of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

MOST_WAITING = 16
LONGEST_S = 60.0


class BusyError(Exception):
    """There are too many computations in line already."""


class Worker:
    """Computes one thing after another.

    Args:
        most_waiting: How many may be in line, with the one that runs.
        longest_s: After so long a visitor is told that it takes too long; what runs cannot be stopped.
    """

    def __init__(self, most_waiting: int = MOST_WAITING, longest_s: float = LONGEST_S) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="shiftproof-serve")
        self._places = threading.BoundedSemaphore(most_waiting)
        self.longest_s = longest_s

    async def run(self, compute: Callable[[], T]) -> T:
        """What a function returns, when its turn has come.

        Raises:
            BusyError: The line is full.
            TimeoutError: It takes too long.
        """
        if not self._places.acquire(blocking=False):
            raise BusyError("There are too many questions in line. Try again in a moment.")
        future = self._pool.submit(compute)
        # Whether it ran or was given up: both end it.
        future.add_done_callback(lambda _: self._places.release())
        return await asyncio.wait_for(asyncio.wrap_future(future), self.longest_s)

    def close(self) -> None:
        """Take nothing more, and do nothing more of what is in line."""
        self._pool.shutdown(wait=False, cancel_futures=True)
