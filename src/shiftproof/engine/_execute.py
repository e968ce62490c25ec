"""Running independent tasks on local workers, so that none is lost and all can be stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from shiftproof.errors import ShiftproofError, Stopped

T = TypeVar("T")


class StopSignal:
    """A request to stop that workers look at between two steps."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask everybody to stop."""
        self._event.set()

    def check(self) -> None:
        """Return at once, or raise `Stopped` after a request."""
        if self._event.is_set():
            raise Stopped("to finish", "a request to stop")


def execute(tasks: Sequence[Callable[[], T]], *, workers: int, stop: StopSignal) -> list[T | ShiftproofError]:
    """Run tasks on a number of workers, each to its end or to its own error.

    The workers are threads: what they do spends its time inside torch, which lets go of the
    interpreter, and they share one pool of cores, so that the last task still running has all of them.

    Args:
        tasks: What to run; no task depends on another.
        workers: How many at a time.
        stop: Set by someone else to have the tasks end at their next safe point.

    Returns:
        For each task, in order, its result or the error that ended it. An error of one task does not
        stop the others.

    Raises:
        KeyboardInterrupt: On Ctrl-C, after all workers have stopped.

    Example:
        >>> execute([lambda: 1, lambda: 2], workers=2, stop=StopSignal())
        [1, 2]
    """

    def guarded(task: Callable[[], T]) -> T | ShiftproofError:
        try:
            stop.check()
            return task()
        except ShiftproofError as error:
            return error

    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(guarded, task) for task in tasks]
        try:
            return [future.result() for future in futures]
        except BaseException:
            # Leaving the block waits for the workers: have them stop now, not when they are done.
            stop.set()
            raise
