"""Running independent tasks, here or elsewhere, so that none is lost and all can be stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from shiftproof.engine._channel import Channel, Shared, Stopping, StopSignal
from shiftproof.engine._engine import Engine
from shiftproof.engine._local import LocalCrew
from shiftproof.engine._pool import Here, Pool
from shiftproof.engine._ray import RayCrew
from shiftproof.errors import ShiftproofError

S = TypeVar("S")
T = TypeVar("T")
HERE = Engine()
Workers = Here | Pool


@contextmanager
def workers_of(
    engine: Engine,
    shared: Shared[Any],
    *,
    stop: Stopping | None = None,
    on_event: Callable[[Any], None] = lambda event: None,
) -> Iterator[Workers]:
    """Workers that have what the tasks share, until the end of the block.

    Args:
        engine: Where they are.
        shared: Loaded once by each of them.
        stop: Set by someone else to have the tasks end at their next safe point.
        on_event: Called here with what the tasks send.

    Raises:
        MissingDependencyError: `ray` is not installed.
        WorkerError: No cluster where it should be, none with room, or workers of another version.
        ModelError: What is shared, or a task, cannot be sent to other processes.

    Example:
        >>> with workers_of(HERE, Shared.of(10)) as workers:
        ...     workers.run([lambda shared, channel: shared + 1])
        [11]
    """
    stop = stop or StopSignal()
    workers: Workers
    if engine.is_here:
        workers = Here(shared.here, stop, on_event)
    elif engine.kind == "local":
        workers = Pool(LocalCrew(shared, engine), stop, on_event)
    else:
        workers = Pool(RayCrew(shared, engine), stop, on_event)
    try:
        yield workers
    finally:
        workers.close()


def execute(
    tasks: Sequence[Callable[[S, Channel], T]],
    shared: Shared[S],
    *,
    engine: Engine = HERE,
    stop: Stopping | None = None,
    on_event: Callable[[Any], None] = lambda event: None,
) -> list[T | ShiftproofError]:
    """Run tasks once, each to its end or to its own error.

    Args:
        tasks: What to run; no task depends on another. They, their events and their results are pickled
            where they are not run in this process.
        shared: What each is given.
        engine: Where they run.
        stop: Set by someone else to have the tasks end at their next safe point.
        on_event: Called here with what the tasks send.

    Returns:
        For each task, in order, its result or the error that ended it. An error of one task does not
        stop the others.

    Raises:
        WorkerError: Workers died again and again, for example for want of memory.
        KeyboardInterrupt: On Ctrl-C, after all tasks have stopped.

    Example:
        >>> execute([lambda base, channel: base + 1, lambda base, channel: base + 2], Shared.of(10))
        [11, 12]
    """
    with workers_of(engine.for_tasks(len(tasks)), shared, stop=stop, on_event=on_event) as workers:
        return workers.run(tasks)
