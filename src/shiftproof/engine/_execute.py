"""Running independent tasks on local workers, so that none is lost and all can be stopped."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, TypeVar

from shiftproof.errors import ShiftproofError, Stopped, WorkerError

T = TypeVar("T")
SECONDS_BETWEEN_LOOKS = 0.1


class StopSignal:
    """A request to stop that tasks look at between two steps."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask everybody to stop."""
        self._event.set()

    def is_set(self) -> bool:
        """Whether somebody asked."""
        return self._event.is_set()


class Channel:
    """What a task is given to talk to whoever started it, in this process or in another.

    Args:
        send: Takes an event that tells how far things are.
        is_stopped: Whether there is a request to stop.
    """

    def __init__(self, send: Callable[[Any], None], is_stopped: Callable[[], bool]) -> None:
        self.send = send
        self.is_stopped = is_stopped

    def check_stop(self) -> None:
        """Return at once, or raise `Stopped` after a request to stop."""
        if self.is_stopped():
            raise Stopped("to finish", "a request to stop")


Task = Callable[[Channel], T]


def execute(
    tasks: Sequence[Task[T]],
    *,
    workers: int = 1,
    stop: StopSignal | None = None,
    on_event: Callable[[Any], None] = lambda event: None,
) -> list[T | ShiftproofError]:
    """Run tasks, each to its end or to its own error.

    Args:
        tasks: What to run; no task depends on another. With several workers they, their events and
            their results are pickled.
        workers: Processes to run them in; 1 for this process itself.
        stop: Set by someone else to have the tasks end at their next safe point.
        on_event: Called here with what the tasks send.

    Returns:
        For each task, in order, its result or the error that ended it. An error of one task does not
        stop the others.

    Raises:
        WorkerError: A worker process died, for example for want of memory.
        KeyboardInterrupt: On Ctrl-C, after all tasks have stopped.

    Example:
        >>> execute([lambda channel: 1, lambda channel: 2])
        [1, 2]
    """
    stop = stop or StopSignal()
    if workers == 1:
        channel = Channel(on_event, stop.is_set)
        return [_guarded(task, channel) for task in tasks]
    context = multiprocessing.get_context("spawn")
    events, halt = context.Queue(), context.Event()
    with ProcessPoolExecutor(workers, context, _start_worker, (events, halt)) as pool:
        try:
            with _interrupts_ignored():  # what is ignored stays ignored in the processes started here
                futures = [pool.submit(_in_worker, task) for task in tasks]
            while not all(future.done() for future in futures):
                if stop.is_set() or any(future.done() and future.exception() for future in futures):
                    halt.set()
                _pass_on(events, on_event, SECONDS_BETWEEN_LOOKS)
            _pass_on(events, on_event, 0)
            return [future.result() for future in futures]
        except BrokenProcessPool as error:
            raise WorkerError(
                "every worker process to live",
                "one that died",
                cause="The system may have run out of memory.",
                fix="Run the same command again; fewer --workers need less memory.",
            ) from error
        except BaseException:
            # Leaving the block waits for the workers: have them stop now, not when they are done.
            halt.set()
            raise


def _guarded(task: Task[T], channel: Channel) -> T | ShiftproofError:
    try:
        channel.check_stop()
        return task(channel)
    except ShiftproofError as error:
        return error


def _pass_on(events: Any, on_event: Callable[[Any], None], seconds: float) -> None:
    """Hand on what has arrived, after waiting for the first event at most so long."""
    try:
        on_event(events.get(timeout=seconds))
        while True:
            on_event(events.get_nowait())
    except queue.Empty:
        return


# --- in a worker process -------------------------------------------------------------------------

_worker: Channel | None = None


def _start_worker(events: Any, halt: Any) -> None:
    global _worker
    _worker = Channel(events.put, halt.is_set)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A killed parent cannot tell its workers; they must not go on writing beside the next run."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "this is a child process"
    wait([parent.sentinel])
    os._exit(1)


def _in_worker(task: Task[T]) -> T | ShiftproofError:
    assert _worker is not None, "the initializer has run"
    return _guarded(task, _worker)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ctrl-C reaches every process of a terminal, but only this one decides what it means."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
