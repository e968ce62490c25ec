"""One thread that computes for all visitors, with a line of bounded length in front of it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
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
        self._running: set[Future[object]] = set()
        self.longest_s = longest_s

    async def run(self, compute: Callable[[], T]) -> T:
        """What a function returns, when its turn has come.

        Raises:
            BusyError: The line is full.
            TimeoutError: It takes too long.
        """
        if not self._places.acquire(blocking=False):
            raise BusyError
        future = self._pool.submit(compute)
        self._running.add(future)  # type: ignore[arg-type]  # a set of futures of anything
        future.add_done_callback(self._leave)
        return await asyncio.wait_for(asyncio.wrap_future(future), self.longest_s)

    def _leave(self, future: Future[T]) -> None:
        self._running.discard(future)  # type: ignore[arg-type]  # as above
        self._places.release()

    def close(self, timeout_s: float = 0.3) -> bool:
        """Take nothing more; whether what runs has ended within this time."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        return not wait(set(self._running), timeout_s).not_done
